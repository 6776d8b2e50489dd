"""The minimal gated unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import Module, State
from .cell import register
from .linear import Gate


@register
class MGUCell(Module):
    r"""Minimal gated unit: a gated recurrent unit whose two gates are one.

    $$\begin{aligned}
    f &= \sigma(x W^f_{in} + h W^f_{rec} + b^f) \\
    n &= \tanh(x W^n_{in} + (f \odot h) W^n_{rec} + b^n) \\
    h' &= (1 - f) \odot h + f \odot n
    \end{aligned}$$

    Zhou et al., "Minimal gated unit for recurrent neural networks", International Journal of
    Automation and Computing 2016.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.

    Notes
    -----
    D-RTRL: approximate ``f.*``, ``n.*``.
    """

    def __init__(self, n_in: int, n_rec: int, *, rng: Rng) -> None:
        rng = np.random.default_rng(rng)
        self.f = Gate(n_in, n_rec, rng=rng)
        self.n = Gate(n_in, n_rec, rng=rng)
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        h = self.h.value
        f = xp.sigmoid(self.f(x, h))
        n = xp.tanh(self.n(x, f * h))
        self.h.value = (1 - f) * h + f * n
        return self.h.value
