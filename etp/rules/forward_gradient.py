"""Forward gradients: directional derivatives along random directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from .base import StepRule
from .bundle import Bundle
from .checks import count
from .estimate import InfluenceEstimate
from .registry import register

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView


@final
@register
@frozen
class ForwardGradient(InfluenceEstimate, StepRule):
    r"""Forward-mode gradient along random directions.

    .. math::
        \dot h^t = J^t \dot h^{t-1} + F^t v, \qquad
        g^t = \frac1K \sum_k (\ell^t\cdot\dot h^t_k)\,v_k

    with :math:`v_k \sim \mathcal N(0, I)` over all parameters that reach a state, the same in all
    steps of a sequence and drawn again in each, not stored.

    Parameters
    ----------
    probes
        Number :math:`K` of directions.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        the states, once for each direction.
    Time
        one product with the derivative of the step for each direction.
    Exactness
        unbiased while weights are fixed, if the signal is the derivative of the loss; its variance
        grows with the number of parameters over :math:`K`.
    Reference
        Baydin et al., arXiv:2202.08587, 2022; Silver et al., ICLR 2022 (DODGE).

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("forward_gradient(8)")
    ForwardGradient(probes=8)
    """

    probes: int = field(default=1, validator=count)

    name = "forward_gradient"
    aliases = ("dodge",)
    reads_step = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        return {"s": self._each(model.states)}

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"s": step.jvp(e["s"], self._directions(step), several=True)}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        return self._directions(step).combined(ell.dots(e["s"])) / self.probes

    def _directions(self, step: StepView) -> Bundle:
        return step.normal(self._each(step.params), per="sequence")

    def _each(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {n: (self.probes, *shape) for n, shape in shapes.items()}
