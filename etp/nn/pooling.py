r"""Maxima and means of neighbouring positions, axis by axis on arrays [..., \*spatial, C]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ShapeError
from etp_ir.tracer import unwrap
from etp_ir.windows import Window

from ..given import mistake
from ..windowing import counted, pads, per_axis

Combine = Callable[[Any, Any], Any]


def max_pool(x: Any, window: Any, strides: Any = None, padding: Any = "VALID") -> Any:
    r"""Return the largest element of each window, $y_p = \max_k x_{p s + k - l}$.

    Parameters
    ----------
    x
        Array [..., \*spatial, C].
    window
        Extent of the window along each spatial axis, which says how many there are.
    strides
        Steps of the window; by default its extents, so that windows touch.
    padding
        As for `etp.conv`; padding is never the largest.

    Raises
    ------
    ShapeError
        If ``x`` has too few axes, or a window lies in the padding alone.
    """
    return _pooled(x, window, strides, padding, xp.maximum, -np.inf)


def avg_pool(
    x: Any, window: Any, strides: Any = None, padding: Any = "VALID", *, count_padding: bool = True
) -> Any:
    r"""Return the mean of each window, $y_p = \frac{1}{K} \sum_k x_{p s + k - l}$.

    Parameters
    ----------
    count_padding
        Whether padding counts as elements, which are zero; else a mean is over the elements that
        are in the window.
    x, window, strides, padding
        As for `max_pool`.

    Raises
    ------
    ShapeError
        As `max_pool` does.
    """
    x = unwrap(x)
    axes = _windows(x, window, strides, padding)
    total = _pooled(x, window, strides, padding, xp.add, 0.0)
    if count_padding or all(w.low <= 0 and w.high <= 0 for w in axes):
        return total / float(np.prod([w.taps for w in axes]))
    counts = [np.sum(w.table() >= 0, axis=0) for w in axes]
    return total * xp.astype(1.0 / reduce(np.multiply.outer, counts)[..., None], x.dtype)


def adaptive_avg_pool(x: Any, shape: Any) -> Any:
    r"""Return the means over as many windows along each spatial axis as ``shape`` says.

    Of n positions in m windows, window p has those from $\lfloor p n / m \rfloor$ up to, and
    without, $\lceil (p + 1) n / m \rceil$; windows overlap where m does not divide n.

    Raises
    ------
    ShapeError
        If ``x`` has too few axes.
    """
    x = unwrap(x)
    extents = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    extents = per_axis("the shape of adaptive pooling", extents, len(extents))
    sizes = _spatial(x, len(extents))
    for i, (n, m) in enumerate(zip(sizes, extents, strict=True)):
        bins = np.arange(m)
        start, stop = bins * n // m, -(-(bins + 1) * n // m)
        inside = (np.arange(n)[:, None] >= start) & (np.arange(n)[:, None] < stop)
        mean = xp.astype(inside / (stop - start), x.dtype)
        axis = x.ndim - 1 - len(extents) + i
        x = xp.moveaxis(xp.tensordot(x, mean, axes=((axis,), (0,))), -1, axis)
    return x


def global_avg_pool(x: Any, axes: int) -> Any:
    """Return the mean over the last ``axes`` spatial axes, which go: [..., C].

    Raises
    ------
    ShapeError
        If ``x`` has too few axes.
    """
    x = unwrap(x)
    _spatial(x, axes)
    return xp.mean(x, axis=tuple(range(x.ndim - 1 - axes, x.ndim - 1)))


def _spatial(x: Any, axes: int) -> Sequence[int]:
    """Return the extents of the spatial axes."""
    if len(x.shape) < axes + 1:
        raise mistake(
            ShapeError, f"pooling over {counted(axes)} got an array of shape {list(x.shape)}",
            f"give an array [{'D, H, W'[-3 * axes + 2 :]}, C], channels last",
        )  # fmt: skip
    return tuple(x.shape[len(x.shape) - 1 - axes : len(x.shape) - 1])


def _windows(x: Any, window: Any, strides: Any, padding: Any) -> list[Window]:
    """Return the window on each spatial axis."""
    taps = (window,) if np.ndim(window) == 0 else tuple(window)
    axes = len(taps)
    taps = per_axis("the window", taps, axes)
    steps = taps if strides is None else per_axis("strides", strides, axes)
    sizes = _spatial(x, axes)
    frame = pads(padding, sizes, taps, steps, (1,) * axes)
    found = [
        Window(n, k, s, low, high)
        for n, k, s, (low, high) in zip(sizes, taps, steps, frame, strict=True)
    ]
    for w in found:
        if not w.results or np.any(np.all(w.table() < 0, axis=0)):
            raise mistake(
                ShapeError, f"a window of {w.taps} on an axis of {w.extent} positions, padded by "
                f"{(w.low, w.high)}, has no element in it",
                "make the window smaller, or the padding less than the window",
            )  # fmt: skip
    return found


def _pooled(
    x: Any, window: Any, strides: Any, padding: Any, combine: Combine, outside: float
) -> Any:
    """Return the elements of each window combined, one axis after the other."""
    x = unwrap(x)
    windows = _windows(x, window, strides, padding)
    for i, w in enumerate(windows):
        axis = x.ndim - 1 - len(windows) + i
        x = _framed(x, axis, w, outside)
        cuts = []
        for k in range(w.taps):
            place = slice(k, k + (w.results - 1) * w.stride + 1, w.stride)
            cuts.append(x[(slice(None),) * axis + (place,)])
        x = reduce(combine, cuts)
    return x


def _framed(x: Any, axis: int, w: Window, outside: float) -> Any:
    """Return ``x`` padded with a number, or cropped, along an axis."""
    start, stop = max(-w.low, 0), w.extent + min(w.high, 0)
    x = x[(slice(None),) * axis + (slice(start, stop),)]
    parts = [x]
    for count, at in ((w.low, 0), (w.high, 2)):
        if count > 0:
            shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
            parts.insert(at, xp.full(shape, outside, dtype=x.dtype))
    return xp.concat(parts, axis=axis) if len(parts) > 1 else x
