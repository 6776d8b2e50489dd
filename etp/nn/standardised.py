"""Weights brought to mean zero and a fixed variance."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ShapeError

from ..functional import matmul
from ..given import mistake
from ..init import Initializer, Rng, constant, drawn, he
from ..model import Module, Param
from .bias import Bias, initial_bias
from .effective import Effective


class Standardised(Effective):
    r"""A weight of mean 0 and variance 1/N over the N inputs of each output, times a gain.

    Parameters
    ----------
    weight
        Array it is made from, outputs on the last axis.
    gain
        Whether to learn a gain per output, one at first.
    mask
        What the weight is multiplied by in the end: 0 for connections that do not exist.
    eps
        Least variance times N.
    """

    def __init__(
        self, weight: Any, *, gain: bool = True, mask: Any = None, eps: float = 1e-4
    ) -> None:
        self.w = Param(weight)
        self.gain = Param(constant((self.w.shape[-1],), 1.0)) if gain else None
        self.mask = None if mask is None else np.asarray(mask, self.w.value.dtype)
        self.eps = eps

    @property
    def keeps(self) -> str:
        """The connections that do not exist."""
        return "" if self.mask is None else "zeros where its mask has them"

    def __call__(self) -> Any:
        """Return the weight."""
        axes = tuple(range(self.w.ndim - 1))
        centred = xp.subtract(self.w, xp.mean(self.w, axis=axes, keepdims=True))
        variance = xp.mean(xp.square(centred), axis=axes, keepdims=True)
        spread = xp.maximum(xp.multiply(variance, float(prod(self.w.shape[:-1]))), self.eps)
        w = xp.divide(centred, xp.sqrt(spread))
        w = w if self.gain is None else xp.multiply(w, self.gain)
        return w if self.mask is None else xp.multiply(w, self.mask)


class ScaledWSLinear(Module):
    r"""Affine map with scaled weight standardisation.

    $$y = x\left(m \odot g\, \frac{W - \mu}{\sqrt{\max(N \sigma^2, \epsilon)}}\right) + b$$

    with mean $\mu$ and variance $\sigma^2$ over the N inputs of each output, a gain $g$ per
    output and a mask $m$. Qiao et al., "Micro-batch training with batch-channel normalization and
    weight standardization", 2019; with this scaling Brock, De & Smith, "Characterizing signal
    propagation to close the performance gap in unnormalized ResNets", ICLR 2021. The trace lives
    on the effective weight; the parameters are ``weight.w``, ``weight.gain`` and ``bias``.

    Parameters
    ----------
    n_in, n_out, bias, rng, w_init
        See `Linear`.
    gain
        Whether to learn $g$, one at first.
    mask
        $m$, an array (n_in, n_out).
    eps
        $\epsilon$.

    Raises
    ------
    ShapeError
        If the mask has another shape than the weight.
    """

    def __init__(
        self, n_in: int, n_out: int, *, bias: Bias = True, gain: bool = True, mask: Any = None,
        eps: float = 1e-4, rng: Rng, w_init: Initializer = he,
    ) -> None:  # fmt: skip
        if mask is not None and np.shape(mask) != (n_in, n_out):
            raise mistake(
                ShapeError, f"a mask of shape {np.shape(mask)} for weights ({n_in}, {n_out})",
                "give one entry per weight",
            )  # fmt: skip
        self.weight = Standardised(drawn(w_init, rng, (n_in, n_out)), gain=gain, mask=mask, eps=eps)
        self.bias = initial_bias(bias, (n_out,))

    def __call__(self, x: Any) -> Any:
        """Return the map of ``x``."""
        return matmul(x, self.weight, self.bias)
