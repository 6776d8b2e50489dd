"""Weights apart into length and direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..model import Module, Param
from .effective import Effective, with_weight


class Normalised(Effective):
    r"""A weight as length and direction, $g\, v / \lVert v \rVert$.

    Parameters
    ----------
    weight
        Array it is at first: $v$ is a copy, $g$ its length.
    axis
        Axis whose entries have a length each; the norm runs over all others. The last axis of a
        weight is its outputs.
    """

    def __init__(self, weight: Any, axis: int = -1) -> None:
        array = np.asarray(weight.value)
        self.axes = tuple(i for i in range(array.ndim) if i != axis % array.ndim)
        self.g = Param(np.sqrt(np.sum(array**2, axis=self.axes, keepdims=True)))
        self.v = Param(array)

    def __call__(self) -> Any:
        """Return the weight."""
        length = xp.sqrt(xp.sum(xp.square(self.v), axis=self.axes, keepdims=True))
        return xp.multiply(xp.divide(self.g, length), self.v)


class WeightNorm(Module):
    r"""A layer whose weight is learned as length and direction.

    $$W = g\, \frac{v}{\lVert v \rVert}$$

    Salimans & Kingma, "Weight normalization: a simple reparameterization to accelerate training
    of deep neural networks", NeurIPS 2016. The trace lives on $W$; the parameters are
    ``layer.weight.g``, ``layer.weight.v`` and what else the layer has.

    Parameters
    ----------
    layer
        Any layer with a ``weight``; it is left as it is and shares its other parameters. At first
        both compute the same.
    axis
        Axis of the weight whose entries have a length each, by default the outputs.

    Raises
    ------
    ModelError
        If the layer has no weight with two axes or more, or one that keeps something, such as the
        signs of `SignedWLinear`.
    """

    def __init__(self, layer: Any, *, axis: int = -1) -> None:
        self.layer = with_weight(layer, lambda w: Normalised(w, axis), "WeightNorm")

    def __call__(self, x: Any) -> Any:
        """Return the layer's output."""
        return self.layer(x)
