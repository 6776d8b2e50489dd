"""Long short-term memory without recurrent weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng, constant
from ..model import Module, Param, State
from .cell import register
from .linear import Linear


@register
class MiniLSTMCell(Module):
    r"""minLSTM: the gates read the input alone, so nothing mixes the positions of $h$.

    $$\begin{aligned}
    f &= \sigma(x W^f + b^f) & i &= \sigma(x W^i + b^i) & n &= x W^n + b^n \\
    h' &= \frac{f}{f + i} \odot h + \frac{i}{f + i} \odot n
    \end{aligned}$$

    Feng et al., "Were RNNs all we needed?", 2024, section 3.2. Without ``normalise`` the gates
    are not divided by their sum.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    normalise
        Whether the gates are made to add up to one, which bounds the state by its candidates.
    forget_bias
        Initial $b^f$; positive keeps the memory open at first.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: exact ``f.*``, ``i.*``, ``n.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        normalise: bool = True,
        forget_bias: float = 1.0,
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.f = Linear(n_in, n_rec, rng=rng)
        self.i = Linear(n_in, n_rec, rng=rng)
        self.n = Linear(n_in, n_rec, rng=rng)
        self.f.bias = Param(constant((n_rec,), forget_bias))
        self.normalise = normalise
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        f, i = xp.sigmoid(self.f(x)), xp.sigmoid(self.i(x))
        new = f * self.h.value + i * self.n(x)
        self.h.value = new / (f + i) if self.normalise else new
        return self.h.value
