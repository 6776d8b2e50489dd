"""The error of temporal differences as a signal that all units share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.errors import ETPError, ModelError
from etp_ir.tracer import Tracer

from .base import Arriving, Signal
from .modulatory import spread

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


def _discount(instance: Any, attribute: Any, value: float) -> None:
    if not 0 <= value <= 1:
        raise ETPError(f"gamma is a discount from 0 to 1, got {value!r}")


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

    gamma: float = field(default=0.99, validator=_discount)
    value: Callable[[Any], Any] | None = None
    reward: Callable[[Any], Any] | None = None

    why = "the error of temporal differences takes the place of the derivative of the loss"

    def kept(self, structure: Structure) -> Mapping[str, tuple[int, ...]]:
        return {"value": (), "begun": ()}

    def arriving(self, at: Boundary) -> Arriving:
        ahead = ops.mul(self.gamma, _number(at, self.value, at.output, "value"))
        reward = _number(at, self.reward, at.target, "reward")
        delta = ops.sub(ops.add(reward, ahead), at.kept["value"])
        return spread(at, at.scaled(ops.mul(ops.neg(delta), at.kept["begun"])))

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        value = _number(at, self.value, at.output, "value")
        return {"value": value, "begun": ops.full(value.builder, (), 1.0, value.dtype)}


def _number(at: Boundary, function: Callable[[Any], Any] | None, x: Tracer, what: str) -> Tracer:
    found = x if function is None else at.traced(function(x))
    if found.size != 1:
        raise ModelError(
            f"the {what} of a TD signal is one number, got {found.type}\n"
            f"pass {what}= a function that returns it, such as lambda x: x[0]"
        )
    number: Tracer = ops.cast(ops.reshape(found, ()), at.pieces.builder.float_dtype)
    return number
