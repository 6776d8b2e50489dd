"""Affine maps: of an input, and of an input together with a state."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..functional import element_wise, matmul
from ..init import Initializer, Rng, drawn, glorot, orthogonal
from ..model import Module, Param
from .bias import Bias, initial_bias


class Linear(Module):
    r"""Affine map of the last axis, $y = x W + b$.

    Parameters
    ----------
    n_in, n_out
        Sizes of the last axis before and after.
    bias
        $b$: True for one that starts at zero, a number for one that starts there, False or None
        for none. It is the same in every layer and cell that has this option.
    rng
        Generator or seed of the initial weight.
    w_init
        Initial weight: a function of `etp.init` or its name, or ``(rng, shape) -> array``.
    """

    def __init__(
        self, n_in: int, n_out: int, *, bias: Bias = True, rng: Rng, w_init: Initializer = glorot
    ) -> None:
        self.weight = Param(drawn(w_init, rng, (n_in, n_out)))
        self.bias = initial_bias(bias, (n_out,))

    def __call__(self, x: Any) -> Any:
        """Return the map of ``x``."""
        return matmul(x, self.weight, self.bias)


class Gate(Module):
    r"""Affine map of an input and a state, $y = x W_{in} + h W_{rec} + b$.

    The two weights are separate, so that the input's product does not wait for the state.

    Parameters
    ----------
    n_in, n_rec
        Width of the input; width of the state and of the result.
    n_state
        Width of the state, where it is not that of the result.
    bias
        See `Linear`.
    rng
        Generator or seed of the initial weights.
    w_in_init, w_rec_init
        Initial weights, see `Linear`.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        n_state: int | None = None,
        bias: Bias = 0.0,
        rng: Rng,
        w_in_init: Initializer = glorot,
        w_rec_init: Initializer = orthogonal,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.w_in = Param(drawn(w_in_init, rng, (n_in, n_rec)))
        self.w_rec = Param(drawn(w_rec_init, rng, (n_rec if n_state is None else n_state, n_rec)))
        self.b = initial_bias(bias, (n_rec,))

    def __call__(self, x: Any, h: Any) -> Any:
        """Return the map of the input ``x`` and the state ``h``."""
        return xp.add(self.from_input(x), matmul(h, self.w_rec))

    def from_input(self, x: Any) -> Any:
        """Return the part that does not depend on the state, with the bias."""
        return self.biased(matmul(x, self.w_in))

    def biased(self, y: Any) -> Any:
        """Return ``y + b``."""
        return y if self.b is None else xp.add(y, element_wise(self.b))


def products(x: Any, weights: Sequence[Any], *, fused: bool) -> list[Any]:
    """Return the product of ``x`` with each weight.

    With ``fused`` they are one product with the weights side by side, which is then split: one
    large matrix product instead of several small ones, and one trace instead of several. The
    gradients are the same.
    """
    if not fused:
        return [matmul(x, w) for w in weights]
    y = matmul(x, xp.concat(list(weights), axis=1))
    ends = list(accumulate(w.shape[1] for w in weights))
    return [y[..., a:b] for a, b in zip([0, *ends], ends, strict=False)]
