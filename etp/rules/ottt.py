"""OTTT: online training through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import Factory, field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, TraceRule, Traces
from .checks import decay, optional, word
from .leaks import leak_of, told_leak
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class OTTT(TraceRule):
    r"""Online training through time.

    .. math::
        \hat a^t = \lambda\,\hat a^{t-1} + x^t, \qquad
        g^t = (\ell^t \cdot u^t) \otimes \hat a^t

    One presynaptic trace per input takes the place of one per weight, which is right where every
    unit has the same leak and weights act on its potential alone.

    Parameters
    ----------
    leak
        The leak :math:`\lambda` of the units, to be given as it is in the model. Where none is
        given 0.5 is assumed, and the reason of the status says so.
    mode
        ``"A"`` where gradients are accumulated over a sequence, ``"O"`` where weights change
        after each step. Trace and gradient are the same; it is when `Learner.fit` updates,
        unless told otherwise: ``update="sequence"`` or ``update="step"``.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        the size of the inputs and results of the weight products, per example.
    Time
        the same, and one outer product where the gradient is read.
    Exactness
        that of D-RTRL where the transition is ``leak`` at every position of one state and
        the reset is detached; approximate elsewhere.
    Reference
        Xiao et al., NeurIPS 2022.

    Examples
    --------
    >>> import etp
    >>> etp.rules.OTTT(leak=0.9, mode="O")
    OTTT(leak=0.9, mode='O')
    """

    leak: float | None = field(default=None, validator=optional(decay))
    mode: str = field(default="O", validator=word(A="gradients are accumulated", O="online"))

    default_update: str | int = field(init=False, repr=False, eq=False, default=Factory(
        lambda self: "sequence" if self.mode == "A" else "step", takes_self=True
    ))  # fmt: skip
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "ottt"
    default_window = 0
    traces = {"x": PER_INPUT, "u": PER_RESULT}

    @property
    def approximation(self) -> str:  # type: ignore[override]
        return f"one leak, {told_leak(self.leak)}, takes the place of the transition"

    @property
    def point(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        return {"storage": "factorised", "recursion": None, "pre": f"trace({leak_of(self.leak)})"}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        return {"x": leak_of(self.leak) * e["x"] + rel.pre, "u": rel.u}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["u"]) * e["x"]
