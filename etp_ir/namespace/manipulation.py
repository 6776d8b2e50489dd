"""Functions of the standard that move elements without computing on them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import ShapeError
from ..tracer import Tracer
from .dispatch import (
    array,
    axis_index,
    axis_tuple,
    builder_of,
    cast,
    common_shape,
    expand,
    extension,
    failure,
    function,
    library_function,
    library_of,
    result_dtype,
)


def _tracers(items: Sequence[Any]) -> list[Tracer]:
    """Return the items as tracers of one element type."""
    builder = builder_of(*items)
    lifted = [array(builder, x) for x in items]
    dtype = result_dtype(builder, lifted)
    return [cast(x, dtype) for x in lifted]


def _one(x: Any) -> Tracer:
    return array(builder_of(x), x)


# -- axes ----------------------------------------------------------------------------------
@function
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """Return the elements in another shape; one extent may be -1."""
    x = _one(x)
    extents = [int(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,))]
    if extents.count(-1) == 1:
        known = 1
        for n in extents:
            known *= n if n != -1 else 1
        if known and x.size % known == 0:
            extents[extents.index(-1)] = x.size // known
    if any(n < 0 for n in extents):
        raise failure(
            ShapeError, f"`reshape` of {x.type} cannot give {extents}: other number of elements",
            how=f"choose extents with {x.size} elements in all",
        )  # fmt: skip
    return x if tuple(extents) == x.shape else ops.reshape(x, extents)


@function
def permute_dims(x: Any, /, axes: Any = None) -> Any:
    """Return the array with its axes in another order, reversed by default."""
    x = _one(x)
    order = range(x.ndim)[::-1] if axes is None else axes
    order = tuple(axis_index("permute_dims", a, x.ndim) for a in order)
    return x if order == tuple(range(x.ndim)) else ops.permute(x, order)


@function
def matrix_transpose(x: Any, /) -> Any:
    """Return the array with its last two axes exchanged."""
    x = _one(x)
    if x.ndim < 2:
        raise failure(ShapeError, f"`matrix_transpose` of {x.type} needs two axes")
    return ops.permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@function
def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """Return the array with axes moved to other positions."""
    x = _one(x)
    pairs = [
        [axis_index("moveaxis", a, x.ndim) for a in (p if isinstance(p, (tuple, list)) else (p,))]
        for p in (source, destination)
    ]
    order = [i for i in range(x.ndim) if i not in pairs[0]]
    for to, origin in sorted(zip(pairs[1], pairs[0], strict=True)):
        order.insert(to, origin)
    return permute_dims(x, tuple(order))


@function
def expand_dims(x: Any, /, *, axis: Any = 0) -> Any:
    """Return the array with a new axis of one element."""
    x = _one(x)
    listed = axis if isinstance(axis, (tuple, list)) else (axis,)
    new = axis_tuple("expand_dims", listed, x.ndim + len(listed))
    rest = iter(x.shape)
    return ops.reshape(x, [1 if i in new else next(rest) for i in range(x.ndim + len(listed))])


@function
def squeeze(x: Any, /, axis: Any = None) -> Any:
    """Return the array without axes of one element."""
    x = _one(x)
    axes = (
        tuple(i for i, n in enumerate(x.shape) if n == 1) if axis is None
        else axis_tuple("squeeze", axis, x.ndim)
    )  # fmt: skip
    if any(x.shape[a] != 1 for a in axes):
        raise failure(
            ShapeError, f"`squeeze` of {x.type} along axes {axes}, not all of one element"
        )
    return ops.reshape(x, [n for i, n in enumerate(x.shape) if i not in axes]) if axes else x


@function
def broadcast_to(x: Any, /, shape: Any) -> Any:
    """Return the array repeated to a shape."""
    x = _one(x)
    target = tuple(int(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,)))
    fits = x.ndim <= len(target) and all(
        n in (1, m) for n, m in zip(x.shape[::-1], target[::-1], strict=False)
    )
    if not fits:
        raise failure(ShapeError, f"`broadcast_to` of {x.type} does not fit {list(target)}")
    return expand(x, target)


@function
def broadcast_arrays(*arrays: Any) -> list[Any]:
    """Return the arrays repeated to their common shape."""
    builder = builder_of(*arrays)
    lifted = [array(builder, x) for x in arrays]
    shape = common_shape("broadcast_arrays", lifted)
    return [expand(x, shape) for x in lifted]


# -- joining and splitting -----------------------------------------------------------------
@function
def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """Return the arrays joined along an axis; with None, all their elements in a row."""
    if isinstance(arrays, Tracer):
        arrays = unstack(arrays)
    items = _tracers(arrays)
    if axis is None:
        return ops.concat([reshape(x, (x.size,)) for x in items], 0)
    if any(x.ndim == 0 for x in items):
        raise failure(
            ShapeError, "`concat` cannot join arrays without axes",
            how="use xp.stack, or reshape them to (1,)", operands=items, operation="concat",
        )  # fmt: skip
    return ops.concat(items, axis_index("concat", axis, items[0].ndim))


@function
def stack(arrays: Any, /, *, axis: int = 0) -> Any:
    """Return the arrays joined along a new axis."""
    items = _tracers(arrays)
    index = axis_index("stack", axis, items[0].ndim + 1)
    return ops.concat([expand_dims(x, axis=index) for x in items], index)


@function
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """Return the slices along an axis as a tuple."""
    x = _one(x)
    index = axis_index("unstack", axis, x.ndim)
    parts = split(x, x.shape[index], axis=index)
    return tuple(squeeze(part, axis=index) for part in parts)


def _eager_split(x: Any, sections: Any, *, axis: int = 0) -> Any:
    return library_function(library_of([x]), "split")(x, sections, axis=axis)


@extension(_eager_split)
def split(x: Any, /, sections: Any, *, axis: int = 0) -> Any:
    """Return consecutive parts: a number of equal ones, or cut at the given positions."""
    x = _one(x)
    index = axis_index("split", axis, x.ndim)
    extent = x.shape[index]
    if isinstance(sections, int):
        if sections < 1 or extent % sections:
            raise failure(
                ShapeError, f"`split` cannot cut {extent} elements of {x.type} in {sections} parts",
                how="give the positions of the cuts instead",
            )  # fmt: skip
        cuts = [i * (extent // sections) for i in range(1, sections)]
    else:
        cuts = [int(n) for n in sections]
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, extent], strict=True):
        low, high = [0] * x.ndim, list(x.shape)
        low[index] = min(start, extent)
        high[index] = builtins.max(low[index], min(stop, extent))
        parts.append(ops.slice_(x, low, high, [1] * x.ndim))
    return parts


# -- order and repetition ------------------------------------------------------------------
@function
def flip(x: Any, /, *, axis: Any = None) -> Any:
    """Return the array reversed along axes."""
    x = _one(x)
    axes = axis_tuple("flip", axis, x.ndim)
    return ops.reverse(x, axes) if axes else x


@function
def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """Return the array with its elements moved around, end to start."""
    x = _one(x)
    if axis is None:
        return reshape(roll(reshape(x, (x.size,)), shift, axis=0), x.shape)
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    for by, along in zip(shifts, axes, strict=True):
        index = axis_index("roll", along, x.ndim)
        cut = -by % x.shape[index] if x.shape[index] else 0
        if cut:
            head, tail = split(x, [cut], axis=index)
            x = ops.concat([tail, head], index)
    return x


@function
def repeat(x: Any, repeats: int, /, *, axis: int | None = None) -> Any:
    """Return the array with each element repeated the same number of times in place."""
    x = _one(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    index = axis_index("repeat", axis, x.ndim)
    times = int(repeats)
    spread = broadcast_to(
        expand_dims(x, axis=index + 1), (*x.shape[: index + 1], times, *x.shape[index + 1 :])
    )
    return reshape(spread, (*x.shape[:index], x.shape[index] * times, *x.shape[index + 1 :]))


@function
def tile(x: Any, repetitions: Any, /) -> Any:
    """Return copies of the array laid side by side."""
    x = _one(x)
    times = list(repetitions) if isinstance(repetitions, (tuple, list)) else [repetitions]
    rank = builtins.max(x.ndim, len(times))
    times = [1] * (rank - len(times)) + [int(n) for n in times]
    shape = (1,) * (rank - x.ndim) + x.shape
    inner = [n for pair in zip((1,) * rank, shape, strict=True) for n in pair]
    outer = [n for pair in zip(times, shape, strict=True) for n in pair]
    spread = broadcast_to(reshape(x, inner), outer)
    return reshape(spread, [a * b for a, b in zip(times, shape, strict=True)])
