"""The gated recurrent unit without recurrent weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import Module, State
from .cell import register
from .linear import Linear


@register
class MiniGRUCell(Module):
    r"""minGRU: gate and candidate read the input alone, so nothing mixes the positions of $h$.

    $$\begin{aligned}
    z &= \sigma(x W^z + b^z) & n &= x W^n + b^n \\
    h' &= (1 - z) \odot h + z \odot n
    \end{aligned}$$

    Feng et al., "Were RNNs all we needed?", 2024, section 3.1.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: exact ``z.*``, ``n.*``.
    """

    def __init__(self, n_in: int, n_rec: int, *, rng: Rng) -> None:
        rng = np.random.default_rng(rng)
        self.z = Linear(n_in, n_rec, rng=rng)
        self.n = Linear(n_in, n_rec, rng=rng)
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        z = xp.sigmoid(self.z(x))
        self.h.value = (1 - z) * self.h.value + z * self.n(x)
        return self.h.value
