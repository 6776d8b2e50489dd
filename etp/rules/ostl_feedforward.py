"""OSTL without the recurrent Jacobian."""

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
class OSTLFeedforward(InfluenceRule):
    r"""Online spatio-temporal learning of feed-forward layers.

    .. math:: \varepsilon^t = D^t\,\varepsilon^{t-1} + u^t \otimes x^t, \qquad
        g^t = \ell^t \cdot \varepsilon^t

    with :math:`D` the transition of each unit by itself: the published contraction on the trace of
    `DRTRL`.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        one number per weight, state of the group and example.
    Time
        the same per step.
    Exactness
        equals back-propagation through time where every path through time is position-wise, in
        one layer.
    Reference
        Bohnstingl et al., IEEE Transactions on Neural Networks and Learning Systems 34:8894, 2023.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("ostl_feedforward")
    OSTLFeedforward()
    """

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "ostl_feedforward"
    aliases = ("ostlfeedforward",)
    default_window = 0
    point = {}
