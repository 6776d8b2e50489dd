"""RFLO: random feedback local online learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.feedback import Random
from ..signals.words import as_signal
from .base import TraceRule, Traces
from .checks import decay, optional
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class RFLO(TraceRule):
    r"""Random feedback local online learning.

    .. math::
        B^t = \lambda\,B^{t-1} + u^t \otimes x^t, \qquad g^t = (B_{fb}\,\delta^t) \cdot B^t

    The recurrence is replaced by the leak of the units. For a leaky network with
    :math:`h^t = (1-\alpha) h^{t-1} + \alpha\,\varphi(a^t)` this is
    :math:`\lambda = 1 - \alpha` and :math:`u = \alpha\varphi'`.

    Parameters
    ----------
    leak
        The leak :math:`\lambda`, or None for the position-wise transition of the model itself.
    feedback
        How the error comes back: a signal, or a word such as ``"symmetric"`` (see
        `etp.signals.words`).

    Notes
    -----
    Memory
        one number per weight, state of the group and example.
    Time
        the same per step.
    Exactness
        approximate: credit comes through random weights, and no path through recurrent weights is
        followed. With symmetric feedback it is D-RTRL on leaky networks.
    Reference
        Murray, eLife 8:e43299, 2019.

    Examples
    --------
    >>> import etp
    >>> etp.rules.RFLO(leak=0.9, feedback="symmetric").leak
    0.9
    """

    leak: float | None = field(default=None, validator=optional(decay))
    signal: Signal = field(factory=Random, converter=as_signal, alias="feedback")

    name = "rflo"
    default_window = 0

    @property
    def point(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        return {} if self.leak is None else {"recursion": self.leak}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        old = rel.D @ e["e"] if self.leak is None else self.leak * e["e"]
        return {"e": old + rel.u * rel.x}
