"""Full real-time recurrent learning."""

from __future__ import annotations

from typing import final

from attrs import field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import InfluenceRule
from .registry import register


@final
@register
@frozen
class RTRL(InfluenceRule):
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
