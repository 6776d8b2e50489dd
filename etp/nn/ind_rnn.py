"""The independently recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..functional import element_wise, matmul
from ..init import Initializer, Rng, constant, drawn, lecun, uniform
from ..model import Module, Param, State
from .cell import register
from .rnn import activation_function

U_INIT = partial(uniform, low=0.0, high=1.0)


@register
class IndRNNCell(Module):
    r"""Independently recurrent network: each unit hears of itself alone.

    $$h' = \phi(x W + u \odot h + b)$$

    Li et al., "Independently recurrent neural network (IndRNN): building a longer and deeper
    RNN", CVPR 2018.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    activation
        $\phi$, see `VanillaRNNCell`; rectified units in the paper.
    rng, w_init, u_init
        Generator or seed, and the initial weights. That of $u$ is uniform between 0 and 1: units
        that forget at once beside units that integrate.

    Notes
    -----
    D-RTRL: exact ``w``, ``u``, ``b``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        activation: str | Callable[[Any], Any] = "relu",
        rng: Rng,
        w_init: Initializer = lecun,
        u_init: Initializer = U_INIT,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.w = Param(drawn(w_init, rng, (n_in, n_rec)))
        self.u = Param(drawn(u_init, rng, (n_rec,)))
        self.b = Param(constant((n_rec,), 0.0))
        self.activation = activation_function(activation)
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        past = element_wise(self.u) * self.h.value
        self.h.value = self.activation(matmul(x, self.w, self.b) + past)
        return self.h.value
