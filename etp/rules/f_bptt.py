"""Future-facing back-propagation through time: each loss credits the last steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import StepRule
from .checks import count
from .registry import register

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView
    from .bundle import Bundle


@final
@register
@frozen
class FBPTT(StepRule):
    r"""Future-facing back-propagation through time.

    .. math::
        u_0^t = \ell^t, \qquad u_b^t = (J^{t-b+1})^\top u_{b-1}^t, \qquad
        g^t = \sum_{b<H} (F^{t-b})^\top u_b^t

    Parameters
    ----------
    horizon
        Steps :math:`H` that a loss gives credit to, its own included.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Credit is applied as it arrives, so that none is lost at the end of a sequence. The published
    form gathers the credit of each step and applies it H - 1 steps later, which on frozen weights
    has the same total but for the last H - 1 steps. It is the total of ``tbptt(1, H)`` too.

    Memory
        what the last H steps depended on: states, inputs, random words.
    Time
        H products with the transpose of the step's derivative.
    Exactness
        approximate: credit goes back H - 1 steps. Derivatives are taken at the states that were
        met, with the weights of now.
    Reference
        Marschall, Cho and Savin, JMLR 21(135), 2020.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("f_bptt(10)")
    FBPTT(horizon=10)
    """

    horizon: int = field(default=4, validator=count)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "f_bptt"
    aliases = ("future_facing_bptt",)
    default_window = 0
    approximation = "each loss gives credit to so many steps, and to none before them"
    whole = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        return {"past": model.recording.ring(self.horizon)}

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"past": step.record(e["past"])}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        _, old = self.signal.arriving(step.at)
        # What the loss reads of the state before the step is credit of the step before.
        fed = {n: step.push(step.last(x, self.horizon), None) for n, x in old.items()}
        return step.back(e["past"], ell, fed)
