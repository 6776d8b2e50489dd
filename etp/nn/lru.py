"""The linear recurrent unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..functional import element_wise
from ..init import Rng, normal
from ..model import Module, Param
from .cell import register
from .complex import ComplexLinear, ComplexState, Ring, complex_normal


@register
class LRUCell(Module):
    r"""Linear recurrent unit: complex states that each turn and decay on their own.

    $$\begin{aligned}
    \lambda &= e^{-e^{\nu} + i e^{\theta}} \\
    h' &= \lambda \odot h + e^{\gamma} \odot (x B) \\
    y &= \mathrm{Re}(h' C) + d \odot x
    \end{aligned}$$

    The output is as wide as the input; the states are the real and the imaginary part of $h$.

    Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the output; number of complex states.
    r_min, r_max, max_phase
        Bounds of the initial modulus of $\lambda$, and of its angle.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: exact ``ring.*``, ``gamma_log``, ``b.*``, ``c.*``, ``d``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * np.pi,
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.ring = Ring(n_rec, r_min=r_min, r_max=r_max, max_phase=max_phase, rng=rng)
        # What keeps the variance of the state that of the input, whatever the modulus.
        self.gamma_log = Param(np.log(self.ring.read()[1]))
        self.b = ComplexLinear(complex_normal(rng, (n_in, n_rec), (2 * n_in) ** -0.5))
        self.c = ComplexLinear(complex_normal(rng, (n_rec, n_in), n_rec**-0.5))
        self.d = Param(normal(rng, (n_in,)))
        self.h = ComplexState((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the output for the new state."""
        factor, _ = self.ring.read()
        drive = self.b(x) * xp.exp(element_wise(self.gamma_log))
        h = self.h.write(self.h.read() * factor + drive)
        return self.c.real(h) + element_wise(self.d) * x
