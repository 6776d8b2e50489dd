"""Long short-term memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import Module, State
from .linear import Gate


class LSTMCell(Module):
    r"""Long short-term memory with a forget gate (Gers et al., Neural Computation 2000).

    $$\begin{aligned}
    i &= \sigma(x W^i_{in} + h W^i_{rec} + b^i) &
    f &= \sigma(x W^f_{in} + h W^f_{rec} + b^f) \\
    g &= \tanh(x W^g_{in} + h W^g_{rec} + b^g) &
    o &= \sigma(x W^o_{in} + h W^o_{rec} + b^o) \\
    c' &= f \odot c + i \odot g & h' &= o \odot \tanh(c')
    \end{aligned}$$

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of each of the two states.
    forget_bias
        Initial $b^f$; 1 keeps the memory open at first (Jozefowicz et al., ICML 2015).
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.
    """

    def __init__(self, n_in: int, n_rec: int, *, forget_bias: float = 1.0, rng: Rng) -> None:
        rng = np.random.default_rng(rng)
        self.i = Gate(n_in, n_rec, rng=rng)
        self.f = Gate(n_in, n_rec, rng=rng, bias=forget_bias)
        self.g = Gate(n_in, n_rec, rng=rng)
        self.o = Gate(n_in, n_rec, rng=rng)
        self.c = State((n_rec,))
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state ``h``."""
        h = self.h.value
        i = xp.sigmoid(self.i(x, h))
        f = xp.sigmoid(self.f(x, h))
        g = xp.tanh(self.g(x, h))
        o = xp.sigmoid(self.o(x, h))
        self.c.value = f * self.c.value + i * g
        self.h.value = o * xp.tanh(self.c.value)
        return self.h.value
