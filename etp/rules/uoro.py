"""Unbiased online recurrent optimisation: the influence as a random product of two vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import frozen

from .base import StepRule
from .bundle import Bundle
from .estimate import InfluenceEstimate
from .ratios import ratio
from .registry import register

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView


@final
@register
@frozen
class UORO(InfluenceEstimate, StepRule):
    r"""Unbiased online recurrent optimisation.

    .. math::
        \tilde s^t &= \rho_0\,J^t \tilde s^{t-1} + \rho_1\,\nu \\
        \tilde\theta^t &= \tilde\theta^{t-1}/\rho_0 + \nu^\top F^t/\rho_1, \qquad
        \rho_0^2 = \frac{\|\tilde\theta\|}{\|J\tilde s\|},\quad
        \rho_1^2 = \frac{\|\nu^\top F\|}{\|\nu\|}

    with random signs :math:`\nu`, one for each state; :math:`\tilde s\,\tilde\theta^\top` has the
    influence as its mean, and the gradient is :math:`(\ell\cdot\tilde s)\,\tilde\theta`.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        states plus parameters, per example.
    Time
        one product with the transition and one with its transpose; no matrix is formed.
    Exactness
        unbiased while weights are fixed, if the signal is the derivative of the loss.
    Reference
        Tallec and Ollivier, ICLR 2018.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("uoro")
    UORO()
    """

    name = "uoro"
    point = {"storage": "rank_one"}

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        return {"s": model.states, "theta": model.params}

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        nu = step.signs(step.states)
        moved = step.jvp(e["s"])
        _, made = step.vjp(nu)
        rho0, rho1 = ratio(e["theta"], moved), ratio(made, nu)
        return {"s": rho0 * moved + rho1 * nu, "theta": e["theta"] / rho0 + made / rho1}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        return ell.dot(e["s"]) * e["theta"]
