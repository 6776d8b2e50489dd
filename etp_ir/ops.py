"""The primitives as functions, for writing rules; operands must fit exactly (no broadcasting).

The array-API namespace, which does broadcast and promote, is `etp_ir.namespace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .primitive import get
from .tracer import bind


def _unary(name: str) -> Any:
    def function(x: Any) -> Any:
        return bind(get(name), x)

    function.__name__ = name
    function.__doc__ = f"Return `{name}` of the operand, element by element."
    return function


def _binary(name: str) -> Any:
    def function(x: Any, y: Any) -> Any:
        return bind(get(name), x, y)

    function.__name__ = name
    function.__doc__ = f"Return `{name}` of the two operands, element by element."
    return function


neg, exp, expm1, log, log1p, sqrt, tanh, logistic, sin, cos, sign, abs_, floor, not_ = map(
    _unary, ("neg", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "logistic", "sin", "cos",
             "sign", "abs", "floor", "not")
)  # fmt: skip
erf = _unary("erf")
stop_gradient = _unary("stop_gradient")
add, sub, mul, div, pow_, maximum, minimum, rem = map(
    _binary, ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "rem")
)
eq, ne, lt, le, gt, ge, and_, or_, xor, shift_left, shift_right = map(
    _binary, ("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "shift_left", "shift_right")
)


def select(condition: Any, x: Any, y: Any) -> Any:
    """Return ``x`` where the condition holds, else ``y``."""
    return bind(get("select"), condition, x, y)


def cast(x: Any, dtype: Any) -> Any:
    """Return ``x`` with another element type."""
    return bind(get("cast"), x, dtype=dtype)


def contract(x: Any, y: Any, spec: str) -> Any:
    """Return the two-operand einsum ``spec`` of ``x`` and ``y``."""
    return bind(get("contract"), x, y, spec=spec)


def conv(
    x: Any, w: Any, *, strides: Sequence[int], padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int], rhs_dilation: Sequence[int], groups: int,
) -> Any:  # fmt: skip
    """Return the convolution of ``x`` [..., C, *S] with the kernel ``w`` [O, C / groups, *K]."""
    return bind(
        get("conv"), x, w, strides=tuple(strides), padding=tuple((a, b) for a, b in padding),
        lhs_dilation=tuple(lhs_dilation), rhs_dilation=tuple(rhs_dilation), groups=groups,
    )  # fmt: skip


def broadcast(x: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """Return ``x`` repeated to ``shape``; axis i of ``x`` becomes axis ``axes[i]``."""
    return bind(get("broadcast"), x, shape=tuple(shape), axes=tuple(axes))


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """Return the elements of ``x`` in another shape, in row-major order."""
    return bind(get("reshape"), x, shape=tuple(int(n) for n in shape))


def permute(x: Any, order: Sequence[int]) -> Any:
    """Return ``x`` with its axes in another order."""
    return bind(get("permute"), x, order=tuple(order))


def concat(xs: Sequence[Any], axis: int) -> Any:
    """Return the arrays joined along an axis."""
    return bind(get("concat"), *xs, axis=axis)


def slice_(x: Any, start: Sequence[int], stop: Sequence[int], step: Sequence[int]) -> Any:
    """Return ``x[start:stop:step]`` on every axis, with positive steps."""
    return bind(get("slice"), x, start=tuple(start), stop=tuple(stop), step=tuple(step))


def pad(x: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int]) -> Any:
    """Return ``x`` with zeros before, after and between the elements of every axis."""
    return bind(get("pad"), x, low=tuple(low), high=tuple(high), interior=tuple(interior))


def reverse(x: Any, axes: Sequence[int]) -> Any:
    """Return ``x`` reversed along axes."""
    return bind(get("reverse"), x, axes=tuple(axes))


def reduce_sum(x: Any, axes: Sequence[int]) -> Any:
    """Return the sum over axes."""
    return bind(get("reduce_sum"), x, axes=tuple(axes))


def reduce_max(x: Any, axes: Sequence[int]) -> Any:
    """Return the maximum over axes."""
    return bind(get("reduce_max"), x, axes=tuple(axes))


def gather(x: Any, indices: Any, axis: int) -> Any:
    """Return ``take(x, indices, axis)``."""
    return bind(get("gather"), x, indices, axis=axis)


def scatter_add(x: Any, indices: Any, axis: int, extent: int) -> Any:
    """Return the sum of slices of ``x`` at their indices: the transpose of `gather`."""
    return bind(get("scatter_add"), x, indices, axis=axis, extent=extent)


def sparse_contract(x: Any, data: Any, rows: Any, cols: Any, extent: int, order: str) -> Any:
    """Return ``x @ M``, nonzero n of ``M`` lying at ``rows[n], cols[n]``, sorted by ``order``."""
    return bind(get("sparse_contract"), x, data, rows, cols, extent=extent, order=order)


def sparse_sample(x: Any, y: Any, rows: Any, cols: Any, kept: int, order: str) -> Any:
    """Return ``x.T @ y`` at the nonzeros only, for each index of the ``kept`` leading axes."""
    return bind(get("sparse_sample"), x, y, rows, cols, kept=kept, order=order)


def qr(x: Any) -> tuple[Any, Any]:
    """Return ``Q, R`` of matrices (..., m, n) in reduced form, no ``R[i, i]`` negative."""
    q, r = bind(get("qr"), x)
    return q, r


def svd(x: Any) -> tuple[Any, Any, Any]:
    """Return ``U, s, V^T`` of matrices (..., m, n) in thin form, ``s`` descending."""
    u, s, vh = bind(get("svd"), x)
    return u, s, vh


def eigh(x: Any) -> tuple[Any, Any]:
    """Return eigenvalues, ascending, and eigenvectors of symmetric matrices (..., n, n)."""
    values, vectors = bind(get("eigh"), x)
    return values, vectors


def foreign(*arrays: Any, function: str, types: Sequence[str]) -> tuple[Any, ...]:
    """Return what a function of the array library makes of arrays, see `primitives.foreign`."""
    found = bind(get("foreign"), *arrays, function=function, types=tuple(types))
    return found if isinstance(found, tuple) else (found,)


def eye(builder: Any, n: int, dtype: Any) -> Any:
    """Return the identity matrix as nodes of a builder."""
    from .tracer import Tracer
    from .types import I32

    def count(axis: int) -> Any:
        attrs = {"shape": (n, n), "axis": axis, "dtype": I32}
        return Tracer(builder, builder.emit(get("iota"), [], attrs)[0])

    return cast(eq(count(0), count(1)), dtype)


def full(builder: Any, shape: Sequence[int], number: Any, dtype: Any) -> Any:
    """Return a constant array as a node of a builder."""
    from .tracer import Tracer, literal

    value = builder.emit(
        get("broadcast"), [literal(number, dtype)], {"shape": tuple(shape), "axes": ()}
    )[0]
    return Tracer(builder, value)
