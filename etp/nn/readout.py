"""Readouts that integrate what they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..functional import matmul
from ..init import Initializer, Rng, drawn, glorot
from ..model import Module, Param, State
from .bias import Bias, initial_bias
from .cell import register
from .lif import W_IN, Membrane
from .synapse import decay


@register
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
        See `Linear`.
    rng, w_init
        See `Linear`.

    Notes
    -----
    D-RTRL: exact ``weight``, ``bias``.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        tau: Any = 10.0,
        dt: float = 1.0,
        bias: Bias = True,
        rng: Rng,
        w_init: Initializer = glorot,
    ) -> None:
        self.weight = Param(drawn(w_init, rng, (n_in, n_out)))
        self.bias = initial_bias(bias, (n_out,))
        self.y = State((n_out,))
        self.decay = decay(tau, dt)

    def __call__(self, x: Any) -> Any:
        """Return the new value of the integrator."""
        self.y.value = self.decay * self.y.value + matmul(x, self.weight, self.bias)
        return self.y.value


@register
class LeakySpikeReadout(Module):
    r"""Output neurons that integrate a weighted sum and spike.

    $$\begin{aligned}
    v' &= \kappa\, v + (1 - \kappa)(x W + b) - \vartheta\, \bar z, \qquad \kappa = e^{-dt/\tau} \\
    z' &= \Theta(v' - \vartheta)
    \end{aligned}$$

    The neurons of `LIFCell` without synaptic currents and without recurrent weights; $\bar z$ is
    the last spike $\Theta(v - \vartheta)$, detached if ``detach_reset``.

    Neftci, Mostafa & Zenke, "Surrogate gradient learning in spiking neural networks", IEEE
    Signal Processing Magazine 2019.

    Parameters
    ----------
    n_in, n_out
        Number of neurons read, and of outputs.
    tau, dt
        Time constant, a number or one entry per output, and length of a step, in one unit.
    threshold, reset, detach_reset, surrogate
        See `LIFCell`.
    bias
        See `Linear`.
    rng, w_init
        See `Linear`.

    Notes
    -----
    D-RTRL: exact ``weight``, ``bias``.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        tau: Any = 10.0,
        dt: float = 1.0,
        threshold: float = 1.0,
        reset: str = "subtract",
        detach_reset: bool = True,
        surrogate: str | Callable[[Any], Any] = "sigmoid",
        bias: Bias = True,
        rng: Rng,
        w_init: Initializer = W_IN,
    ) -> None:
        self.weight = Param(drawn(w_init, rng, (n_in, n_out)))
        self.bias = initial_bias(bias, (n_out,))
        self.v = State((n_out,))
        self.membrane = Membrane(decay(tau, dt), threshold, reset, detach_reset, surrogate)

    def __call__(self, x: Any) -> Any:
        """Return the spikes of the new voltage."""
        v = self.v.value
        drive = matmul(x, self.weight, self.bias)
        self.v.value = self.membrane.advance(v, self.membrane.spikes(v), drive)
        return self.membrane.spikes(self.v.value)
