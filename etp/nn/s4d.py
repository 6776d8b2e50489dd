"""The diagonal structured state space model."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..functional import element_wise
from ..init import Rng, normal
from ..model import Module, Param
from .cell import register
from .complex import ComplexState, complex_normal
from .state_space import DiagonalSystem
from .state_space import spectrum as initial


@register
class S4DCell(Module):
    r"""Diagonal state space model (S4D): several complex states for each input feature.

    $$\begin{aligned}
    a &= -e^{\alpha} + i \omega \\
    \bar a &= e^{a\,dt}, \quad \bar b = (\bar a - 1) / a \\
    h'_{jn} &= \bar a_{jn}\, h_{jn} + \bar b_{jn}\, x_j \\
    y_j &= 2\, \mathrm{Re} \sum_n c_{jn} h'_{jn} + d_j\, x_j
    \end{aligned}$$

    Each feature $j$ has a step length $dt_j$ of its own, which is trained. The states are the
    real and the imaginary part of $h$; the output is as wide as the input and does not mix
    features: let an activation and a `Linear` follow.

    Gu et al., "On the parameterization and initialization of diagonal state space models",
    NeurIPS 2022.

    Parameters
    ----------
    n_in, n_rec
        Number of features; number of complex states of each.
    spectrum
        Initial $a$: ``"legs"``, ``"inv"`` or ``"lin"``.
    method
        How a step is made of $a$: ``"zoh"``, a zero-order hold, as above; or ``"bilinear"``,
        $\bar a = (1 + a\,dt/2) / (1 - a\,dt/2)$ and $\bar b = dt / (1 - a\,dt/2)$.
    dt_min, dt_max
        Bounds of the initial step lengths.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: exact ``system.*``, ``c_re``, ``c_im``, ``d``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        spectrum: str = "lin",
        method: str = "zoh",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.system = DiagonalSystem(
            np.tile(initial(spectrum, n_rec), (n_in, 1)), (n_in, 1),
            dt_min=dt_min, dt_max=dt_max, method=method, rng=rng,
        )  # fmt: skip
        c = complex_normal(rng, (n_in, n_rec), 0.5**0.5)
        self.c_re, self.c_im = Param(c.real), Param(c.imag)
        self.d = Param(normal(rng, (n_in,)))
        self.h = ComplexState((n_in, n_rec))

    def __call__(self, x: Any) -> Any:
        """Return the output for the new state."""
        factor, gain = self.system.step()
        spread = xp.broadcast_to(xp.expand_dims(x, axis=-1), self.h.re.shape)
        h = self.h.write(self.h.read() * factor + gain * spread)
        read = element_wise(self.c_re) * h.re - element_wise(self.c_im) * h.im
        return 2 * xp.sum(read, axis=-1) + element_wise(self.d) * x
