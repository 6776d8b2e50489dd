"""OSTL with the recurrent Jacobian of each layer."""

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
class OSTLRecurrent(InfluenceRule):
    r"""Online spatio-temporal learning, with the recurrent Jacobian.

    .. math::
        \varepsilon^t = H^t\,\varepsilon^{t-1} + u^t \otimes x^t, \qquad
        H^t = \frac{\partial h^t}{\partial h^{t-1}}, \qquad g^t = \ell^t \cdot \varepsilon^t

    with the whole Jacobian :math:`H` of each layer, recurrent weights included; what one layer
    hands on to another in later steps is left out.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        one number per weight and unit of its layer, per example.
    Time
        the number of units times that.
    Exactness
        equals back-propagation through time in one layer; of several, in the last one.
    Reference
        Bohnstingl et al., IEEE Transactions on Neural Networks and Learning Systems 34:8894, 2023.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("ostl_recurrent").default_scope
    'group'
    """

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "ostl_recurrent"
    aliases = ("ostl", "ostlrecurrent")
    default_scope = "group"
    default_window = 0
    point = {}
