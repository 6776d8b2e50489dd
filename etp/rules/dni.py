"""Decoupled neural interfaces: learning from synthetic gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.bootstrapped import SyntheticGradient
from .base import StepRule
from .registry import register

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView
    from .bundle import Bundle


@final
@register
@frozen
class DNI(StepRule):
    r"""Decoupled neural interfaces, also known as synthetic gradients.

    .. math:: g^t = (F^t)^\top \hat\delta^t, \qquad \hat\delta^t = A\,[h^t;\; y^{*t};\; 1]

    Nothing is kept of the past: a synthesiser predicts what later losses will hand back.

    Parameters
    ----------
    signal
        The synthesiser, an `etp.SyntheticGradient`: trained online from what it predicts of the
        next step, or fitted beforehand.

    Notes
    -----
    The readout learns from its own loss.

    Memory
        states by states for all examples; the state, its target and signal for each.
    Time
        two products with the transpose of the step's derivative.
    Exactness
        approximate: credit is predicted.
    Reference
        Jaderberg et al., ICML 2017; as written by Marschall, Cho and Savin, JMLR 21(135), 2020.

    Examples
    --------
    >>> import etp
    >>> etp.rules.DNI(signal=etp.SyntheticGradient(rate=0.1)).signal.rate
    0.1
    """

    signal: Signal = field(factory=SyntheticGradient)

    name = "dni"
    aliases = ("synthetic_gradient",)
    default_window = 0
    approximation = SyntheticGradient.why
    whole = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        return {}

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        return {}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        return step.vjp(ell)[1]
