"""Functions of the standard that act element by element."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from .. import ops
from ..tracer import Tracer, is_number, literal
from ..types import BOOL
from .dispatch import (
    align,
    array,
    builder_of,
    cast,
    common_shape,
    expand,
    function,
    lift,
    result_dtype,
)


def _unary(name: str, op: Callable[[Any], Any], *, floating: bool = False) -> Callable[[Any], Any]:
    def implementation(x: Any) -> Any:
        (x,) = align(name, x, floating=floating)
        return op(x)

    implementation.__name__ = implementation.__qualname__ = name
    implementation.__doc__ = f"Return `{name}` of each element."
    return function(implementation)


def _binary(
    name: str, op: Callable[[Any, Any], Any], *, floating: bool = False
) -> Callable[[Any, Any], Any]:
    def implementation(x1: Any, x2: Any, /) -> Any:
        return op(*align(name, x1, x2, floating=floating))

    implementation.__name__ = implementation.__qualname__ = name
    implementation.__doc__ = f"Return `{name}` of the two operands, element by element."
    return function(implementation)


# -- arithmetic ----------------------------------------------------------------------------
add = _binary("add", ops.add)
subtract = _binary("subtract", ops.sub)
multiply = _binary("multiply", ops.mul)
divide = _binary("divide", ops.div, floating=True)
remainder = _binary("remainder", ops.rem)
maximum = _binary("maximum", ops.maximum)
minimum = _binary("minimum", ops.minimum)
negative = _unary("negative", ops.neg)
positive = _unary("positive", lambda x: x)
square = _unary("square", lambda x: ops.mul(x, x))
sign = _unary("sign", lambda x: ops.sign(x))
abs = _unary("abs", lambda x: ops.abs_(x) if x.dtype.kind != "uint" else x)
reciprocal = _unary("reciprocal", lambda x: ops.div(1.0, x), floating=True)


@function
def floor_divide(x1: Any, x2: Any, /) -> Any:
    """Return the quotient rounded down; integers are divided in the float type of the trace."""
    x, y = align("floor_divide", x1, x2)
    dtype = x.type.dtype
    if dtype.is_float:
        return ops.floor(ops.div(x, y))
    float_dtype = builder_of(x1, x2).float_dtype
    whole = subtract(x1, remainder(x1, x2))
    quotient = divide(cast(whole, float_dtype), x2)
    return ops.cast(round(quotient), dtype)


@function
def pow(x1: Any, x2: Any, /) -> Any:
    """Return the power; whole exponents up to 8 become products, exact for negative bases."""
    if is_number(x2) and float(x2).is_integer() and 1 <= x2 <= 8 and isinstance(x1, Tracer):
        (x,) = align("pow", x1, floating=isinstance(x2, float))
        product, rest = None, int(x2)
        while rest:
            if rest & 1:
                product = x if product is None else ops.mul(product, x)
            rest >>= 1
            x = ops.mul(x, x) if rest else x
        return product
    if is_number(x2) and x2 == 0.5:
        return sqrt(x1)
    return ops.pow_(*align("pow", x1, x2, floating=True))


@function
def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Return the elements limited to the interval from ``min`` to ``max``."""
    if min is not None:
        x = maximum(x, min)
    if max is not None:
        x = minimum(x, max)
    return x


# -- elementary functions ------------------------------------------------------------------
exp = _unary("exp", ops.exp, floating=True)
expm1 = _unary("expm1", ops.expm1, floating=True)
log = _unary("log", ops.log, floating=True)
log1p = _unary("log1p", ops.log1p, floating=True)
log2 = _unary("log2", lambda x: ops.mul(1.4426950408889634, ops.log(x)), floating=True)
log10 = _unary("log10", lambda x: ops.mul(0.4342944819032518, ops.log(x)), floating=True)
sqrt = _unary("sqrt", ops.sqrt, floating=True)
sin = _unary("sin", ops.sin, floating=True)
cos = _unary("cos", ops.cos, floating=True)
tan = _unary("tan", lambda x: ops.div(ops.sin(x), ops.cos(x)), floating=True)
tanh = _unary("tanh", ops.tanh, floating=True)
# A difference of expm1 keeps full precision near zero, which a difference of exp does not.
sinh = _unary(
    "sinh", lambda x: ops.mul(0.5, ops.sub(ops.expm1(x), ops.expm1(ops.neg(x)))), floating=True
)
cosh = _unary(
    "cosh", lambda x: ops.mul(0.5, ops.add(ops.exp(x), ops.exp(ops.neg(x)))), floating=True
)
logaddexp = _binary(
    "logaddexp",
    lambda x, y: ops.add(ops.maximum(x, y), ops.log1p(ops.exp(ops.neg(ops.abs_(ops.sub(x, y)))))),
    floating=True,
)


# -- rounding ------------------------------------------------------------------------------
def _rounded(op: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: op(x) if x.dtype.is_float else x


def _half_to_even(x: Any) -> Any:
    low = ops.floor(x)
    excess = ops.sub(x, low)
    even = ops.add(low, ops.rem(low, 2.0))
    below = ops.select(ops.lt(excess, 0.5), low, even)
    return ops.select(ops.gt(excess, 0.5), ops.add(low, 1.0), below)


floor = _unary("floor", _rounded(ops.floor))
ceil = _unary("ceil", _rounded(lambda x: ops.neg(ops.floor(ops.neg(x)))))
trunc = _unary("trunc", _rounded(lambda x: ops.mul(ops.sign(x), ops.floor(ops.abs_(x)))))
round = _unary("round", _rounded(_half_to_even))


# -- comparison and selection --------------------------------------------------------------
equal = _binary("equal", ops.eq)
not_equal = _binary("not_equal", ops.ne)
less = _binary("less", ops.lt)
less_equal = _binary("less_equal", ops.le)
greater = _binary("greater", ops.gt)
greater_equal = _binary("greater_equal", ops.ge)
isnan = _unary("isnan", lambda x: ops.ne(x, x))
isinf = _unary("isinf", lambda x: ops.eq(ops.abs_(x), float("inf")), floating=True)
isfinite = _unary("isfinite", lambda x: ops.lt(ops.abs_(x), float("inf")), floating=True)


def truth(x: Any) -> Any:
    """Return the elements as truth values: whether they differ from zero."""
    return x if x.type.dtype is BOOL else ops.ne(x, 0)


@function
def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    """Return elements of ``x1`` where the condition holds, else of ``x2``."""
    builder = builder_of(condition, x1, x2)
    condition, *branches = (lift(builder, x) for x in (condition, x1, x2))
    condition = (
        truth(condition) if isinstance(condition, Tracer)
        else literal(builtins.bool(condition), BOOL)
    )  # fmt: skip
    dtype = result_dtype(builder, branches)
    operands = [condition, *(cast(x, dtype) for x in branches)]
    shape = common_shape("where", operands)
    return ops.select(*(expand(x, shape) for x in operands))


# -- logic and bits ------------------------------------------------------------------------
def _logical(name: str, op: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def implementation(x1: Any, x2: Any, /) -> Any:
        builder = builder_of(x1, x2)
        flags = [truth(array(builder, x)) for x in (x1, x2)]
        return op(*align(name, *flags))

    implementation.__name__ = implementation.__qualname__ = name
    implementation.__doc__ = f"Return `{name}` of the truth values, element by element."
    return function(implementation)


logical_and = _logical("logical_and", ops.and_)
logical_or = _logical("logical_or", ops.or_)
logical_xor = _logical("logical_xor", ops.xor)
logical_not = _unary("logical_not", lambda x: ops.not_(truth(x)))
bitwise_and = _binary("bitwise_and", ops.and_)
bitwise_or = _binary("bitwise_or", ops.or_)
bitwise_xor = _binary("bitwise_xor", ops.xor)
bitwise_left_shift = _binary("bitwise_left_shift", ops.shift_left)
bitwise_right_shift = _binary("bitwise_right_shift", ops.shift_right)
bitwise_invert = _unary(
    "bitwise_invert",
    lambda x: ops.not_(x) if x.dtype is BOOL else
    ops.xor(x, -1 if x.dtype.kind == "int" else 2**x.dtype.bits - 1),
)  # fmt: skip
