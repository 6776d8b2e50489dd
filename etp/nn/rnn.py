"""The simple recurrent cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, nearest

from ..init import Initializer, Rng, glorot, orthogonal
from ..model import Module, State
from . import activation
from .bias import Bias
from .cell import register
from .linear import Gate

# What does not act element by element, or has parameters, is no choice for a state.
_OTHERS = ("PReLU", "glu", "log_softmax", "softmax")
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": xp.positive,
    **{name: getattr(activation, name) for name in activation.__all__ if name not in _OTHERS},
    "swish": activation.silu,  # its other name
}


def activation_function(choice: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an activation by name, or the function itself.

    Raises
    ------
    ModelError
        If there is no activation of that name.
    """
    if callable(choice):
        return choice
    if choice not in ACTIVATIONS:
        raise ModelError(f"no activation {choice!r}{nearest(choice, list(ACTIVATIONS))}")
    return ACTIVATIONS[choice]


@register
class VanillaRNNCell(Module):
    r"""Simple recurrent cell (Elman, "Finding structure in time", 1990), leaky if asked.

    $$h^t = (1 - \lambda)\, h^{t-1} + \lambda\, \phi(x^t W_{in} + h^{t-1} W_{rec} + b)$$

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    activation
        $\phi$: the name of an element-wise activation of `etp.nn` such as ``"tanh"`` or
        ``"relu"``, ``"identity"``, or a function written on ``etp.xp``.
    leak
        $\lambda$ between 0 and 1; 1 is the classical cell.
    bias, rng, w_in_init, w_rec_init
        See `Gate`; the parameters are ``gate.w_in``, ``gate.w_rec`` and ``gate.b``.

    Notes
    -----
    D-RTRL: approximate ``gate.*``.
    """

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        *,
        activation: str | Callable[[Any], Any] = "tanh",
        leak: float = 1.0,
        bias: Bias = 0.0,
        rng: Rng,
        w_in_init: Initializer = glorot,
        w_rec_init: Initializer = orthogonal,
    ) -> None:
        self.gate = Gate(
            n_in, n_rec, bias=bias, rng=rng, w_in_init=w_in_init, w_rec_init=w_rec_init
        )
        self.h = State((n_rec,))
        self.activation = activation_function(activation)
        self.leak = leak

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        h = self.h.value
        new = self.activation(self.gate(x, h))
        self.h.value = new if self.leak == 1 else (1 - self.leak) * h + self.leak * new
        return self.h.value
