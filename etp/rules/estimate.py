"""What rules have in common whose random numbers have the influence as their mean."""

from __future__ import annotations

from attrs import field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import OnlineRule


@frozen
class InfluenceEstimate(OnlineRule):
    r"""A rule that keeps a random estimate of the influence on all states, right in the mean.

    .. math:: \mathbb E\,\hat M^t = M^t = J^t M^{t-1} + F^t

    The estimate is read after the step, by signals at its boundary.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.
    """

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    default_window = 0
    default_scope = "full"
    unbiased = True
    draws = True
