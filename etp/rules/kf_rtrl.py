"""Kronecker-factored RTRL: the influence as a random Kronecker product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import frozen

from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, PER_WEIGHT, Slot, TraceRule, Traces
from .estimate import InfluenceEstimate
from .ratios import ratio
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class KFRTRL(InfluenceEstimate, TraceRule):
    r"""Kronecker-factored real-time recurrent learning.

    .. math::
        A^t &= \nu_0\rho_0\,A^{t-1} + \nu_1\rho_1\,x^t \\
        B^t &= \nu_0\,J^t B^{t-1}/\rho_0 + \nu_1\,u^t/\rho_1, \qquad
        \rho_0^2 = \frac{\|J B\|}{\|A\|},\quad \rho_1^2 = \frac{\|u\|}{\|x\|}

    with two random signs :math:`\nu` in each step, :math:`u = \partial h/\partial y` at the result
    of a product :math:`y = x w` and all states :math:`h`. :math:`A \otimes B` has the influence of
    the weight as its mean, and the gradient is :math:`A \otimes \ell B`.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        inputs of the weight products, and their results times the number of states.
    Time
        one product of the transition with a matrix of results by states.
    Exactness
        unbiased while weights are fixed, if the signal is the derivative of the loss. An
        element-wise weight has no input to factor out: its influence is kept as it is.
    Reference
        Mujika, Meier and Steger, NeurIPS 2018.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("kf_rtrl")
    KFRTRL()
    """

    name = "kf_rtrl"
    traces = {"A": PER_INPUT, "B": PER_RESULT}
    point = {"storage": "kronecker"}

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        return super().slots(rel) if rel.has_input else {"B": PER_WEIGHT.slot(rel)}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        moved = rel.D @ e["B"]
        if not rel.has_input:
            return {"B": moved + rel.u * rel.x}
        if not moved.entries:  # nothing is carried on: the product itself is the influence
            return {"A": rel.pre, "B": rel.u}
        nu0, nu1 = (rel.signs("").array for _ in range(2))
        rho0, rho1 = ratio(moved, e["A"]), ratio(rel.u, rel.pre)
        return {
            "A": e["A"] * rho0 * nu0 + rel.pre * rho1 * nu1,
            "B": moved / rho0 * nu0 + rel.u / rho1 * nu1,
        }

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["B"]) * e.get("A")
