"""Leaky integrate-and-fire neurons, without and with an adaptive threshold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir.errors import ModelError, nearest

from ..functional import spike, stop_gradient
from ..init import Initializer, Rng, lecun
from ..model import State
from .bias import Bias
from .cell import register
from .family import Family
from .synapse import CurrentSynapse, decay

RESETS = ("subtract", "zero", "none")
# The membrane takes (1 - beta) of the current: weights this strong let single inputs matter.
W_IN = partial(lecun, gain=6.0)
W_REC = partial(lecun, gain=3.0)


def _known_reset(instance: Any, attribute: Any, value: str) -> None:
    if value not in RESETS:
        raise ModelError(f"no reset {value!r}{nearest(value, RESETS)}")


@frozen
class Membrane:
    """How a voltage leaks, is reset and spikes.

    Attributes
    ----------
    beta
        Decay per step.
    threshold
        Voltage above which the neuron spikes.
    reset
        ``"subtract"`` the threshold, to ``"zero"``, or ``"none"``.
    detach_reset
        Whether derivatives ignore the reset.
    surrogate
        Derivative of the spike, see `etp.spike`.
    """

    beta: Any
    threshold: float
    reset: str = field(validator=_known_reset)
    detach_reset: bool
    surrogate: str | Callable[[Any], Any]

    def spikes(self, v: Any, raised: Any = 0.0) -> Any:
        """Return the spikes at a voltage, with the threshold raised by some amount."""
        return spike(v - (self.threshold + raised), self.surrogate)

    def advance(self, v: Any, z: Any, current: Any) -> Any:
        """Return the next voltage of neurons that spiked by ``z`` and receive a current."""
        past = stop_gradient(z) if self.detach_reset else z
        kept = v * (1 - past) if self.reset == "zero" else v
        new = self.beta * kept + (1 - self.beta) * current
        return new - self.threshold * past if self.reset == "subtract" else new


class _LeakyNeurons(Family):
    """What the two kinds of neuron have in common: currents and a membrane."""

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        tau_mem: Any = 10.0,
        tau_syn: Any = 2.0,
        dt: float = 1.0,
        threshold: float = 1.0,
        reset: str = "subtract",
        detach_reset: bool = True,
        surrogate: str | Callable[[Any], Any] = "sigmoid",
        recurrent: bool = True,
        bias: Bias = None,
        rng: Rng,
        w_in_init: Initializer = W_IN,
        w_rec_init: Initializer = W_REC,
    ) -> None:
        self.synapse = CurrentSynapse(
            n_in, n_rec, tau=tau_syn, dt=dt, recurrent=recurrent, bias=bias, rng=rng,
            w_in_init=w_in_init, w_rec_init=w_rec_init,
        )  # fmt: skip
        self.v = State((n_rec,))
        self.membrane = Membrane(decay(tau_mem, dt), threshold, reset, detach_reset, surrogate)


@register
class LIFCell(_LeakyNeurons):
    r"""Leaky integrate-and-fire neurons with recurrent, exponentially decaying currents.

    $$\begin{aligned}
    z^{t-1} &= \Theta(V^{t-1} - \vartheta) \\
    I^t &= \alpha\, I^{t-1} + x^t W_{in} + z^{t-1} W_{rec} + b \\
    V^t &= \beta\, V^{t-1} + (1 - \beta)\, I^t - \vartheta\, \bar z^{t-1} \\
    z^t &= \Theta(V^t - \vartheta), \qquad
    \alpha = e^{-dt/\tau_{syn}}, \quad \beta = e^{-dt/\tau_{mem}}
    \end{aligned}$$

    The new current feeds the new voltage within the step. Spikes are a function of the voltage,
    so the states are $I$ and $V$ alone, and everything read outside follows from the outgoing
    states. $\bar z$ is $z$, detached if ``detach_reset``. With ``reset="zero"`` the voltage is
    $V^t = \beta\, V^{t-1} (1 - \bar z^{t-1}) + (1 - \beta)\, I^t$.

    Zenke & Vogels, "The remarkable robustness of surrogate gradient learning for instilling
    complex function in spiking neural networks", Neural Computation 2021.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and number of neurons.
    tau_mem, tau_syn, dt
        Time constants of membrane and synapse and the length of a step, in one unit; numbers,
        or arrays with one entry per neuron.
    threshold
        $\vartheta$, the voltage above which a neuron spikes.
    reset
        What a spike does to the voltage: ``"subtract"`` the threshold, set it to ``"zero"``, or
        ``"none"``.
    detach_reset
        Whether derivatives ignore the reset.
    surrogate
        Derivative of the spike: ``"sigmoid"``, ``"fast_sigmoid"``, ``"triangle"``, ``"arctan"``,
        ``"boxcar"``, ``"straight_through"``, or a function of $V - \vartheta$
        written on ``etp.xp``; see `etp.spike`.
    recurrent, bias, rng, w_in_init, w_rec_init
        See `CurrentSynapse`.

    Notes
    -----
    D-RTRL: approximate ``synapse.*``.
    """

    def __call__(self, x: Any) -> Any:
        """Return the spikes of the new voltage."""
        v = self.v.value
        z = self.membrane.spikes(v)
        self.v.value = self.membrane.advance(v, z, self.synapse(x, z))
        return self.membrane.spikes(self.v.value)


@register
class ALIFCell(_LeakyNeurons):
    r"""Leaky integrate-and-fire neurons whose spikes raise their threshold for a while.

    The equations of `LIFCell`, with a second variable in the threshold:

    $$z^t = \Theta(V^t - \vartheta - \gamma a^t), \qquad
      a^t = \rho\, a^{t-1} + z^{t-1}, \qquad \rho = e^{-dt/\tau_a}$$

    The states are $I$, $V$ and $a$.

    Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons",
    NeurIPS 2018, and Nature Communications 2020.

    Parameters
    ----------
    tau_adapt
        Time constant $\tau_a$ of the adaptation; a number, or one entry per neuron.
    adaptation
        Strength $\gamma$; a number, or one entry per neuron.
    n_in, n_rec, tau_mem, tau_syn, dt, threshold, reset, detach_reset, surrogate
        See `LIFCell`.
    recurrent, bias, rng, w_in_init, w_rec_init
        See `CurrentSynapse`.

    Notes
    -----
    D-RTRL: approximate ``synapse.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        tau_adapt: Any = 100.0,
        adaptation: Any = 0.2,
        tau_mem: Any = 10.0,
        tau_syn: Any = 2.0,
        dt: float = 1.0,
        threshold: float = 1.0,
        reset: str = "subtract",
        detach_reset: bool = True,
        surrogate: str | Callable[[Any], Any] = "sigmoid",
        recurrent: bool = True,
        bias: Bias = None,
        rng: Rng,
        w_in_init: Initializer = W_IN,
        w_rec_init: Initializer = W_REC,
    ) -> None:
        super().__init__(
            n_in, n_rec, tau_mem=tau_mem, tau_syn=tau_syn, dt=dt, threshold=threshold, reset=reset,
            detach_reset=detach_reset, surrogate=surrogate, recurrent=recurrent, bias=bias, rng=rng,
            w_in_init=w_in_init, w_rec_init=w_rec_init,
        )  # fmt: skip
        self.a = State((n_rec,))
        self.rho = decay(tau_adapt, dt)
        self.adaptation = adaptation if np.ndim(adaptation) == 0 else np.asarray(adaptation)

    def __call__(self, x: Any) -> Any:
        """Return the spikes of the new states."""
        v, a = self.v.value, self.a.value
        z = self.membrane.spikes(v, self.adaptation * a)
        self.a.value = self.rho * a + z
        self.v.value = self.membrane.advance(v, z, self.synapse(x, z))
        return self.membrane.spikes(self.v.value, self.adaptation * self.a.value)
