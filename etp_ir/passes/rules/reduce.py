"""Rules of `reduce_sum`: a sum moves towards the contraction that can absorb it."""

from __future__ import annotations

import math
from typing import Any

from ... import ops
from ...core import Node
from ...primitives.contract import LETTERS
from ...tracer import Tracer
from ..rewrite import Match, rule


@rule("reduce_sum")
def sum_of_constant(m: Match) -> Any:
    """Rewrite sum of no axes -> x; sum of a constant -> a constant."""
    (x,) = m.args
    if not m.attrs["axes"]:
        return x
    number = m.constant(x)
    return None if number is None else number * math.prod(x.shape[a] for a in m.attrs["axes"])


@rule("reduce_sum")
def sum_twice(m: Match) -> Any:
    """Rewrite sum(sum x) -> sum x."""
    node = m.definition(m.args[0], "reduce_sum")
    if node is None:
        return None
    (x,) = m.inputs(node)
    inner = node.attrs["axes"]
    left = [a for a in range(x.ndim) if a not in inner]
    return ops.reduce_sum(x, sorted((*inner, *(left[a] for a in m.attrs["axes"]))))


@rule("reduce_sum")
def sum_of_broadcast(m: Match) -> Any:
    """Multiply instead of summing over a broadcast axis."""
    node = m.definition(m.args[0], "broadcast")
    if node is None:
        return None
    (x,) = m.inputs(node)
    axes, shape = node.attrs["axes"], node.attrs["shape"]
    repeats = math.prod(shape[a] for a in m.attrs["axes"] if a not in axes)
    x = ops.mul(repeats, x)
    x = ops.reduce_sum(x, [i for i, a in enumerate(axes) if a in m.attrs["axes"]])
    left = [a for a in range(len(shape)) if a not in m.attrs["axes"]]
    return ops.broadcast(x, m.type.shape, [left.index(a) for a in axes if a in left])


@rule("reduce_sum")
def sum_of_product(m: Match) -> Any:
    """Sum a product with a broadcast operand by a contraction with the smaller one."""
    node = m.sole(m.args[0], "mul")
    if node is None or not m.type.dtype.is_float:
        return None
    x, y = m.inputs(node)
    if not m.definition(x, "broadcast") and not m.definition(y, "broadcast"):
        return None
    letters = LETTERS[: m.args[0].ndim]
    out = "".join(c for i, c in enumerate(letters) if i not in m.attrs["axes"])
    return ops.contract(x, y, f"{letters},{letters}->{out}")


@rule("reduce_sum")
def sum_of_scaled(m: Match) -> Any:
    """Rewrite sum(-x) -> -sum(x); sum(c * x) -> c * sum(x); sum(x / c) -> sum(x) / c."""
    (x,) = m.args
    axes = m.attrs["axes"]
    if node := m.sole(x, "neg"):
        return ops.neg(ops.reduce_sum(m.inputs(node)[0], axes))
    if node := m.sole(x, "mul", "div"):
        a, b = m.inputs(node)
        if not isinstance(b, Tracer):
            return (ops.mul if node.primitive.name == "mul" else ops.div)(
                ops.reduce_sum(a, axes), b
            )
        if not isinstance(a, Tracer) and node.primitive.name == "mul":
            return ops.mul(a, ops.reduce_sum(b, axes))
    return None


@rule("reduce_sum")
def sum_of_terms(m: Match) -> Any:
    """Rewrite sum(x + y - z) -> sum(x) + sum(y) - sum(z), where a term can absorb its sum."""
    terms = _terms(m, m.args[0])
    if len(terms) < 2 or not all(isinstance(x, Tracer) for _, x in terms):
        return None
    if not any(_absorbs(m, x, depth=4) for _, x in terms):
        return None
    sums = [(sign, ops.reduce_sum(x, m.attrs["axes"])) for sign, x in terms]
    sign, total = sums[0]
    total = total if sign > 0 else ops.neg(total)
    for sign, x in sums[1:]:
        total = ops.add(total, x) if sign > 0 else ops.sub(total, x)
    return total


def _terms(m: Match, x: Any) -> list[tuple[int, Any]]:
    """Return the signed terms of a sum that nobody else reads, first to last."""
    found: list[tuple[int, Any]] = []
    left = [(1, x)]
    while left:
        sign, x = left.pop()
        node = m.sole(x, "add", "sub", "neg")
        if node is None:
            found.append((sign, x))
            continue
        signs = {"add": (sign, sign), "sub": (sign, -sign), "neg": (-sign,)}[node.primitive.name]
        left.extend(reversed(list(zip(signs, m.inputs(node), strict=True))))
    return found


# Primitives that can leave the axes of a sum out of their result.
SUMMING = ("contract", "conv", "scatter_add", "sparse_sample")


def _absorbs(m: Match, x: Any, depth: int) -> bool:
    """Whether the sum of ``x`` need not be computed from ``x`` itself."""
    if m.sole(x, *SUMMING) or m.definition(x, "broadcast", "reduce_sum"):
        return True
    node = m.sole(x, "mul", "permute", "pad", "reshape") if depth else None
    return node is not None and any(_absorbs(m, y, depth - 1) for y in m.inputs(node))


@rule("reduce_sum")
def sum_of_permuted(m: Match) -> Any:
    """Rewrite sum(permute x) -> permute(sum x)."""
    node = m.definition(m.args[0], "permute")
    if node is None:
        return None
    order = node.attrs["order"]
    gone = {order[a] for a in m.attrs["axes"]}
    left = [i for i in range(len(order)) if i not in gone]
    summed = ops.reduce_sum(m.inputs(node)[0], sorted(gone))
    return ops.permute(summed, [left.index(i) for i in order if i not in gone])


@rule("reduce_sum")
def sum_of_reshaped(m: Match) -> Any:
    """Rewrite sum(reshape x) -> sum(reshape(sum x)), where axes summed are axes of ``x``."""
    node = m.sole(m.args[0], "reshape")
    if node is None or not m.args[0].size:
        return None
    (x,) = m.inputs(node)
    shape, axes = m.args[0].shape, m.attrs["axes"]
    # An axis is one of x where as many elements lie before it, and it is as long.
    ahead = {(math.prod(x.shape[:i]), n): i for i, n in enumerate(x.shape) if n > 1}
    same = {a: ahead.get((math.prod(shape[:a]), shape[a])) for a in axes}
    done = [a for a in axes if same[a] is not None or shape[a] == 1]
    if not done:
        return None
    kept = [n for a, n in enumerate(shape) if a not in done]
    rest = [a - sum(b < a for b in done) for a in axes if a not in done]
    inner = sorted(i for i in same.values() if i is not None)
    summed = ops.reshape(ops.reduce_sum(x, inner), kept)
    return ops.reduce_sum(summed, rest) if rest else summed


@rule("reduce_sum")
def sum_of_pieces(m: Match) -> Any:
    """Rewrite sum(f x) -> f(sum x), where f rearranges along other axes only."""
    (x,) = m.args
    axes = m.attrs["axes"]

    def rest(items: Any) -> list[int]:
        return [n for i, n in enumerate(items) if i not in axes]

    def clear(node: Node, neutral: dict[str, Any]) -> bool:
        return all(node.attrs[k][a] == v for k, v in neutral.items() for a in axes)

    if node := m.sole(x, "concat"):
        axis = node.attrs["axis"]
        if axis not in axes:
            parts = [ops.reduce_sum(part, axes) for part in m.inputs(node)]
            return ops.concat(parts, axis - sum(a < axis for a in axes))
    if (node := m.sole(x, "pad")) and clear(node, {"low": 0, "high": 0, "interior": 0}):
        summed = ops.reduce_sum(m.inputs(node)[0], axes)
        return ops.pad(summed, *(rest(node.attrs[k]) for k in ("low", "high", "interior")))
    if node := m.sole(x, "slice"):
        source = m.inputs(node)[0]
        if clear(node, {"start": 0, "step": 1}) and all(
            node.attrs["stop"][a] == source.shape[a] for a in axes
        ):
            summed = ops.reduce_sum(source, axes)
            return ops.slice_(summed, *(rest(node.attrs[k]) for k in ("start", "stop", "step")))
    return None
