"""Node perturbation: what a noisy copy of the states makes of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops

from ..signals.base import Arriving, Signal
from .base import StepRule
from .checks import not_negative, positive
from .registry import register

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.step_view import ModelView, StepView
    from .bundle import Bundle


@frozen
class LossDifference(Signal):
    """What noise makes of the loss; no derivative arrives at the states."""

    why = (
        "the loss of a noisy copy takes the place of its derivative, up to sigma squared; spikes "
        "answer to noise only where it makes them flip, so give units that spike a sigma near "
        "their distance to the threshold"
    )

    def arriving(self, at: Boundary) -> Arriving:
        return {}, {}


@final
@register
@frozen
class NodePerturbation(StepRule):
    r"""Node perturbation through time, with a paired copy of the states as baseline.

    .. math::
        \tilde h^t &= f(\tilde h^{t-1}, x^t) + \xi^t, \qquad \xi^t\sim\mathcal N(0,\sigma^2) \\
        E^t &= \lambda E^{t-1} + (F^t)^\top\xi^t/\sigma^2, \qquad
        g^t = (\tilde L^t - L^t)\,E^t

    A noisy copy of the states runs beside them, and the same readout and loss look at it. The
    readout keeps its own gradient. It takes no ``feedback``: the loss itself is measured, and no
    credit arrives at the states.

    Parameters
    ----------
    sigma
        Standard deviation of the noise. Spikes answer to noise only where it makes them flip: with
        a sigma far below the distance of units to their threshold no spike does, and all that is
        learned of the loss through them is exactly zero. Give such models a sigma of the order of
        that distance, such as 0.1 for a threshold of 1.
    decay
        Decay :math:`\lambda` of the eligibility; 1 forgets nothing.

    Notes
    -----
    Memory
        states plus parameters, per example.
    Time
        one more run of the step, and one product with the transpose of its derivative.
    Exactness
        approximate: with decay 1 its mean differs from the gradient by the order of
        :math:`\sigma^2`, while weights are fixed.
    Reference
        Williams, Machine Learning 8, 1992; paired as in Fiete and Seung, PRL 97, 2006.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("node_perturbation(sigma=0.01)")
    NodePerturbation(sigma=0.01, decay=1.0)
    """

    sigma: float = field(default=1e-3, validator=positive)
    decay: float = field(default=1.0, validator=not_negative)

    name = "node_perturbation"
    default_window = 0
    approximation = LossDifference.why
    signal = LossDifference()
    draws = True
    whole = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        return {"off": model.states, "E": model.params}

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        xi = step.normal(step.states) * self.sigma
        noisy, _, _ = step.replay(step.old + e["off"], noise=xi)
        _, made = step.vjp(xi)
        return {"off": noisy - step.new, "E": e["E"] * self.decay + made / self.sigma**2}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        _, noisy, _ = step.replay({}, noise=e["off"])
        _, own, _ = step.replay({})
        return e["E"] * step.at.scaled(ops.sub(noisy, own))
