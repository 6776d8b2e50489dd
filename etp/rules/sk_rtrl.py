"""Sketched RTRL: the own part of the influence exactly, the rest as a sum of few products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops
from etp_ir.tracer import Tracer

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
        approximate, with a bound known at run time; exact with as many products as states.
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
        for i in range(min(self.rank, own.size)):
            found |= {f"L{i}": Slot(""), f"R{i}": Slot(rel.axes.w, per_state=False)}
        return found | {"bound": one, "lost": one} if own.size else found

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        own, rank = Owned(rel), sum(name.startswith("L") for name in e)
        kept, rest = own.split({s: e[f"S.{s}"] for s in own.states})
        new: dict[str, Any] = {f"S.{s}": e[f"S.{s}"] * 0.0 for s in own.states}
        new |= {f"S.{s}": x for s, x in kept.items()}
        if not own.size:
            return new
        matrix = own.flat(rest)
        for i in range(rank):
            # Of states whose influence stays at its own position nothing is kept in products.
            column = own.flat_states(rel.D @ Vec({s: e[f"L{i}"].entries[s] for s in own.wide}))
            matrix = ops.add(matrix, ops.contract(column, own.flat_weight(e[f"R{i}"]), "n,w->nw"))
        # Eigenvectors of the Gram matrix are the left singular vectors, the largest last.
        n = own.size
        _, vectors = ops.eigh(ops.contract(matrix, matrix, "nw,mw->nm"))
        left = ops.slice_(vectors, (0, n - rank), (n, n), (1, 1))
        right = ops.contract(left, matrix, "nr,nw->rw")
        gone = ops.sub(matrix, ops.contract(left, right, "nr,rw->nw"))
        lost = ops.sqrt(ops.reduce_sum(ops.mul(gone, gone), (0, 1)))
        for i in range(rank):
            new[f"L{i}"] = own.states_of(_row(ops.permute(left, (1, 0)), rank - 1 - i))
            new[f"R{i}"] = own.weight_of(_row(right, rank - 1 - i))
        bound = ops.add(ops.mul(own.norm(), e["bound"].array), lost)
        scalar = {"bound": bound, "lost": lost}
        return new | {n: Named(x, "", rel.axes.frame) for n, x in scalar.items()}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        own, w = Owned(rel), rel.axes.w
        total = own.read({s: e[f"S.{s}"] for s in own.states}, ell)
        for i in range(sum(name.startswith("L") for name in e)):
            term = (ell @ e[f"L{i}"] * e[f"R{i}"]).on(w)
            if term is not None:
                total = term if total is None else total + term
        return total


def _row(x: Tracer, i: int) -> Tracer:
    n = x.shape[1]
    found: Tracer = ops.reshape(ops.slice_(x, (i, 0), (i + 1, n), (1, 1)), (n,))
    return found
