"""Partition of a program into regions of one iteration space.

A node is pointwise when each element of its result needs one element of each operand: an
element-wise node, a broadcast, or a contraction without a summed letter. Its level is the
largest level among its operands, one more where the operand is not pointwise or has another
shape. Pointwise nodes of one shape and one level form a region; levels only grow along edges
between regions, so regions need no check for cycles, and independent nodes of one shape share
a region.
"""

from __future__ import annotations

from attrs import frozen

from ..core import Node, Program, Value
from ..primitives.contract import parse_spec


@frozen(eq=False)
class Region:
    """Nodes computed by one pass over one iteration space, or one node that is not pointwise.

    Attributes
    ----------
    nodes
        In order of execution.
    shape
        The iteration space, None for a node that is not pointwise.
    level
        Regions run in the order of their levels.
    reads
        Values the region needs from outside, in order of first use.
    writes
        Values made here that are needed outside.
    """

    nodes: tuple[Node, ...]
    shape: tuple[int, ...] | None
    level: int
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


def pointwise(node: Node) -> bool:
    """Whether each element of the result needs one element of each operand."""
    name = node.primitive.name
    if name == "contract":
        return not parse_spec(node.attrs["spec"]).summed
    return name == "broadcast" or node.primitive.positions == "elementwise"


def regions(program: Program) -> tuple[Region, ...]:
    """Return the regions of a program in an order in which they can run."""
    levels = node_levels(program)
    groups: dict[object, list[Node]] = {}
    for node in program.nodes:
        key = (node.output.type.shape, levels[node]) if pointwise(node) else node
        groups.setdefault(key, []).append(node)
    needed = _readers(program)
    found = [_region(nodes, levels[nodes[0]], needed) for nodes in groups.values()]
    return tuple(sorted(found, key=lambda region: region.level))


def node_levels(program: Program) -> dict[Node, int]:
    """Return the level of every node."""
    levels: dict[Node, int] = {}
    for node in program.nodes:
        joins = pointwise(node)
        level = 0
        for x in node.inputs:
            maker = program.producers.get(x) if isinstance(x, Value) else None
            if maker is None:
                continue
            shared = joins and pointwise(maker) and x.type.shape == node.output.type.shape
            level = max(level, levels[maker] + (not shared))
        levels[node] = level
    return levels


def _readers(program: Program) -> dict[Value, list[Node | None]]:
    """Return who reads each value; None stands for the end of the program."""
    readers: dict[Value, list[Node | None]] = {}
    for node in program.nodes:
        for x in node.inputs:
            if isinstance(x, Value):
                readers.setdefault(x, []).append(node)
    for out in program.outputs:
        if isinstance(out.value, Value):
            readers.setdefault(out.value, []).append(None)
    return readers


def _region(nodes: list[Node], level: int, readers: dict[Value, list[Node | None]]) -> Region:
    inside = set(nodes)
    made = {v: None for node in nodes for v in node.outputs}
    reads = {x: None for node in nodes for x in node.inputs
             if isinstance(x, Value) and x not in made}  # fmt: skip
    writes = [v for v in made if any(r not in inside for r in readers.get(v, ()))]
    shape = nodes[0].output.type.shape if pointwise(nodes[0]) else None
    return Region(tuple(nodes), shape, level, tuple(reads), tuple(writes))
