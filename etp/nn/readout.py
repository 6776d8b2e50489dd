"""Readouts that integrate what they read."""

from __future__ import annotations

from typing import Any

from ..functional import matmul
from ..init import Initializer, Rng, constant, glorot
from ..model import Module, Param, State
from .synapse import decay


class LeakyRateReadout(Module):
    r"""Leaky integrator of a weighted sum, the usual readout of a spiking network.

    $$y^t = \kappa\, y^{t-1} + x^t W + b, \qquad \kappa = e^{-dt/\tau}$$

    Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking
    neurons", Nature Communications 2020.

    Parameters
    ----------
    n_in, n_out
        Number of neurons read, and of outputs.
    tau, dt
        Time constant, a number or one entry per output, and length of a step, in one unit.
    bias
        Whether to add $b$, which starts at zero.
    rng, w_init
        See `Linear`.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        tau: Any = 10.0,
        dt: float = 1.0,
        bias: bool = True,
        rng: Rng,
        w_init: Initializer = glorot,
    ) -> None:
        self.weight = Param(w_init(rng, (n_in, n_out)))
        self.bias = Param(constant((n_out,), 0.0)) if bias else None
        self.y = State((n_out,))
        self.decay = decay(tau, dt)

    def __call__(self, x: Any) -> Any:
        """Return the new value of the integrator."""
        self.y.value = self.decay * self.y.value + matmul(x, self.weight, self.bias)
        return self.y.value
