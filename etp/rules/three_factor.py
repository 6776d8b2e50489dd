"""Three-factor learning: an eligibility trace times a modulator."""

from __future__ import annotations

from typing import final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.modulatory import Modulatory
from ..signals.words import as_signal
from .base import InfluenceRule
from .registry import register


@final
@register
@frozen
class ThreeFactor(InfluenceRule):
    r"""Three-factor learning.

    .. math:: \varepsilon^t = D^t\,\varepsilon^{t-1} + u^t \otimes x^t, \qquad
        g^t = m^t\,\varepsilon^t

    The trace of `DRTRL`, and a modulator in place of the derivative of the loss.

    Parameters
    ----------
    modulator
        The signal, by default `etp.signals.Modulatory`: given beside the data for each step,
        example or, with ``Modulatory(per_group=True)``, hidden group.

    Notes
    -----
    Memory
        one number per weight, state of the group and example.
    Time
        the same per step.
    Exactness
        approximate: the modulator is no derivative of the loss.
    Reference
        Frémaux and Gerstner, Frontiers in Neural Circuits 9:85, 2016.

    Examples
    --------
    >>> import etp
    >>> surprise = etp.signals.Modulatory(lambda output, target: etp.xp.sum((output - target) ** 2))
    >>> etp.rules.ThreeFactor(surprise).signal.modulated
    False
    """

    signal: Signal = field(factory=Modulatory, converter=as_signal, alias="modulator")

    name = "three_factor"
    aliases = ("threefactor",)
    default_window = 0
    point = {}
