"""Full real-time recurrent learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from attrs import field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import TraceRule, Traces
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class RTRL(TraceRule):
    r"""Real-time recurrent learning: the recurrence of D-RTRL with scope ``full``.

    .. math:: M^t = J^t M^{t-1} + \partial h^t/\partial\theta

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        number of states times number of parameters, per example; less where influence provably
        stays at one position.
    Time
        the same times the number of states.
    Exactness
        exact.
    Reference
        Williams and Zipser, Neural Computation 1(2), 1989.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("rtrl")
    RTRL()
    """

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "rtrl"
    default_scope = "full"
    point = {}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        return {"e": rel.D @ e["e"] + rel.u * rel.x}
