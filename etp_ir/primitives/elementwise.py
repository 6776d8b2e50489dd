"""Arithmetic, elementary functions, comparisons and logic, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from .base import elementwise

_NUMBER = ("float", "int", "uint")
_BITS = ("bool", "int", "uint")
_ANY = ("float", "int", "uint", "bool")


def _quiet(function: Any) -> Any:
    def run(*arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arrays)

    return run


def _logistic(x: Any) -> Any:
    with np.errstate(over="ignore"):  # exp overflows to infinity, and 1 / infinity is right
        return 1 / (1 + np.exp(-x))


def _remainder(x: Any, y: Any) -> Any:
    return np.remainder(x, y)


_erf_vector = np.vectorize(__import__("math").erf, otypes=[np.float64])


def _erf(x: Any) -> Any:
    return _erf_vector(x).astype(x.dtype)


elementwise(
    "add",
    np.add,
    arity=2,
    kinds=_NUMBER,
    array_api="add",
    c99="({0} + {1})",
    partials=[lambda x, y, z: 1, lambda x, y, z: 1],
)
elementwise(
    "sub",
    np.subtract,
    arity=2,
    kinds=_NUMBER,
    array_api="subtract",
    c99="({0} - {1})",
    partials=[lambda x, y, z: 1, lambda x, y, z: -1],
)
elementwise(
    "mul",
    np.multiply,
    arity=2,
    kinds=_NUMBER,
    array_api="multiply",
    c99="({0} * {1})",
    partials=[lambda x, y, z: y, lambda x, y, z: x],
)
elementwise(
    "div",
    _quiet(np.divide),
    arity=2,
    array_api="divide",
    c99="({0} / {1})",
    partials=[lambda x, y, z: ops.div(1.0, y), lambda x, y, z: ops.neg(ops.div(z, y))],
)
elementwise(
    "pow",
    _quiet(np.power),
    arity=2,
    array_api="pow",
    c99="pow{f}({0}, {1})",
    partials=[
        lambda x, y, z: ops.mul(y, ops.pow_(x, ops.sub(y, 1.0))),
        lambda x, y, z: ops.mul(z, ops.log(x)),
    ],
)
elementwise(
    "neg",
    np.negative,
    arity=1,
    kinds=_NUMBER,
    array_api="negative",
    c99="(-{0})",
    partials=[lambda x, y: -1],
)
elementwise(
    "abs",
    np.abs,
    arity=1,
    kinds=_NUMBER,
    array_api="abs",
    c99="fabs{f}({0})",
    partials=[lambda x, y: ops.sign(x)],
)
elementwise(
    "sign", np.sign, arity=1, kinds=_NUMBER, array_api="sign", c99="(({0} > 0) - ({0} < 0))"
)
elementwise("floor", np.floor, arity=1, array_api="floor", c99="floor{f}({0})")
elementwise(
    "exp", _quiet(np.exp), arity=1, array_api="exp", c99="exp{f}({0})", partials=[lambda x, y: y]
)
elementwise(
    "expm1",
    _quiet(np.expm1),
    arity=1,
    array_api="expm1",
    c99="expm1{f}({0})",
    partials=[lambda x, y: ops.add(y, 1.0)],
)
elementwise(
    "log",
    _quiet(np.log),
    arity=1,
    array_api="log",
    c99="log{f}({0})",
    partials=[lambda x, y: ops.div(1.0, x)],
)
elementwise(
    "log1p",
    _quiet(np.log1p),
    arity=1,
    array_api="log1p",
    c99="log1p{f}({0})",
    partials=[lambda x, y: ops.div(1.0, ops.add(x, 1.0))],
)
elementwise(
    "sqrt",
    _quiet(np.sqrt),
    arity=1,
    array_api="sqrt",
    c99="sqrt{f}({0})",
    partials=[lambda x, y: ops.div(0.5, y)],
)
elementwise(
    "sin", np.sin, arity=1, array_api="sin", c99="sin{f}({0})", partials=[lambda x, y: ops.cos(x)]
)
elementwise(
    "cos",
    np.cos,
    arity=1,
    array_api="cos",
    c99="cos{f}({0})",
    partials=[lambda x, y: ops.neg(ops.sin(x))],
)
elementwise(
    "tanh",
    np.tanh,
    arity=1,
    array_api="tanh",
    c99="tanh{f}({0})",
    partials=[lambda x, y: ops.sub(1.0, ops.mul(y, y))],
)
elementwise(
    "logistic",
    _logistic,
    arity=1,
    c99="(1 / (1 + exp{f}(-{0})))",
    partials=[lambda x, y: ops.mul(y, ops.sub(1.0, y))],
)
elementwise(
    "erf",
    _erf,
    arity=1,
    c99="erf{f}({0})",
    partials=[lambda x, y: ops.mul(1.1283791670955126, ops.exp(ops.neg(ops.mul(x, x))))],
)


def _share(x: Any, y: Any) -> Any:
    """Return the share of the first operand in max(x, y): 1, 0, or 1/2 at a tie."""
    dtype = x.dtype if hasattr(x, "dtype") else y.dtype
    above = ops.cast(ops.gt(x, y), dtype)
    tie = ops.cast(ops.eq(x, y), dtype)
    return ops.add(above, ops.mul(0.5, tie))


elementwise(
    "maximum",
    np.maximum,
    arity=2,
    kinds=_NUMBER,
    array_api="maximum",
    c99="({0} > {1} || {0} != {0} ? {0} : {1})",
    partials=[lambda x, y, z: _share(x, y), lambda x, y, z: _share(y, x)],
)
elementwise(
    "minimum",
    np.minimum,
    arity=2,
    kinds=_NUMBER,
    array_api="minimum",
    c99="({0} < {1} || {0} != {0} ? {0} : {1})",
    partials=[lambda x, y, z: _share(y, x), lambda x, y, z: _share(x, y)],
)
elementwise(
    "rem",
    _quiet(_remainder),
    arity=2,
    kinds=_NUMBER,
    array_api="remainder",
    c99="({0} - floor{f}({0} / {1}) * {1})",
    partials=[lambda x, y, z: 1, lambda x, y, z: ops.neg(ops.floor(ops.div(x, y)))],
)

for _name, _function, _api, _c in (
    ("eq", np.equal, "equal", "=="),
    ("ne", np.not_equal, "not_equal", "!="),
    ("lt", np.less, "less", "<"),
    ("le", np.less_equal, "less_equal", "<="),
    ("gt", np.greater, "greater", ">"),
    ("ge", np.greater_equal, "greater_equal", ">="),
):
    elementwise(
        _name,
        _function,
        arity=2,
        kinds=_ANY,
        result="bool",
        array_api=_api,
        c99=f"({{0}} {_c} {{1}})",
    )
for _name, _bitwise, _api, _c in (
    ("and", np.bitwise_and, "bitwise_and", "&"),
    ("or", np.bitwise_or, "bitwise_or", "|"),
    ("xor", np.bitwise_xor, "bitwise_xor", "^"),
):
    elementwise(_name, _bitwise, arity=2, kinds=_BITS, array_api=_api, c99=f"({{0}} {_c} {{1}})")
elementwise("not", np.bitwise_not, arity=1, kinds=("bool",), array_api="logical_not", c99="(!{0})")
elementwise(
    "shift_left",
    np.left_shift,
    arity=2,
    kinds=("int", "uint"),
    array_api="bitwise_left_shift",
    c99="({0} << {1})",
)
elementwise(
    "shift_right",
    np.right_shift,
    arity=2,
    kinds=("int", "uint"),
    array_api="bitwise_right_shift",
    c99="({0} >> {1})",
)
