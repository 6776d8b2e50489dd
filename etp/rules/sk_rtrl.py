"""Sketched RTRL: the own part of the influence exactly, the rest as a sum of few products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Named, Vec
from .base import Slot, TraceRule, Traces
from .checks import count
from .owned import Owned
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class SKRTRL(TraceRule):
    r"""Sketched real-time recurrent learning, with a certificate of its error.

    .. math::
        \hat M^t &= S^t + L^t R^t, \qquad S^t = Q \odot (J^t S^{t-1} + F^t) \\
        L^t R^t &\approx J^t L^{t-1}R^{t-1} + (1 - Q)\odot(J^t S^{t-1} + F^t) \\
        e^t &= \|J^t\|_2\,e^{t-1} + \eta^t \;\ge\; \|M^t - \hat M^t\|_F

    with :math:`Q` the own positions of each weight, where the influence is kept as by ``snap(1)``.
    The rest is cut to rank r by its singular values, and :math:`\eta` is the Frobenius norm of
    what is cut away.

    Parameters
    ----------
    rank
        Number r of products.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    The certificate :math:`e` is a trace, as is :math:`\eta`: ``learner.traces["e_bound.w.bound"]``
    and ``learner.traces["e_lost.w.lost"]`` for a weight ``w``. It holds while weights are fixed,
    for the norm over all states and the entries of that weight.

    Memory
        one number per weight and own position; r times the states and the weights.
    Time
        a product of the transition with the rest of the influence, for which memory is needed
        within the step; two decompositions of matrices of states by states.
    Exactness
        approximate, with a bound known at run time; exact with as many products as states. What
        the present step owes to later layers is sketched as well, so that in a stack of layers
        even one step may be off.
    Reference
        Sketched RTRL, 2026; the own part: Menick et al., ICLR 2021.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("sk_rtrl(8)")
    SKRTRL(rank=8)
    """

    rank: int = field(default=1, validator=count)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "sk_rtrl"
    aliases = ("sketched_rtrl",)
    default_window = 0
    default_scope = "full"
    approximation = "of the influence beyond own positions few products are kept"

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        own, one = Owned(rel), Slot("", per_state=False)
        found = {f"S.{s}": Slot(own.letters(s), per_state=False) for s in own.states}
        if not own.size:
            return found
        terms = min(self.rank, own.size)
        left, right = Slot("", terms=terms), Slot(rel.axes.w, per_state=False, terms=terms)
        return found | {"L": left, "R": right, "bound": one, "lost": one}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        own = Owned(rel)
        kept, rest = own.split({s: e[f"S.{s}"] for s in own.states})
        new: dict[str, Any] = {f"S.{s}": e[f"S.{s}"] * 0.0 for s in own.states}
        new |= {f"S.{s}": x for s, x in kept.items()}
        if not own.size:
            return new
        # Of states whose influence stays at its own position nothing is kept in products.
        moved = own.flat_states(rel.D @ Vec({s: e["L"].entries[s] for s in own.wide}))
        low = ops.contract(moved, own.flat_weight(e["R"]), "rn,rw->nw")
        matrix = ops.add(own.flat(rest), low)
        # Eigenvectors of the Gram matrix are the left singular vectors, the largest last.
        n, rank = own.size, moved.shape[0]
        _, vectors = ops.eigh(ops.contract(matrix, matrix, "nw,mw->nm"))
        left = ops.permute(ops.slice_(vectors, (0, n - rank), (n, n), (1, 1)), (1, 0))
        right = ops.contract(left, matrix, "rn,nw->rw")
        gone = ops.sub(matrix, ops.contract(left, right, "rn,rw->nw"))
        lost = ops.sqrt(ops.reduce_sum(ops.mul(gone, gone), (0, 1)))
        bound = ops.add(ops.mul(own.norm(), e["bound"].array), lost)
        scalar = {"bound": bound, "lost": lost}
        new |= {name: Named(x, "", rel.axes.frame) for name, x in scalar.items()}
        return new | {"L": own.states_of(left), "R": own.weight_of(right)}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        own, w = Owned(rel), rel.axes.w
        total = own.read({s: e[f"S.{s}"] for s in own.states}, ell)
        low = ((ell @ e["L"]) * e["R"]).on(w) if "L" in e else None
        return total if low is None else low if total is None else total + low
