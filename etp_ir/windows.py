"""The arithmetic of sliding windows, one spatial axis at a time.

A window of a convolution moves over an axis that may be padded, cropped (negative padding) and
spread out (dilated). Everything that follows from it, for the operation and for both of its
transposes, is arithmetic on six numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen


def dilated(extent: int, dilation: int) -> int:
    """Return the extent of an axis with ``dilation - 1`` holes between its elements."""
    return (extent - 1) * dilation + 1 if extent else 0


@frozen
class Window:
    r"""A window on one axis: result p reads with tap k at $p s + k d_k - l$ of the spread input.

    Attributes
    ----------
    extent, taps
        Extents of the input and of the kernel.
    stride
        $s$, by which the window moves from one result to the next.
    low, high
        $l$ and its counterpart at the end: zeros before and after the spread input; negative
        numbers crop it.
    spread
        Dilation of the input: element i lies at ``i * spread``, and between elements are zeros.
    dilation
        $d_k$, the distance of the taps.
    """

    extent: int
    taps: int
    stride: int = 1
    low: int = 0
    high: int = 0
    spread: int = 1
    dilation: int = 1

    @property
    def results(self) -> int:
        """Extent of the result."""
        room = dilated(self.extent, self.spread) + self.low + self.high
        return max((room - dilated(self.taps, self.dilation)) // self.stride + 1, 0)

    def table(self) -> Any:
        """Return the input position that each tap reads for each result, -1 where it reads zero.

        Shape ``(taps, results)``.
        """
        taps = np.arange(self.taps, dtype=np.int32)[:, None] * self.dilation
        at = np.arange(self.results, dtype=np.int32)[None, :] * self.stride + taps - self.low
        position = at // self.spread
        met = (at % self.spread == 0) & (position >= 0) & (position < self.extent)
        return np.where(met, position, -1).astype(np.int32)

    def to_input(self) -> Window:
        """Return the window by which a reversed kernel takes results back to the input."""
        span, low = dilated(self.taps, self.dilation), (self.taps - 1) * self.dilation - self.low
        high = (self.extent - 1) * self.spread + span - dilated(self.results, self.stride) - low
        return Window(self.results, self.taps, self.spread, low, high, self.stride, self.dilation)

    def to_kernel(self) -> Window:
        """Return the window by which the results, as a kernel, take the input to the taps."""
        span = dilated(self.results, self.stride) + (self.taps - 1) * self.dilation
        high = span - dilated(self.extent, self.spread) - self.low
        return Window(
            self.extent, self.results, self.dilation, self.low, high, self.spread, self.stride
        )


def attributes(windows: Sequence[Window]) -> dict[str, Any]:
    """Return the attributes of a convolution with one window for each spatial axis."""
    return {
        "strides": tuple(w.stride for w in windows),
        "padding": tuple((w.low, w.high) for w in windows),
        "lhs_dilation": tuple(w.spread for w in windows),
        "rhs_dilation": tuple(w.dilation for w in windows),
    }


def windows_of(
    spatial: Sequence[int], taps: Sequence[int], *, strides: Sequence[int],
    padding: Sequence[tuple[int, int]], lhs_dilation: Sequence[int], rhs_dilation: Sequence[int],
) -> list[Window]:  # fmt: skip
    """Return the window on each spatial axis, given extents and attributes."""
    rows = zip(spatial, taps, strides, padding, lhs_dilation, rhs_dilation, strict=True)
    return [Window(n, k, s, low, high, a, b) for n, k, s, (low, high), a, b in rows]
