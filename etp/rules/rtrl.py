"""Full real-time recurrent learning."""

from __future__ import annotations

from typing import final

from attrs import frozen

from .base import LearningRule, register


@final
@register
@frozen
class RTRL(LearningRule):
    r"""Real-time recurrent learning with the whole influence matrix.

    .. math:: M^t = J^t M^{t-1} + \partial h^t/\partial\theta

    Memory
        number of states times number of parameters, per example.
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

    name = "rtrl"
    follows = "all"
    keeps_influence = True
