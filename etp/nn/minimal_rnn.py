"""The minimal recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from etp_ir import namespace as xp

from ..init import Rng
from ..model import Module, State
from .cell import register
from .linear import Gate, Linear
from .rnn import activation_function


@register
class MinimalRNNCell(Module):
    r"""Minimal recurrent network: the state moves towards an encoding of the input.

    $$\begin{aligned}
    z &= \phi(x W^z + b^z) \\
    u &= \sigma(z W^u_{in} + h W^u_{rec} + b^u) \\
    h' &= u \odot h + (1 - u) \odot z
    \end{aligned}$$

    Chen, "MinimalRNN: toward more interpretable and trainable recurrent neural networks", 2017.

    Parameters
    ----------
    n_in, n_rec
        Width of the input, and of the encoding and the state.
    activation
        $\phi$, see `VanillaRNNCell`.
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.

    Notes
    -----
    D-RTRL: approximate ``z.*``, ``u.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        activation: str | Callable[[Any], Any] = "tanh",
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.z = Linear(n_in, n_rec, rng=rng)
        self.u = Gate(n_rec, n_rec, rng=rng)
        self.activation = activation_function(activation)
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        h = self.h.value
        z = self.activation(self.z(x))
        u = xp.sigmoid(self.u(z, h))
        self.h.value = u * h + (1 - u) * z
        return self.h.value
