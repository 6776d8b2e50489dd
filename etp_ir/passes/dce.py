"""Removal of what nobody reads: nodes, and inside loops carries, results and operands."""

from __future__ import annotations

from attrs import evolve

from ..core import Node, Program, Value


def dce(program: Program) -> Program:
    """Return the program without dead nodes; its inputs and outputs stay."""
    live: set[Value] = {o.value for o in program.outputs if isinstance(o.value, Value)}
    kept: list[Node] = []
    for node in reversed(program.nodes):
        if not any(v in live for v in node.outputs):
            continue
        node = pruned(node, live)
        kept.append(node)
        live.update(x for x in node.inputs if isinstance(x, Value))
    return evolve(program, nodes=tuple(reversed(kept)))


def pruned(node: Node, live: set[Value]) -> Node:
    """Return the node with dead code removed from its regions."""
    if node.primitive.prune is not None:
        result: Node = node.primitive.prune(node, live)
        return result
    if not node.regions:
        return node
    attrs = {k: dce(v) if isinstance(v, Program) else v for k, v in node.attrs.items()}
    return evolve(node, attrs=attrs)
