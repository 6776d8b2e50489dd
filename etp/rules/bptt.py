"""Back-propagation through time: the reference that online rules are measured against."""

from __future__ import annotations

from typing import final

from attrs import frozen

from .base import LearningRule
from .registry import register


@final
@register
@frozen
class BPTT(LearningRule):
    r"""Back-propagation through time, offline.

    .. math:: \delta^t = \partial L^t/\partial h^t + (J^{t+1})^\top \delta^{t+1}

    Memory
        grows with the length of the sequence.
    Time
        one backward pass per sequence.
    Exactness
        exact.
    Reference
        Werbos, Proceedings of the IEEE 78(10), 1990.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("bptt")
    BPTT()
    """

    name = "bptt"
    default_scope = "full"
