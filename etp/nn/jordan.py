"""The recurrent network of Jordan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..init import Rng
from ..model import Module, State
from .cell import register
from .linear import Gate, Linear
from .rnn import activation_function


@register
class JordanCell(Module):
    r"""Jordan network: the output is fed back, through context units that remember it.

    $$\begin{aligned}
    h &= \phi(x W_{in} + s W_{rec} + b) \\
    y &= \psi(h W_{out} + b_{out}) \\
    s' &= \mu\, s + y
    \end{aligned}$$

    The state is $s$ alone; the hidden units $h$ hear of the past only through the output.

    Jordan, "Serial order: a parallel distributed processing approach", Institute for Cognitive
    Science report 8604, 1986.

    Parameters
    ----------
    n_in, n_rec, n_out
        Width of the input, number of hidden units, and width of the output; the output is as
        wide as the hidden layer if it is not given.
    memory
        $\mu$ between 0, where the context is the last output, and 1.
    activation, output
        $\phi$ and $\psi$, see `VanillaRNNCell`.
    rng
        Generator or seed of the initial weights.

    Notes
    -----
    D-RTRL: direct-only ``hidden.*``; approximate ``out.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        n_out: int | None = None,
        *,
        memory: float = 0.5,
        activation: str | Callable[[Any], Any] = "tanh",
        output: str | Callable[[Any], Any] = "tanh",
        rng: Rng,
    ) -> None:
        rng = np.random.default_rng(rng)
        n_out = n_rec if n_out is None else n_out
        self.hidden = Gate(n_in, n_rec, n_state=n_out, rng=rng)
        self.out = Linear(n_rec, n_out, rng=rng)
        self.memory = memory
        self.activation = activation_function(activation)
        self.output = activation_function(output)
        self.s = State((n_out,))

    def __call__(self, x: Any) -> Any:
        """Return the output, which also enters the context."""
        s = self.s.value
        y = self.output(self.out(self.activation(self.hidden(x, s))))
        self.s.value = self.memory * s + y
        return y
