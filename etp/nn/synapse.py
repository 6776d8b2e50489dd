"""Synapses: what turns inputs and spikes into a current."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functional import matmul
from ..init import Initializer, Rng, drawn, lecun
from ..model import Module, Param, State
from .bias import Bias, initial_bias


def decay(tau: Any, dt: float) -> Any:
    """Return ``exp(-dt / tau)``: a number, or an array with one entry per neuron."""
    factor = np.exp(-dt / np.asarray(tau, dtype=np.float64))
    return float(factor) if np.ndim(factor) == 0 else factor


class CurrentSynapse(Module):
    r"""Exponentially decaying current, driven by an input and by the neurons' own spikes.

    $$I^t = \alpha\, I^{t-1} + x^t W_{in} + z^{t-1} W_{rec} + b, \qquad \alpha = e^{-dt/\tau}$$

    Parameters
    ----------
    n_in, n_rec
        Width of the input and number of neurons.
    tau, dt
        Time constant, a number or one entry per neuron, and length of a step, in one unit.
    recurrent
        Whether there is $W_{rec}$.
    bias, rng, w_in_init, w_rec_init
        See `Linear` and `Gate`; by default without bias.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        tau: Any = 2.0,
        dt: float = 1.0,
        recurrent: bool = True,
        bias: Bias = None,
        rng: Rng,
        w_in_init: Initializer = lecun,
        w_rec_init: Initializer = lecun,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.w_in = Param(drawn(w_in_init, rng, (n_in, n_rec)))
        self.w_rec = Param(drawn(w_rec_init, rng, (n_rec, n_rec))) if recurrent else None
        self.b = initial_bias(bias, (n_rec,))
        self.i = State((n_rec,))
        self.alpha = decay(tau, dt)

    def __call__(self, x: Any, z: Any) -> Any:
        """Return the new current for the input ``x`` and the last spikes ``z``."""
        drive = matmul(x, self.w_in, self.b)
        if self.w_rec is not None:
            drive = drive + matmul(z, self.w_rec)
        self.i.value = self.alpha * self.i.value + drive
        return self.i.value
