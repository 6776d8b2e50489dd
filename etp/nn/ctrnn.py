"""The continuous-time recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError

from ..functional import element_wise
from ..init import Initializer, Rng, glorot, orthogonal
from ..model import Module, Param, State
from .bias import Bias
from .cell import register
from .linear import Gate
from .rnn import activation_function


@register
class CTRNNCell(Module):
    r"""Continuous-time network of leaky rate units, by Euler steps.

    $$\tau \frac{dv}{dt} = -v + x W_{in} + r W_{rec} + b, \qquad r = \phi(v)$$

    $$v' = v + \frac{dt}{\tau}\,(-v + x W_{in} + \phi(v)\, W_{rec} + b)$$

    The output is $\phi(v')$. The state leaks outside of the non-linearity, where that of a
    leaky `VanillaRNNCell` is mixed with the rates themselves.

    Beer, "On the dynamics of small continuous-time recurrent neural networks", Adaptive
    Behavior 1995, with the bias in the drive.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and number of units.
    tau, dt
        Time constants, a number or one per unit, and length of a step, in one unit.
    train_tau
        Whether the time constants are trained, as ``log_tau``.
    activation
        $\phi$, see `VanillaRNNCell`.
    bias, rng, w_in_init, w_rec_init
        See `Gate`.

    Raises
    ------
    ModelError
        If a time constant is shorter than a step: such steps overshoot.

    Notes
    -----
    D-RTRL: approximate ``gate.*``, ``log_tau``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        tau: Any = 5.0,
        dt: float = 1.0,
        train_tau: bool = False,
        activation: str | Callable[[Any], Any] = "tanh",
        bias: Bias = 0.0,
        rng: Rng,
        w_in_init: Initializer = glorot,
        w_rec_init: Initializer = orthogonal,
    ) -> None:
        if np.min(tau) < dt:
            raise ModelError(f"a step of {dt} overshoots a time constant of {np.min(tau)}; "
                             "give a dt that is not longer")  # fmt: skip
        self.gate = Gate(
            n_in, n_rec, bias=bias, rng=rng, w_in_init=w_in_init, w_rec_init=w_rec_init
        )
        log_tau = np.broadcast_to(np.log(np.asarray(tau, np.float32)), (n_rec,))
        self.log_tau = Param(log_tau, trainable=train_tau)
        self.dt = dt
        self.activation = activation_function(activation)
        self.v = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new rates."""
        v = self.v.value
        leak = self.dt * xp.exp(-element_wise(self.log_tau))
        self.v.value = v + leak * (self.gate(x, self.activation(v)) - v)
        return self.activation(self.v.value)
