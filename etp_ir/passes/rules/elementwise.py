"""Rules of element-wise primitives: identities, constants, signs and factors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...core import Literal
from ...tracer import Tracer, bind, literal
from ..rewrite import Match, rule


@rule("elementwise")
def constants(m: Match) -> Any:
    """Rewrite f(c, d) -> its value; f(broadcast c, x) -> f(c, x): a literal fits any shape."""
    known = [m.constant(x) for x in m.args]
    if all(c is not None for c in known):
        arrays = [
            np.asarray(c, x.type.dtype.numpy()) for c, x in zip(known, m.operands, strict=True)
        ]
        number = m.primitive.reference(*arrays, **m.attrs).item()
        return ops.full(m.builder, m.type.shape, number, m.type.dtype) if _finite(number) else None
    if not any(c is not None and isinstance(x, Tracer) for c, x in zip(known, m.args, strict=True)):
        return None
    fixed = [
        x if c is None else literal(c, x.type.dtype) for c, x in zip(known, m.operands, strict=True)
    ]
    return _emit(m, fixed)


def _finite(number: Any) -> bool:
    return not isinstance(number, float) or math.isfinite(number)


def _emit(m: Match, operands: list[Any]) -> Any:
    """Return the node of the match with other operands."""
    return Tracer(m.builder, m.builder.emit(m.primitive, operands, m.attrs)[0])


@rule("elementwise")
def sink(m: Match) -> Any:
    """Rewrite f(g x, g y) -> g f(x, y), where g moves all operands alike.

    A broadcast then repeats less work, and two reshapes around a function meet and vanish.
    """
    arrays = [x for x in m.args if isinstance(x, Tracer)]
    nodes = [m.definition(x, "broadcast", "reshape") or m.sole(x, "permute") for x in arrays]
    first = nodes[0] if nodes else None
    if first is None or isinstance(first.inputs[0], Literal):
        return None
    for node in nodes:
        if node is None or node.primitive is not first.primitive or node.attrs != first.attrs:
            return None
        if node.inputs[0].type.shape != first.inputs[0].type.shape:
            return None
    sources = iter(node.inputs[0] for node in nodes if node is not None)
    moved = _emit(m, [x if isinstance(x, Literal) else next(sources) for x in m.operands])
    return bind(first.primitive, moved, **first.attrs)


@rule("add")
def add(m: Match) -> Any:
    """Rewrite x + 0 -> x; x + (-y) -> x - y; x + x -> 2 * x."""
    x, y = m.args
    if m.operands[0] == m.operands[1] and m.type.dtype.is_float:
        return ops.mul(2.0, x)
    if m.constant(y) == 0:
        return x
    if m.constant(x) == 0:
        return y
    if node := m.definition(y, "neg"):
        return ops.sub(x, m.inputs(node)[0])
    if node := m.definition(x, "neg"):
        return ops.sub(y, m.inputs(node)[0])
    return None


@rule("sub")
def sub(m: Match) -> Any:
    """Rewrite x - 0 -> x; 0 - x -> -x; x - (-y) -> x + y."""
    x, y = m.args
    if m.constant(y) == 0:
        return x
    if m.constant(x) == 0:
        return ops.neg(y)
    if node := m.definition(y, "neg"):
        return ops.add(x, m.inputs(node)[0])
    return None


@rule("neg")
def neg(m: Match) -> Any:
    """Rewrite -(-x) -> x; -(x - y) -> y - x; -(c * x) -> (-c) * x."""
    (x,) = m.args
    if node := m.definition(x, "neg"):
        return m.inputs(node)[0]
    if node := m.sole(x, "sub"):
        a, b = m.inputs(node)
        return ops.sub(b, a)
    if found := _scaled(m, x):
        factor, rest = found
        return ops.mul(-factor, rest)
    return None


@rule("mul")
def mul_constant(m: Match) -> Any:
    """Rewrite x * 1 -> x; x * 0 -> 0; x * -1 -> -x; c * (d * x) -> (c d) * x."""
    for x, y in (m.args, m.args[::-1]):
        number = m.constant(y)
        if number is None:
            continue
        if number == 1:
            return x
        if number == 0:
            return 0
        if number == -1:
            return ops.neg(x)
        if found := _scaled(m, x):
            factor, rest = found
            return ops.mul(factor * number, rest)
        if (node := m.definition(x, "neg")) and m.type.dtype.is_float:
            return ops.mul(-number, m.inputs(node)[0])
    return None


@rule("mul")
def mul_sign(m: Match) -> Any:
    """Rewrite (-x) * y -> -(x * y), and (-x) * (-y) -> x * y."""
    x, y = m.args
    left, right = m.definition(x, "neg"), m.definition(y, "neg")
    if left and right:
        return ops.mul(m.inputs(left)[0], m.inputs(right)[0])
    if left and m.sole(x, "neg"):
        return ops.neg(ops.mul(m.inputs(left)[0], y))
    if right and m.sole(y, "neg"):
        return ops.neg(ops.mul(x, m.inputs(right)[0]))
    return None


@rule("mul")
def mul_inverse(m: Match) -> Any:
    """Rewrite (1 / x) * y -> y / x."""
    for x, y in (m.args, m.args[::-1]):
        node = m.sole(x, "div")
        if node and m.constant(m.inputs(node)[0]) == 1:
            return ops.div(y, m.inputs(node)[1])
    return None


def _scaled(m: Match, x: Any) -> tuple[float, Any] | None:
    """Return the factor and the rest of ``c * x`` in floating point."""
    node = m.definition(x, "mul")
    if node is None or not m.type.dtype.is_float:
        return None
    a, b = m.inputs(node)
    if not isinstance(a, Tracer):
        return a, b
    return (b, a) if not isinstance(b, Tracer) else None


@rule("div")
def div(m: Match) -> Any:
    """Rewrite x / 1 -> x."""
    x, y = m.args
    return x if m.constant(y) == 1 else None


@rule("pow")
def pow_(m: Match) -> Any:
    """Rewrite x ** 1 -> x; x ** 2 -> x * x."""
    x, y = m.args
    number = m.constant(y)
    if number == 1:
        return x
    return ops.mul(x, x) if number == 2 else None


@rule("select")
def select(m: Match) -> Any:
    """Rewrite select(c, x, x) -> x; select(True, x, y) -> x; select(not c, x, y) by exchange."""
    condition, x, y = m.args
    if m.operands[1] == m.operands[2]:
        return x
    known = m.constant(condition)
    if known is not None:
        return x if known else y
    if node := m.definition(condition, "not"):
        return _emit(m, [node.inputs[0], m.operands[2], m.operands[1]])
    return None


@rule("cast")
def cast(m: Match) -> Any:
    """Rewrite cast(x) to its own type -> x."""
    (x,) = m.args
    return x if m.operands[0].type.dtype is m.attrs["dtype"] else None


@rule("not")
def not_(m: Match) -> Any:
    """Rewrite not not x -> x."""
    node = m.definition(m.args[0], "not")
    return m.inputs(node)[0] if node else None
