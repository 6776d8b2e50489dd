"""Rules of rearrangements: identities, and compositions of two into one."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...tracer import Tracer
from ..rewrite import Match, rule


@rule("broadcast", "reshape", "permute", "slice", "reverse", "gather", "reduce_max")
def constant_moved(m: Match) -> Any:
    """Keep a constant array constant, whatever is picked from it."""
    x = m.args[0]
    return m.constant(x) if isinstance(x, Tracer) else None


@rule("pad", "scatter_add", "cumsum")
def zero_moved(m: Match) -> Any:
    """Keep zeros zeros."""
    return 0 if m.constant(m.args[0]) == 0 else None


@rule("concat")
def constants_joined(m: Match) -> Any:
    """Join equal constants to a constant; return a single operand itself."""
    if len(m.args) == 1:
        return m.args[0]
    first = m.constant(m.args[0])
    known = {repr(m.constant(x)) for x in m.args}
    return first if first is not None and len(known) == 1 else None


@rule("reshape", "broadcast")
def same_shape(m: Match) -> Any:
    """Return the operand where the shape stays the same."""
    (x,) = m.args
    return x if isinstance(x, Tracer) and x.shape == tuple(m.attrs["shape"]) else None


@rule("reshape")
def reshape_twice(m: Match) -> Any:
    """Rewrite reshape(reshape x) -> reshape x."""
    node = m.definition(m.args[0], "reshape")
    return ops.reshape(m.inputs(node)[0], m.attrs["shape"]) if node else None


@rule("permute")
def permute_none(m: Match) -> Any:
    """Rewrite permute in the order there is -> x."""
    order = tuple(m.attrs["order"])
    return m.args[0] if order == tuple(range(len(order))) else None


@rule("permute")
def permute_twice(m: Match) -> Any:
    """Rewrite permute(permute x) -> permute x."""
    node = m.definition(m.args[0], "permute")
    if node is None:
        return None
    return ops.permute(m.inputs(node)[0], [node.attrs["order"][i] for i in m.attrs["order"]])


@rule("broadcast")
def broadcast_twice(m: Match) -> Any:
    """Rewrite broadcast(broadcast x) -> broadcast x."""
    node = m.definition(m.args[0], "broadcast")
    if node is None:
        return None
    axes = [m.attrs["axes"][a] for a in node.attrs["axes"]]
    return ops.broadcast(m.inputs(node)[0], m.attrs["shape"], axes)


@rule("slice")
def slice_all(m: Match) -> Any:
    """Rewrite x[:] -> x."""
    (x,) = m.args
    return x if m.type.shape == x.shape and all(s == 1 for s in m.attrs["step"]) else None


@rule("slice")
def slice_twice(m: Match) -> Any:
    """Rewrite x[a:b][c:d] -> x[a + c:a + d], and the same with steps."""
    node = m.definition(m.args[0], "slice")
    if node is None:
        return None
    rows = []
    for a, s, c, d, t in zip(
        node.attrs["start"], node.attrs["step"],
        m.attrs["start"], m.attrs["stop"], m.attrs["step"], strict=True,
    ):  # fmt: skip
        # The last element read bounds the stop: d may lie past what the step reaches.
        count = max(0, -(-(d - c) // t))
        last = a + s * (c + t * (count - 1))
        rows.append((a + s * c, last + 1, s * t) if count else (a, a, 1))
    x = m.inputs(node)[0]
    start, stop, step = (tuple(column) for column in zip(*rows, strict=True))
    return ops.slice_(x, start, stop, step)


@rule("slice")
def slice_of_concat(m: Match) -> Any:
    """Slice the joined operand that the slice lies within."""
    node = m.definition(m.args[0], "concat")
    if node is None:
        return None
    axis, offset = node.attrs["axis"], 0
    start, stop, step = (list(m.attrs[k]) for k in ("start", "stop", "step"))
    for x in m.inputs(node):
        extent = x.shape[axis]
        if offset <= start[axis] and stop[axis] <= offset + extent:
            start[axis] -= offset
            stop[axis] -= offset
            return ops.slice_(x, start, stop, step)
        offset += extent
    return None


@rule("pad")
def pad_none(m: Match) -> Any:
    """Rewrite pad by nothing -> x."""
    amounts = (*m.attrs["low"], *m.attrs["high"], *m.attrs["interior"])
    return m.args[0] if not any(amounts) else None


@rule("add")
def pads_side_by_side(m: Match) -> Any:
    """Join arrays that are padded to lie side by side, instead of adding zeros to each.

    So the cotangents of the pieces of a split array are put together again.
    """
    first, second = (m.definition(x, "pad") for x in m.args)
    if first is None or second is None:
        return None
    if any((*first.attrs["interior"], *second.attrs["interior"])):
        return None
    places = list(zip(first.attrs["low"], second.attrs["low"], strict=True))
    apart = [axis for axis, (a, b) in enumerate(places) if a != b]
    if len(apart) != 1:
        return None
    (axis,) = apart
    if places[axis][0] > places[axis][1]:
        first, second = second, first
    parts = [*m.inputs(first), *m.inputs(second)]
    low, high = list(first.attrs["low"]), list(first.attrs["high"])
    high[axis] = second.attrs["high"][axis]
    adjacent = low[axis] + parts[0].shape[axis] == second.attrs["low"][axis]
    if not adjacent or tuple(high) != tuple(second.attrs["high"]):
        return None
    return ops.pad(ops.concat(parts, axis), low, high, first.attrs["interior"])


@rule("concat")
def concat_twice(m: Match) -> Any:
    """Rewrite concat(concat(x, y), z) -> concat(x, y, z) along the same axis."""
    axis = m.attrs["axis"]
    nodes = [m.definition(x, "concat") for x in m.args]
    if not any(node and node.attrs["axis"] == axis for node in nodes):
        return None
    parts: list[Any] = []
    for x, node in zip(m.args, nodes, strict=True):
        parts += m.inputs(node) if node and node.attrs["axis"] == axis else [x]
    return ops.concat(parts, axis)


@rule("reverse")
def reverse_twice(m: Match) -> Any:
    """Rewrite reverse along no axis -> x; reverse(reverse x) -> x along the axes of one of them."""
    axes = tuple(m.attrs["axes"])
    if not axes:
        return m.args[0]
    node = m.definition(m.args[0], "reverse")
    if node is None:
        return None
    rest = sorted(set(axes) ^ set(node.attrs["axes"]))
    return ops.reverse(m.inputs(node)[0], rest)
