"""OSTTP: online spatio-temporal learning with target projection."""

from __future__ import annotations

from typing import final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.direct import DirectTarget
from ..signals.words import as_signal
from .base import InfluenceRule
from .registry import register


@final
@register
@frozen
class OSTTP(InfluenceRule):
    r"""Online spatio-temporal learning with target projection.

    .. math::
        \varepsilon^t = H^t\,\varepsilon^{t-1} + u^t \otimes x^t, \qquad
        g^t = (B_l\,y^{*t}) \cdot \varepsilon^t

    The trace of `OSTLRecurrent`, and for each layer :math:`l` the target through a fixed random
    matrix, so that no layer waits for the output. With ``scope="diagonal"`` the trace is that of
    `OSTLFeedforward`.

    Parameters
    ----------
    feedback
        Another signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        one number per weight and unit of its layer, per example.
    Time
        the number of units times that.
    Exactness
        approximate: the signal is no derivative of the loss.
    Reference
        Ortner, Pes, Gentinetta, Frenkel and Pantazi, IEEE AICAS 2023, arXiv 2304.05124.

    Examples
    --------
    >>> import etp
    >>> etp.rules.OSTTP(feedback=etp.signals.DirectTarget(seed=3)).signal.seed
    3
    """

    signal: Signal = field(factory=DirectTarget, converter=as_signal, alias="feedback")

    name = "osttp"
    default_scope = "group"
    default_window = 0
    point = {}
