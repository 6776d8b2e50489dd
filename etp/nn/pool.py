"""Pooling layers, channels last; they have no weights and any number of axes may lead."""

from __future__ import annotations

from typing import Any, ClassVar

from ..model import Module
from ..windowing import checked_padding, per_axis
from .family import Family
from .pooling import adaptive_avg_pool, avg_pool, global_avg_pool, max_pool


class _Windows(Family):
    """Windows over the spatial axes, and where they stand."""

    axes: ClassVar[int]

    def __init__(self, window: Any, stride: Any = None, *, padding: Any = "VALID") -> None:
        self.window = per_axis("the window", window, self.axes)
        self.stride = self.window if stride is None else per_axis("stride", stride, self.axes)
        self.padding = checked_padding(padding, self.axes)


class MaxPool(_Windows):
    r"""What the maxima have in common.

    $$y_p = \max_k x_{p s + k - l}$$

    Where several elements are the largest, the derivative is shared between them. See `max_pool`.

    Parameters
    ----------
    window
        Extent of the window: one number, or one for each spatial axis.
    stride
        Steps of the window; by default its extent, so that windows touch.
    padding
        ``"SAME"``, ``"VALID"``, a number, or a number or pair for each spatial axis.
    """

    def __call__(self, x: Any) -> Any:
        """Return the maxima of ``x`` [..., *spatial, C]."""
        return max_pool(x, self.window, self.stride, self.padding)


class MaxPool1d(MaxPool):
    """Largest elements of windows of [..., W, C]."""

    axes = 1


class MaxPool2d(MaxPool):
    """Largest elements of windows of [..., H, W, C]."""

    axes = 2


class MaxPool3d(MaxPool):
    """Largest elements of windows of [..., D, H, W, C]."""

    axes = 3


class AvgPool(_Windows):
    r"""What the means have in common.

    $$y_p = \frac{1}{K} \sum_k x_{p s + k - l}$$

    See `avg_pool`.

    Parameters
    ----------
    window
        Extent of the window: one number, or one for each spatial axis.
    stride
        Steps of the window; by default its extent, so that windows touch.
    padding
        ``"SAME"``, ``"VALID"``, a number, or a number or pair for each spatial axis.
    count_padding
        Whether padding counts as elements, which are zero.
    """

    def __init__(
        self, window: Any, stride: Any = None, *, padding: Any = "VALID",
        count_padding: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(window, stride, padding=padding)
        self.count_padding = count_padding

    def __call__(self, x: Any) -> Any:
        """Return the means of ``x`` [..., *spatial, C]."""
        return avg_pool(x, self.window, self.stride, self.padding, count_padding=self.count_padding)


class AvgPool1d(AvgPool):
    """Means of windows of [..., W, C]."""

    axes = 1


class AvgPool2d(AvgPool):
    """Means of windows of [..., H, W, C]."""

    axes = 2


class AvgPool3d(AvgPool):
    """Means of windows of [..., D, H, W, C]."""

    axes = 3


class AdaptiveAvgPool(Module):
    """Means over as many windows along each spatial axis as asked for; see `adaptive_avg_pool`.

    Parameters
    ----------
    shape
        Extents of the result, one for each spatial axis.
    """

    def __init__(self, shape: Any) -> None:
        self.shape = shape

    def __call__(self, x: Any) -> Any:
        """Return the means of ``x`` [..., *spatial, C]."""
        return adaptive_avg_pool(x, self.shape)


class GlobalAvgPool(Module):
    """Mean over all positions, [..., *spatial, C] to [..., C]; see `global_avg_pool`.

    Parameters
    ----------
    axes
        Number of spatial axes.
    """

    def __init__(self, axes: int) -> None:
        self.axes = axes

    def __call__(self, x: Any) -> Any:
        """Return the mean of ``x`` over its spatial axes."""
        return global_avg_pool(x, self.axes)
