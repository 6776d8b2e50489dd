"""Long short-term memory with refined gates and uniformly spread time scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..functional import element_wise
from ..init import Rng, uniform
from ..model import Module, Param, State
from .cell import register
from .linear import Gate


@register
class URLSTMCell(Module):
    r"""Long short-term memory whose forget gate is refined and initially spread (UR-LSTM).

    $$\begin{aligned}
    f &= \sigma(x W^f_{in} + h W^f_{rec} + \beta) &
    r &= \sigma(x W^r_{in} + h W^r_{rec} - \beta) \\
    u &= \tanh(x W^u_{in} + h W^u_{rec} + b^u) &
    o &= \sigma(x W^o_{in} + h W^o_{rec} + b^o) \\
    g &= r \odot (1 - (1 - f)^2) + (1 - r) \odot f^2 \\
    c' &= g \odot c + (1 - g) \odot u &
    h' &= o \odot \tanh(c')
    \end{aligned}$$

    The gate $r$ moves the forget gate up or down; $\sigma(\beta)$ is drawn uniformly, so that
    units start with time scales of every length, and is trained.

    Gu et al., "Improving the gating mechanism of recurrent neural networks", ICML 2020.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of each of the two states.
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.

    Notes
    -----
    D-RTRL: approximate ``f.*``, ``r.*``, ``u.*``, ``o.*``, ``beta``.
    """

    def __init__(self, n_in: int, n_rec: int, *, rng: Rng) -> None:
        rng = np.random.default_rng(rng)
        self.f = Gate(n_in, n_rec, rng=rng, bias=None)
        self.r = Gate(n_in, n_rec, rng=rng, bias=None)
        self.u = Gate(n_in, n_rec, rng=rng)
        self.o = Gate(n_in, n_rec, rng=rng)
        spread = uniform(rng, (n_rec,), 1 / (n_rec + 1), n_rec / (n_rec + 1))
        self.beta = Param(np.log(spread / (1 - spread)))
        self.c = State((n_rec,))
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state ``h``."""
        c, h, beta = self.c.value, self.h.value, element_wise(self.beta)
        f, r = xp.sigmoid(self.f(x, h) + beta), xp.sigmoid(self.r(x, h) - beta)
        u, o = xp.tanh(self.u(x, h)), xp.sigmoid(self.o(x, h))
        g = r * (1 - (1 - f) ** 2) + (1 - r) * f**2
        self.c.value = g * c + (1 - g) * u
        self.h.value = o * xp.tanh(self.c.value)
        return self.h.value
