"""D-RTRL: real-time recurrent learning along position-wise paths."""

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
class DRTRL(InfluenceRule):
    r"""Diagonal real-time recurrent learning.

    .. math:: \varepsilon^t = D^t\,\varepsilon^{t-1} + u^t \otimes \partial y^t / \partial w

    with :math:`D^t` the position-wise part of :math:`\partial h^t/\partial h^{t-1}` (one block of
    states by states at each position) and :math:`u^t = \partial h^t/\partial y^t`.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        one number per weight, state of the group and example.
    Time
        the same per step; none of it when weights are fixed over a chunk.
    Exactness
        equals back-propagation through time where every path through time is position-wise.
    Reference
        Wang et al., Nature Communications 17:1745, 2026.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("d_rtrl")
    DRTRL()
    """

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "d_rtrl"
    aliases = ("drtrl",)
    point = {}
