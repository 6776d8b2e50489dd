"""Indexing of traced arrays, with the meaning NumPy gives to the same key."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .. import ops
from ..builder import Builder
from ..errors import NotSupportedError, ShapeError
from ..tracer import Tracer, is_number
from .dispatch import array, axis_index, builder_of, extension, failure, function, lift
from .elementwise import add, less, where
from .manipulation import reshape


@extension(operator.getitem)
def getitem(x: Any, key: Any, /) -> Any:
    """Return ``x[key]``: integers, slices, ``...``, None and integer arrays, traced or not."""
    builder = builder_of(x, key)
    x = array(builder, x)
    entries = _entries(x, list(key) if isinstance(key, tuple) else [key])
    x = _sliced(x, [e for e in entries if e is not None])
    shape: list[int] = []
    picks: list[tuple[int, Any]] = []
    source = 0
    for entry in entries:
        if entry is None:
            shape.append(1)
            continue
        if _is_array(entry):
            picks.append((len(shape), entry))
        if not isinstance(entry, int):
            shape.append(x.shape[source])
        source += 1
    _refuse_mixture(entries)
    x = reshape(x, shape)
    # From the last axis to the first: a gather changes the number of axes behind its own.
    for axis, index in reversed(picks):
        x = ops.gather(x, _indices(builder, index, x.shape[axis]), axis)
    return x


def _is_array(entry: Any) -> bool:
    return entry is not None and not isinstance(entry, (int, slice))


def _entries(x: Tracer, key: list[Any]) -> list[Any]:
    """Return one entry per axis of ``x``, and None for each new axis."""
    items = [_plain(e) for e in key]
    used = sum(e is not None and e is not Ellipsis for e in items)
    if used > x.ndim:
        raise failure(ShapeError, f"{used} indices for an array of {x.ndim} axes, {x.type}")
    dots = [i for i, e in enumerate(items) if e is Ellipsis]
    if len(dots) > 1:
        raise failure(ShapeError, "an index has room for one `...` only")
    at = dots[0] if dots else len(items)
    rest = [slice(None)] * (x.ndim - used)
    return items[:at] + rest + items[at + 1 :]


def _plain(entry: Any) -> Any:
    """Return an entry as an int, a slice, None, Ellipsis, or an array of integers."""
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    if isinstance(entry, Tracer):
        if entry.dtype.kind not in ("int", "uint"):
            raise failure(
                NotSupportedError, f"an index of type {entry.type} would make the shape unknown",
                how="use xp.where(mask, x, 0) for a mask, or an integer index",
            )  # fmt: skip
        return entry
    if isinstance(entry, (bool, np.bool_)):
        raise failure(NotSupportedError, "a truth value as an index", how="use xp.expand_dims")
    if is_number(entry) and not isinstance(entry, (float, np.floating)):
        return operator.index(entry)
    data = np.asarray(entry)
    if data.dtype == np.bool_ and data.ndim == 1:
        return np.flatnonzero(data)
    if data.dtype.kind in "iu" and data.ndim == 0:
        return int(data)
    if data.size == 0:
        return data.astype(np.int32)
    if data.dtype.kind not in "iu":
        raise failure(
            NotSupportedError, f"an index of element type {data.dtype}", how="index by integers"
        )
    return data


def _refuse_mixture(entries: list[Any]) -> None:
    """Raise where NumPy's result would depend on combining several indices."""
    wide = [e for e in entries if _is_array(e) and np.ndim(_shape_holder(e)) > 0]
    places = [i for i, e in enumerate(entries) if _is_array(e) or isinstance(e, int)]
    apart = bool(places) and places[-1] - places[0] + 1 != len(places)
    if len(wide) > 1 or (wide and apart):
        raise failure(
            NotSupportedError, "several integer indices that NumPy would combine into one",
            how="index one axis at a time, or use xp.take",
        )  # fmt: skip


def _shape_holder(entry: Any) -> Any:
    return np.empty(entry.shape, np.bool_)


def _sliced(x: Tracer, entries: list[Any]) -> Tracer:
    """Return ``x`` cut by the integers and slices; integers leave an axis of one element."""
    start: list[int] = []
    stop: list[int] = []
    step: list[int] = []
    backwards: list[int] = []
    for axis, (entry, extent) in enumerate(zip(entries, x.shape, strict=True)):
        if isinstance(entry, int):
            if not -extent <= entry < extent:
                raise failure(ShapeError, f"index {entry} is outside axis {axis} of {x.type}")
            first = entry % extent
            row = (first, first + 1, 1)
        elif isinstance(entry, slice):
            picked = range(extent)[entry]
            if picked.step < 0:
                backwards.append(axis)
                picked = picked[::-1]
            row = (picked.start, picked[-1] + 1, picked.step) if len(picked) else (0, 0, 1)
        else:
            row = (0, extent, 1)
        for bounds, bound in zip((start, stop, step), row, strict=True):
            bounds.append(bound)
    if (start, stop) != ([0] * x.ndim, list(x.shape)) or step != [1] * x.ndim:
        x = ops.slice_(x, start, stop, step)
    return ops.reverse(x, backwards) if backwards else x


def _indices(builder: Builder, index: Any, extent: int) -> Any:
    """Return indices counted from the front.

    Raises
    ------
    ShapeError
        If a known index is outside the axis.
    """
    if isinstance(index, Tracer):
        if index.dtype.kind == "uint":
            return index
        return where(less(index, 0), add(index, extent), index)
    if index.size and not (-extent <= index.min() and index.max() < extent):
        raise failure(ShapeError, f"an index is outside an axis of {extent} elements")
    return lift(builder, np.asarray(index % extent if index.size else index, np.int32))


@function
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """Return the elements at integer indices along an axis."""
    builder = builder_of(x, indices)
    x = array(builder, x)
    if axis is None and x.ndim != 1:
        raise failure(ShapeError, f"`take` from {x.type} needs an axis", how="give `axis=`")
    index = axis_index("take", axis or 0, x.ndim)
    key = _plain(indices)
    if isinstance(key, int):
        key = np.asarray(key)
    return ops.gather(x, _indices(builder, key, x.shape[index]), index)
