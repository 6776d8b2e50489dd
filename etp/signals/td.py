"""The error of temporal differences as a signal that all units share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.errors import ModelError
from etp_ir.tracer import Tracer

from ..checks import discount, function, optional
from ..given import mistake
from .base import Arriving, Signal
from .modulatory import spread
from .own import called, taken

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


@frozen
class TD(Signal):
    r"""The error of temporal differences, a modulator computed from a value and a reward.

    .. math:: \delta^t = r^t + \gamma\,v^t - v^{t-1}, \qquad \ell_j = -\delta^t

    at what each unit emits: a reward that was better than expected strengthens what the traces
    speak for. The first step of a sequence has no value before it, and gives no signal.

    Parameters
    ----------
    gamma
        Discount :math:`\gamma` of one step.
    value
        A function of the output that returns the value :math:`v`, a number; by default the output
        has one element, and that is it.
    reward
        A function of the target that returns the reward :math:`r`; by default as for the value.

    Notes
    -----
    The value itself is learned by the loss, as every readout is. `etp.rl` has agents that do both,
    with traces of reward.

    References
    ----------
    Sutton, Machine Learning 3:9, 1988; Izhikevich, Cerebral Cortex 17(10), 2007.
    """

    gamma: float = field(default=0.99, validator=discount)
    value: Callable[[Any], Any] | None = field(default=None, validator=optional(function))
    reward: Callable[[Any], Any] | None = field(default=None, validator=optional(function))

    why = "the error of temporal differences takes the place of the derivative of the loss"

    def kept(self, structure: Structure) -> Mapping[str, tuple[int, ...]]:
        return {"value": (), "begun": ()}

    def arriving(self, at: Boundary) -> Arriving:
        ahead = ops.mul(self.gamma, _number(self, at, self.value, at.output, "value"))
        reward = _number(self, at, self.reward, at.target, "reward")
        delta = ops.sub(ops.add(reward, ahead), at.kept["value"])
        return spread(at, at.scaled(ops.mul(ops.neg(delta), at.kept["begun"])))

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        value = _number(self, at, self.value, at.output, "value")
        return {"value": value, "begun": ops.full(value.builder, (), 1.0, value.dtype)}


def _number(
    signal: TD, at: Boundary, function: Callable[[Any], Any] | None, x: Tracer, what: str
) -> Tracer:
    if function is not None:
        x = taken(
            at, signal, what, function, called(at.pieces.builder, signal, what, function, x=x)
        )
    if x.size != 1:
        raise mistake(
            ModelError, f"the {what} of a TD signal is one number, got {x.type}",
            f"pass {what}= a function that returns it, such as lambda x: x[0]",
        )  # fmt: skip
    number: Tracer = ops.cast(ops.reshape(x, ()), at.pieces.builder.float_dtype)
    return number
