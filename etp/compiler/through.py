"""Positions through nodes that hold programs: choices, loops, and operations made of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.meaning import meaning_of

from . import positions
from .positions import MANY, Targets, merge

Found = list[Targets | None]


def through(node: Node, outgoing: Sequence[Targets | None]) -> Found | None:
    """Return the targets of each operand given those of the results; None where not known.

    A carry reaches what its final value reaches, and what it reaches through further rounds:
    the smallest solution is found by going round until nothing changes.
    """
    rule = {"cond": _cond, "scan": _scan, "while": _while}.get(node.primitive.name)
    if rule is not None:
        return rule(node, list(outgoing))
    inside = meaning_of(node) if node.primitive.positions == "mixing" else None
    return None if inside is None else region_targets(inside, list(outgoing))


def _cond(node: Node, outgoing: Found) -> Found:
    sides = [region_targets(node.attrs[key], outgoing) for key in ("then", "otherwise")]
    return [None, *(_both(a, b) for a, b in zip(*sides, strict=True))]


def _scan(node: Node, outgoing: Found) -> Found:
    body, consts, carries = node.attrs["body"], node.attrs["consts"], node.attrs["carries"]
    stacks = [None if t is None else _over_time(t) for t in outgoing[carries:]]
    _, inner = _rounds(body, consts, outgoing[:carries], stacks)
    steps = node.attrs["length"]
    for i in range(consts + carries, len(inner)):
        found = inner[i]
        if found is not None:
            inner[i] = np.broadcast_to(found, (steps, *found.shape)).copy()
    return inner


def _while(node: Node, outgoing: Found) -> Found:
    consts: int = node.attrs["consts"]
    carries, inner = _rounds(node.attrs["body"], consts, outgoing, [])
    # The loop may not turn at all.
    return [*inner[:consts], *carries]


def _rounds(body: Program, consts: int, carries: Found, stacks: Found) -> tuple[Found, Found]:
    """Return what the values handed on reach, and what the inputs of the body reach."""
    while True:
        inner = region_targets(body, [*carries, *stacks])
        grown = [_both(t, inner[consts + k]) for k, t in enumerate(carries)]
        if all(_same(a, b) for a, b in zip(grown, carries, strict=True)):
            return carries, inner
        carries = grown


def region_targets(region: Program, outgoing: Found) -> Found:
    """Return the targets of the inputs of a region given those of its outputs."""
    targets: dict[Operand, Targets] = {}
    for out, arriving in zip(region.outputs, outgoing, strict=True):
        _add(targets, out.value, arriving)
    for node in reversed(region.nodes):
        leaving = [targets.get(v) for v in node.outputs]
        if node.primitive.jvp is None or all(t is None for t in leaving):
            continue
        arriving_at: Sequence[Targets | None]
        if any(t is not None and (t == MANY).any() for t in leaving):
            # What reaches several positions later does so from here too.
            arriving_at = [np.full(x.type.shape, MANY) for x in node.inputs]
        else:
            arriving_at = positions.back(node, leaving)
        for x, arriving in zip(node.inputs, arriving_at, strict=True):
            _add(targets, x, arriving)
    return [targets.get(port.value) for port in region.inputs]


def _add(targets: dict[Operand, Targets], x: Operand, arriving: Targets | None) -> None:
    if arriving is None or isinstance(x, Literal) or not x.type.dtype.is_float:
        return
    targets[x] = merge(targets.get(x), arriving)


def _both(a: Targets | None, b: Targets | None) -> Targets | None:
    return a if b is None else merge(a, b)


def _same(a: Targets | None, b: Targets | None) -> bool:
    return a is b or (a is not None and b is not None and bool(np.array_equal(a, b)))


def _over_time(stack: Targets) -> Targets | None:
    """Return what one value of a loop reaches, given what its rows in all rounds reach."""
    found: Any = None
    for row in stack:
        found = merge(found, row)
    return found


def position_wise(node: Node) -> bool:
    """Whether each element handed from round to round stays at its position in a loop."""
    count = node.attrs.get("carries", len(node.outputs))
    for k, value in enumerate(node.outputs[:count]):
        if not value.type.dtype.is_float:
            continue
        outgoing: Found = [None] * len(node.outputs)
        outgoing[k] = np.arange(value.type.size).reshape(value.type.shape)
        found = through(node, outgoing) or []
        for x, arriving in zip(node.inputs, found, strict=True):
            if isinstance(x, Value) and arriving is not None and (arriving == MANY).any():
                return False
    return True


# -- dependence ----------------------------------------------------------------------------
def edges(node: Node) -> Iterator[tuple[Value, Value]]:
    """Yield the pairs of operand and result along which a derivative flows."""
    if node.primitive.jvp is None:
        return
    for i, x in enumerate(node.inputs):
        if isinstance(x, Value) and x.type.dtype.is_float:
            moving = _moved(node, [k == i for k in range(len(node.inputs))])
            yield from ((x, v) for v, moves in zip(node.outputs, moving, strict=True) if moves)


def _moved(node: Node, given: Sequence[bool]) -> list[bool]:
    """Return which results of a node have a derivative by the operands marked."""
    if node.primitive.name == "cond":
        sides = [_region_moved(node.attrs[key], given[1:]) for key in ("then", "otherwise")]
        return [a or b for a, b in zip(*sides, strict=True)]
    if "body" not in node.attrs:
        return [any(given)] * len(node.outputs)
    consts: int = node.attrs["consts"]
    count = node.attrs.get("carries", len(node.outputs))
    marked = list(given)
    while True:
        found = _region_moved(node.attrs["body"], marked)
        grown = [
            m or (consts <= i < consts + count and found[i - consts]) for i, m in enumerate(marked)
        ]
        if grown == marked:
            # A carry of a loop that does not turn is where it started.
            carried = [marked[consts + k] or found[k] for k in range(count)]
            return carried + found[count:]
        marked = grown


def _region_moved(region: Program, given: Sequence[bool]) -> list[bool]:
    moved: set[Operand] = {p.value for p, m in zip(region.inputs, given, strict=True) if m}
    for node in region.nodes:
        marks = [x in moved and x.type.dtype.is_float for x in node.inputs]
        if node.primitive.jvp is not None and any(marks):
            results = zip(node.outputs, _moved(node, marks), strict=True)
            moved.update(v for v, moves in results if moves and v.type.dtype.is_float)
    return [out.value in moved for out in region.outputs]
