"""Normalisation of one example: by the mean and size of its own features."""

from __future__ import annotations

from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError

from ..functional import element_wise
from ..given import extents_of, mistake
from ..init import constant
from ..model import Module, Param


def standardised(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """Return ``x`` with mean 0 and variance 1 over axes."""
    centred = xp.subtract(x, xp.mean(x, axis=axes, keepdims=True))
    variance = xp.mean(xp.square(centred), axis=axes, keepdims=True)
    return xp.divide(centred, xp.sqrt(xp.add(variance, eps)))


class Affine(Module):
    """Gain and shift of each feature, either of which may be absent."""

    def __init__(self, shape: tuple[int, ...], scale: bool, bias: bool) -> None:
        self.weight = Param(constant(shape, 1.0)) if scale else None
        self.bias = Param(constant(shape, 0.0)) if bias else None

    def affine(self, x: Any, shape: tuple[int, ...] | None = None) -> Any:
        """Return ``x * weight + bias``, the two given the axes of ``shape``."""

        def fit(w: Any) -> Any:
            return element_wise(w if shape is None else xp.reshape(w, shape))

        if self.weight is not None:
            x = xp.multiply(x, fit(self.weight))
        return x if self.bias is None else xp.add(x, fit(self.bias))


class LayerNorm(Affine):
    r"""Layer normalisation over the last axes.

    $$y = g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b$$

    with mean $\mu$ and variance $\sigma^2$ over the features of one example. Ba, Kiros & Hinton,
    "Layer normalization", 2016.

    Every feature acts on every other, so between a weight and a state it mixes positions: see
    ``tail`` of `etp.compile`.

    Parameters
    ----------
    shape
        Number of features, or the shape of the axes that are normalised together.
    eps
        $\epsilon$.
    scale, bias
        Whether to learn $g$ (``weight``, ones at first) and $b$ (``bias``, zeros at first).

    Raises
    ------
    ShapeError
        If the last axes of the input are not those declared, with the user's line.
    """

    def __init__(
        self, shape: Any, *, eps: float = 1e-5, scale: bool = True, bias: bool = True
    ) -> None:
        self.shape = extents_of(shape, "a LayerNorm")
        self.eps = eps
        super().__init__(self.shape, scale, bias)

    def __call__(self, x: Any) -> Any:
        """Return the normalised features."""
        axes = _last(x, self.shape, "LayerNorm")
        return self.affine(standardised(x, axes, self.eps))


class RMSNorm(Affine):
    r"""Normalisation by the root mean square over the last axes.

    $$y = g \odot \frac{x}{\sqrt{\mathrm{mean}(x^2) + \epsilon}}$$

    Zhang & Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Parameters
    ----------
    shape, eps, scale
        See `LayerNorm`.
    """

    def __init__(self, shape: Any, *, eps: float = 1e-6, scale: bool = True) -> None:
        self.shape = extents_of(shape, "an RMSNorm")
        self.eps = eps
        super().__init__(self.shape, scale, False)

    def __call__(self, x: Any) -> Any:
        """Return the normalised features."""
        axes = _last(x, self.shape, "RMSNorm")
        power = xp.mean(xp.square(x), axis=axes, keepdims=True)
        return self.affine(xp.divide(x, xp.sqrt(xp.add(power, self.eps))))


class GroupNorm(Affine):
    r"""Normalisation over groups of channels, all places of each together.

    $$y_c = g_c\, \frac{x_c - \mu_{G(c)}}{\sqrt{\sigma_{G(c)}^2 + \epsilon}} + b_c$$

    with mean and variance over all places and the channels of the group $G(c)$. Wu & He, "Group
    normalization", ECCV 2018. One group is layer normalisation over everything, one channel per
    group is instance normalisation.

    Parameters
    ----------
    groups, channels
        Number of groups, which divides the number of channels.
    channel_axis
        Axis of the channels in one example; the last by default.
    eps, scale, bias
        See `LayerNorm`.

    Raises
    ------
    ModelError
        If the channels cannot be divided into the groups.
    ShapeError
        If the input has another number of channels, with the user's line.
    """

    def __init__(
        self, groups: int, channels: int, *, channel_axis: int = -1, eps: float = 1e-5,
        scale: bool = True, bias: bool = True,
    ) -> None:  # fmt: skip
        if groups < 1 or channels % groups:
            raise mistake(
                ModelError, f"{channels} channels cannot be divided into {groups} groups",
                "choose a number of groups that divides the number of channels",
            )  # fmt: skip
        self.groups, self.channels, self.channel_axis = groups, channels, channel_axis
        self.eps = eps
        super().__init__((channels,), scale, bias)

    def __call__(self, x: Any) -> Any:
        """Return the normalised channels."""
        axis, shape = channel_axis(x, self.channels, self.channel_axis, "GroupNorm")
        split = (*shape[:axis], self.groups, self.channels // self.groups, *shape[axis + 1 :])
        together = tuple(i for i in range(len(split)) if i != axis)
        normed = xp.reshape(standardised(xp.reshape(x, split), together, self.eps), shape)
        return self.affine(normed, over_axis(shape, axis))


def channel_axis(x: Any, channels: int, axis: int, what: str) -> tuple[int, tuple[int, ...]]:
    """Return the axis of the channels counted from the front, and the shape of ``x``.

    Raises
    ------
    ShapeError
        If there is another number of channels.
    """
    shape = tuple(xp.asarray(x).shape)
    if not -len(shape) <= axis < len(shape) or shape[axis] != channels:
        raise mistake(
            ShapeError, f"{what} of {channels} channels on axis {axis} got an input of {shape}",
            "give the number of channels and their axis in one example, without a batch axis",
        )  # fmt: skip
    return axis % len(shape), shape


def over_axis(shape: tuple[int, ...], axis: int) -> tuple[int, ...] | None:
    """Return the shape in which numbers of one axis meet an array; None where they do already."""
    if axis == len(shape) - 1:
        return None
    return tuple(n if i == axis else 1 for i, n in enumerate(shape))


def _last(x: Any, shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    """Return the axes to normalise, the last ones."""
    found = tuple(xp.asarray(x).shape)
    if found[len(found) - len(shape) :] != shape or len(found) < len(shape):
        raise mistake(
            ShapeError, f"{what} over {shape} got an input of {found}",
            "give the sizes of the last axes of one example",
        )  # fmt: skip
    return tuple(range(len(found) - len(shape), len(found)))
