"""Reverse Kronecker-factored RTRL: a random vector over units, a matrix of states by inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import frozen

from .algebra import Vec
from .base import PER_WEIGHT, Kind, Slot, TraceRule, Traces
from .estimate import InfluenceEstimate
from .ratios import ratio
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class RKFRTRL(InfluenceEstimate, TraceRule):
    r"""Reverse Kronecker-factored real-time recurrent learning.

    .. math::
        A^t &= \rho_0\,A^{t-1} + \rho_1\,\nu \\
        B^t &= J^t B^{t-1}/\rho_0 + (u^t\nu) \otimes x^t/\rho_1, \qquad
        \rho_0^2 = \frac{\|J B\|}{\|A\|},\quad \rho_1^2 = \frac{\|u\nu \otimes x\|}{\|\nu\|}

    with random signs :math:`\nu`, one for each result of a product :math:`y = x w`;
    :math:`u = \partial h/\partial y`, :math:`h` all states. :math:`A_i B_{kj}` has the influence
    of :math:`w_{ji}` on :math:`h_k` as its mean, and the gradient is :math:`(\ell B) \otimes A`.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        results of the weight products, and their inputs times the number of states.
    Time
        one product of the transition with a matrix of states by inputs.
    Exactness
        unbiased while weights are fixed. Where a weight is element-wise, or influence provably
        stays at one position of a state, it is followed as it is, which takes no more memory.
    Reference
        Marschall, Cho and Savin, JMLR 21(135), 2020.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("r_kf_rtrl")
    RKFRTRL()
    """

    name = "r_kf_rtrl"
    traces = {"A": Kind("y", per_state=False), "B": Kind("x")}

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        return super().slots(rel) if _factored(rel) else {"B": PER_WEIGHT.slot(rel)}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        moved = rel.D @ e["B"]
        if not _factored(rel):
            return {"B": moved + rel.u * rel.x}
        nu = rel.signs(rel.axes.y)
        made = ((rel.u * nu).on("") * rel.x).on(rel.axes.x)
        rho1 = ratio(made, nu)
        if not moved.entries:
            return {"A": nu * rho1, "B": made / rho1}
        rho0 = ratio(moved, e["A"])
        return {"A": e["A"] * rho0 + nu * rho1, "B": moved / rho0 + made / rho1}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["B"]) * e.get("A")


def _factored(rel: RelationView) -> bool:
    return rel.has_input and all(p.everywhere for p in rel.relation.places.values())
