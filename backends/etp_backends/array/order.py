"""The order of nodes that lets new values overwrite the old ones they replace."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import evolve

from etp_ir.core import Node, Operand, Program, Value

from . import kernels, views
from .dialect import Dialect

Pair = tuple[Value, Operand]


def order(program: Program, dialect: Dialect, donate: Collection[str] = ()) -> Program:
    """Return the program with nodes moved so that carries and donated inputs die in time.

    A node that could write its result over a carry waits for every other reader of the carry,
    unless one of them needs that result.
    """
    nodes = [_ordered_body(node, dialect) for node in program.nodes]
    given = {port.name: port.value for port in program.inputs if port.name in donate}
    pairs = [(given[name], out.value)
             for out in program.outputs for name in out.role.of if name in given]  # fmt: skip
    results = [out.value for out in program.outputs]
    return evolve(program, nodes=tuple(_sorted(nodes, results, pairs, dialect)))


def _ordered_body(node: Node, dialect: Dialect) -> Node:
    if node.primitive.name != "scan":
        return node
    body: Program = node.attrs["body"]
    consts, carries = node.attrs["consts"], node.attrs["carries"]
    olds = [port.value for port in body.inputs[consts : consts + carries]]
    news = [out.value for out in body.outputs[:carries]]
    nodes = [_ordered_body(inner, dialect) for inner in body.nodes]
    pairs = list(zip(olds, news, strict=True))
    results = [out.value for out in body.outputs]
    body = evolve(body, nodes=tuple(_sorted(nodes, results, pairs, dialect)))
    return evolve(node, attrs={**node.attrs, "body": body})


def _sorted(
    nodes: Sequence[Node], results: Sequence[Operand], pairs: Sequence[Pair], dialect: Dialect
) -> list[Node]:
    """Return the nodes with, for each pair, the readers of the old before the one that ends it."""
    place = {value: i for i, node in enumerate(nodes) for value in node.outputs}
    before: list[set[int]] = [
        {place[x] for x in node.inputs if isinstance(x, Value) and x in place} for node in nodes
    ]
    readers = _readers(nodes)
    for old, new in pairs:
        last = _last_reader(nodes, place, readers, old, new, dialect)
        if last is None:
            continue
        others = set(readers.get(old, ())) - {last}
        if not any(last in _ancestors(before, i) for i in others):
            before[last] |= others
    wanted = sorted({place[x] for x in results if isinstance(x, Value) and x in place})
    return [nodes[i] for i in on_demand(before, wanted)]


def _readers(nodes: Sequence[Node]) -> dict[Value, list[int]]:
    """Return the nodes that read each value, itself or through rearrangements of it."""
    root: dict[Value, Value] = {}
    readers: dict[Value, list[int]] = {}
    for i, node in enumerate(nodes):
        for x in node.inputs:
            if isinstance(x, Value):
                readers.setdefault(root.get(x, x), []).append(i)
        first = node.inputs[0] if node.inputs else None
        if node.primitive.name in views.RULES and isinstance(first, Value):
            root[node.output] = root.get(first, first)
    return readers


def _last_reader(
    nodes: Sequence[Node], place: dict[Value, int], readers: dict[Value, list[int]],
    old: Value, new: Operand, dialect: Dialect,
) -> int | None:  # fmt: skip
    """Return the node that may write over the old value on the way to the new one."""
    if not isinstance(new, Value) or new not in place:
        return None

    def search(value: Value) -> int | None:
        i = place[value]
        node = nodes[i]
        for k in kernels.alias(node, node.outputs.index(value), dialect):
            x = node.inputs[k]
            if x is old:
                return i
            if (
                isinstance(x, Value)
                and x in place
                and x.type == value.type
                and readers.get(x) == [i]
                and (found := search(x)) is not None
            ):
                return found
        return None

    found = search(new)
    if found is None and place[new] not in readers.get(old, ()):
        return place[new]
    return found


def _ancestors(before: Sequence[Collection[int]], i: int) -> set[int]:
    """Return the nodes that must run before a node, and the node."""
    seen = {i}
    waiting = [i]
    while waiting:
        for j in before[waiting.pop()]:
            if j not in seen:
                seen.add(j)
                waiting.append(j)
    return seen


def on_demand(before: Sequence[Collection[int]], wanted: Sequence[int]) -> list[int]:
    """Return the positions so that each follows those before it, and none comes early.

    What only one node needs stands right in front of it, so that few values are alive at once.
    """
    found: dict[int, None] = {}
    for goal in (*wanted, *range(len(before))):
        waiting = [goal]
        while waiting:
            i = waiting[-1]
            missing = [j for j in before[i] if j not in found]
            if missing:
                waiting.append(min(missing))
            else:
                found.setdefault(i)
                waiting.pop()
    return list(found)
