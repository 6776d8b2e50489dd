"""The chaos-free network."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import Module, State
from .cell import register
from .linear import Gate, Linear


@register
class CFNCell(Module):
    r"""Chaos-free network: without an input, the state relaxes to zero.

    $$\begin{aligned}
    f &= \sigma(x W^f_{in} + h W^f_{rec} + b^f) &
    i &= \sigma(x W^i_{in} + h W^i_{rec} + b^i) \\
    h' &= f \odot \tanh(h) + i \odot \tanh(x W^n)
    \end{aligned}$$

    Laurent & von Brecht, "A recurrent neural network without chaos", ICLR 2017, where the
    gates $f$ and $i$ are called $\theta$ and $\eta$.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    forget_bias
        Initial $b^f$; positive keeps the memory open at first. Minus it is the initial $b^i$.
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.

    Notes
    -----
    D-RTRL: approximate ``f.*``, ``i.*``, ``n.*``.
    """

    def __init__(self, n_in: int, n_rec: int, *, forget_bias: float = 1.0, rng: Rng) -> None:
        rng = np.random.default_rng(rng)
        self.f = Gate(n_in, n_rec, rng=rng, bias=forget_bias)
        self.i = Gate(n_in, n_rec, rng=rng, bias=-forget_bias)
        self.n = Linear(n_in, n_rec, rng=rng, bias=False)
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        h = self.h.value
        f, i = xp.sigmoid(self.f(x, h)), xp.sigmoid(self.i(x, h))
        self.h.value = f * xp.tanh(h) + i * xp.tanh(self.n(x))
        return self.h.value
