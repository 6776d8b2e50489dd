"""The simple recurrent network of Elman, with its output layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..init import Rng
from ..model import Module
from .cell import register
from .linear import Linear
from .rnn import VanillaRNNCell, activation_function


@register
class ElmanCell(Module):
    r"""Elman network: hidden units that are fed back to themselves, and output units.

    $$\begin{aligned}
    h' &= \phi(x W_{in} + h W_{rec} + b) \\
    y &= \psi(h' W_{out} + b_{out})
    \end{aligned}$$

    The hidden units are a `VanillaRNNCell`.

    Elman, "Finding structure in time", Cognitive Science 1990.

    Parameters
    ----------
    n_in, n_rec, n_out
        Width of the input, of the state, and of the output; the output is as wide as the state
        if it is not given.
    activation, output
        $\phi$ and $\psi$, see `VanillaRNNCell`.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: approximate ``hidden.gate.*``; exact ``out.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        n_out: int | None = None,
        *,
        activation: str | Callable[[Any], Any] = "tanh",
        output: str | Callable[[Any], Any] = "tanh",
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.hidden = VanillaRNNCell(n_in, n_rec, activation=activation, rng=rng)
        self.out = Linear(n_rec, n_rec if n_out is None else n_out, rng=rng)
        self.output = activation_function(output)

    def __call__(self, x: Any) -> Any:
        """Return the output for the new state."""
        return self.output(self.out(self.hidden(x)))
