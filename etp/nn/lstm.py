"""Long short-term memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import State
from .cell import register
from .exchange import GatedCell
from .linear import Gate, products


@register
class LSTMCell(GatedCell):
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
    fused
        Make the products of the gates with the same vector one product. It is
        worth it where small products cost more than their arithmetic; measure before.
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.

    Notes
    -----
    D-RTRL: approximate ``i.*``, ``f.*``, ``g.*``, ``o.*``.
    """

    GATES = ("i", "f", "g", "o")
    FLAX_BIAS = ((), GATES)

    def __init__(
        self, n_in: int, n_rec: int, *, forget_bias: float = 1.0, fused: bool = False, rng: Rng
    ) -> None:
        rng = np.random.default_rng(rng)
        self.i = Gate(n_in, n_rec, rng=rng)
        self.f = Gate(n_in, n_rec, rng=rng, bias=forget_bias)
        self.g = Gate(n_in, n_rec, rng=rng)
        self.o = Gate(n_in, n_rec, rng=rng)
        self.fused = fused
        self.c = State((n_rec,))
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state ``h``."""
        gates = (self.i, self.f, self.g, self.o)
        of_x = products(x, [gate.w_in for gate in gates], fused=self.fused)
        of_h = products(self.h.value, [gate.w_rec for gate in gates], fused=self.fused)
        i, f, g, o = (gate.biased(a) + b for gate, a, b in zip(gates, of_x, of_h, strict=True))
        self.c.value = xp.sigmoid(f) * self.c.value + xp.sigmoid(i) * xp.tanh(g)
        self.h.value = xp.sigmoid(o) * xp.tanh(self.c.value)
        return self.h.value
