"""OTTT: online training through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import Factory, field, frozen

from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, TraceRule, Traces
from .checks import decay, word
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
        The leak :math:`\lambda` of the units, to be given as it is in the model.
    mode
        ``"A"`` where gradients are accumulated over a sequence, ``"O"`` where weights change
        after each step. Trace and gradient are the same; it is when `Learner.fit` updates,
        unless told otherwise: ``update="sequence"`` or ``update="step"``.

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

    leak: float = field(default=0.5, validator=decay)
    mode: str = field(default="O", validator=word(A="gradients are accumulated", O="online"))

    default_update: str | int = field(init=False, repr=False, eq=False, default=Factory(
        lambda self: "sequence" if self.mode == "A" else "step", takes_self=True
    ))  # fmt: skip

    name = "ottt"
    default_window = 0
    traces = {"x": PER_INPUT, "u": PER_RESULT}
    approximation = "one leak, the rule's, takes the place of the transition"

    @property
    def point(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        return {"storage": "factorised", "recursion": None, "pre": f"trace({self.leak})"}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        return {"x": self.leak * e["x"] + rel.pre, "u": rel.u}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["u"]) * e["x"]
