"""Recurrent trace units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import Module
from .cell import register
from .complex import Complex, ComplexLinear, ComplexState, Ring, complex_normal
from .rnn import activation_function


@register
class RTUCell(Module):
    r"""Recurrent trace units: pairs of real states that turn and decay, with a non-linearity.

    $$\begin{aligned}
    r &= e^{-e^{\nu}}, \quad \vartheta = e^{\theta}, \quad \gamma = \sqrt{1 - r^2} \\
    h_1' &= \phi(r \cos\vartheta \odot h_1 - r \sin\vartheta \odot h_2 + \gamma \odot x W_1) \\
    h_2' &= \phi(r \cos\vartheta \odot h_2 + r \sin\vartheta \odot h_1 + \gamma \odot x W_2)
    \end{aligned}$$

    The output is $(h_1', h_2')$. With ``linear=True`` the recurrence is linear and the output is
    $(\phi(h_1'), \phi(h_2'))$. Unlike in `LRUCell`, $\gamma$ follows the trained modulus, and no
    complex readout is part of the cell. The two states are ``h.re`` and ``h.im``.

    Elelimy, White, Bowling & White, "Real-time recurrent learning using trace units in
    reinforcement learning", NeurIPS 2024.

    Parameters
    ----------
    n_in, n_rec
        Width of the input; number of pairs, half the width of the output.
    activation
        $\phi$, see `VanillaRNNCell`.
    linear
        Whether the non-linearity stands outside of the recurrence.
    r_min, r_max, max_phase
        Bounds of the initial $r$, and of $\vartheta$.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: exact ``ring.*``, ``w.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        activation: str | Callable[[Any], Any] = "tanh",
        linear: bool = False,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * np.pi,
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.ring = Ring(n_rec, r_min=r_min, r_max=r_max, max_phase=max_phase, rng=rng)
        self.w = ComplexLinear(complex_normal(rng, (n_in, n_rec), n_in**-0.5))
        self.h = ComplexState((n_rec,))
        self.activation = activation_function(activation)
        self.linear = linear

    def __call__(self, x: Any) -> Any:
        """Return the output for the new states."""
        factor, gamma = self.ring.read()
        h = self.h.read() * factor + self.w(x) * gamma
        bent = Complex(self.activation(h.re), self.activation(h.im))
        self.h.write(h if self.linear else bent)
        return xp.concat([bent.re, bent.im])
