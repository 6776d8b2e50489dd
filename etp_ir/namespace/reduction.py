"""Functions of the standard that reduce or accumulate along axes."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..errors import ShapeError
from ..primitive import get
from ..tracer import Tracer, bind
from ..types import BOOL, I32, dtype_of
from .dispatch import array, axis_index, axis_tuple, builder_of, cast, failure, function
from .elementwise import divide, logical_not, negative, sqrt, square, subtract, truth
from .manipulation import reshape


def _kept(x: Tracer, reduced: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return a reduced array, with the reduced axes as axes of one element if asked."""
    if not keepdims:
        return reduced
    return ops.reshape(reduced, [1 if i in axes else n for i, n in enumerate(x.shape)])


def _counted(x: Tracer, axes: tuple[int, ...]) -> int:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count


@function
def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Return the sum over axes; truth values are counted."""
    x = array(builder_of(x), x)
    wanted = dtype_of(dtype) if dtype is not None else I32 if x.dtype is BOOL else x.dtype
    x = cast(x, wanted)
    axes = axis_tuple("sum", axis, x.ndim)
    return _kept(x, ops.reduce_sum(x, axes), axes, keepdims) if axes else x


@function
def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the mean over axes."""
    builder = builder_of(x)
    x = array(builder, x)
    if not x.dtype.is_float:
        x = cast(x, builder.float_dtype)
    axes = axis_tuple("mean", axis, x.ndim)
    total = sum(x, axis=axes, keepdims=keepdims)
    return ops.div(total, float(_counted(x, axes))) if axes else x


@function
def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Return the variance over axes; ``correction=1`` gives the unbiased estimate."""
    x = array(builder_of(x), x)
    axes = axis_tuple("var", axis, x.ndim)
    squares = square(subtract(x, mean(x, axis=axes, keepdims=True)))
    return divide(sum(squares, axis=axes, keepdims=keepdims), _counted(x, axes) - correction)


@function
def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Return the standard deviation over axes."""
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


@function
def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the largest element along axes; equal ones share the derivative."""
    x = array(builder_of(x), x)
    axes = axis_tuple("max", axis, x.ndim)
    if 0 in (x.shape[a] for a in axes):
        raise failure(ShapeError, f"`max` of no elements, in {x.type}")
    return _kept(x, ops.reduce_max(x, axes), axes, keepdims) if axes else x


@function
def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the smallest element along axes; equal ones share the derivative."""
    return negative(max(negative(x), axis=axis, keepdims=keepdims))


@function
def prod(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the product over axes, by halving, so that zeros have a derivative too."""
    x = array(builder_of(x), x)
    axes = axis_tuple("prod", axis, x.ndim)
    rest = x
    for axis_ in axes:
        while rest.shape[axis_] > 1:
            half, odd = divmod(rest.shape[axis_], 2)
            pairs = ops.mul(_part(rest, axis_, 0, half), _part(rest, axis_, half, 2 * half))
            last = [_part(rest, axis_, 2 * half, 2 * half + 1)] if odd else []
            rest = ops.concat([pairs, *last], axis_) if last else pairs
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    return rest if keepdims else reshape(rest, [n for i, n in enumerate(shape) if i not in axes])


def _part(x: Tracer, axis: int, start: int, stop: int) -> Tracer:
    low, high = [0] * x.ndim, list(x.shape)
    low[axis], high[axis] = start, stop
    return ops.slice_(x, low, high, [1] * x.ndim)


@function
def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether some element along axes differs from zero."""
    flags = cast(truth(array(builder_of(x), x)), I32)
    return truth(sum(flags, axis=axis, keepdims=keepdims))


@function
def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether all elements along axes differ from zero."""
    return logical_not(any(logical_not(x), axis=axis, keepdims=keepdims))


@function
def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the first largest element along an axis, or in all elements."""
    x = array(builder_of(x), x)
    flat = reshape(x, (x.size,)) if axis is None else x
    index = 0 if axis is None else axis_index("argmax", axis, x.ndim)
    axes = tuple(range(x.ndim)) if axis is None else (index,)
    return _kept(x, bind(get("argmax"), flat, axis=index), axes, keepdims)


@function
def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the first smallest element along an axis, or in all elements."""
    return argmax(negative(x), axis=axis, keepdims=keepdims)


@function
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Return the running sum along an axis."""
    from .creation import zeros_like
    from .manipulation import concat

    x = array(builder_of(x), x)
    if axis is None and x.ndim != 1:
        raise failure(ShapeError, f"`cumulative_sum` of {x.type} needs an axis", how="give `axis=`")
    index = axis_index("cumulative_sum", axis or 0, x.ndim)
    x = cast(x, dtype_of(dtype) if dtype is not None else I32 if x.dtype is BOOL else x.dtype)
    total = bind(get("cumsum"), x, axis=index, reverse=False)
    if include_initial:
        total = concat([zeros_like(_part(x, index, 0, 1)), total], axis=index)
    return total
