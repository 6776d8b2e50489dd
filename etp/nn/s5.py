"""The simplified structured state space layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functional import element_wise
from ..init import Rng, lecun, normal
from ..model import Module, Param
from .cell import register
from .complex import ComplexLinear, ComplexState
from .state_space import DiagonalSystem, legs


@register
class S5Cell(Module):
    r"""Simplified state space layer (S5): one diagonal system that all features drive.

    $$\begin{aligned}
    a &= -e^{\alpha} + i \omega \\
    \bar a &= e^{a \odot dt}, \quad \bar b = (\bar a - 1) / a \\
    h' &= \bar a \odot h + \bar b \odot (x B) \\
    y &= 2\, \mathrm{Re}(h' C) + d \odot x
    \end{aligned}$$

    Of each pair of conjugate states one is kept; each has a step length of its own, which is
    trained. $a$, $B$ and $C$ start from the eigenvectors of HiPPO-LegS. The output is as wide as
    the input.

    Smith, Warrington & Linderman, "Simplified state space layers for sequence modeling",
    ICLR 2023.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the output; number of complex states.
    method
        How a step is made of $a$: ``"zoh"``, a zero-order hold, as above; or ``"bilinear"``, see
        `S4DCell`.
    dt_min, dt_max
        Bounds of the initial step lengths.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: exact ``system.*``, ``b.*``, ``c.*``, ``d``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        method: str = "zoh",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        a, vectors = legs(n_rec)
        self.system = DiagonalSystem(
            a, (n_rec,), dt_min=dt_min, dt_max=dt_max, method=method, rng=rng
        )
        self.b = ComplexLinear(lecun(rng, (n_in, 2 * n_rec)) @ vectors.conj())
        self.c = ComplexLinear(vectors.T @ lecun(rng, (2 * n_rec, n_in)))
        self.d = Param(normal(rng, (n_in,)))
        self.h = ComplexState((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the output for the new state."""
        factor, gain = self.system.step()
        h = self.h.write(self.h.read() * factor + self.b(x) * gain)
        return 2 * self.c.real(h) + element_wise(self.d) * x
