"""SuperSpike: learning of spike trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from attrs import Factory, field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.van_rossum import VanRossum
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_WEIGHT, TraceRule, Traces
from .checks import decay
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class SuperSpike(TraceRule):
    r"""SuperSpike.

    .. math::
        g^t = (\alpha * (z - \hat z))^t \cdot (\alpha * e)^t, \qquad
        e = \sigma'(U)\,(\epsilon * S), \qquad
        \alpha * s:\; r^t = a\,r^{t-1} + (1-a)\,s^t,\; d^t = b\,d^{t-1} + (1-b)\,r^t

    The inner trace :math:`\epsilon * S` is what the model's own potential follows, and the error
    that of the van Rossum distance between output and target, spike trains both.

    Parameters
    ----------
    rise, decay
        Decays :math:`a` and :math:`b` of the double exponential filter :math:`\alpha`.
    feedback
        How the error reaches units that have no target: a signal or a word, see
        `etp.signals.words`.

    Notes
    -----
    Memory
        three numbers per weight, state of the group and example.
    Time
        the same per step; the per-weight rates of the paper are the optimiser's,
        `etp.optim.rmaxprop`.
    Exactness
        approximate: the trace is filtered, and the signal no derivative of the loss.
    Reference
        Zenke and Ganguli, Neural Computation 30:1514, 2018, equations 2.6 to 2.8.

    Examples
    --------
    >>> import etp
    >>> etp.rules.SuperSpike(rise=0.6, decay=0.9).signal
    VanRossum(rise=0.6, decay=0.9, feedback=Symmetric())
    """

    rise: float = field(default=0.5, validator=decay)
    decay: float = field(default=0.8, validator=decay)
    feedback: Signal = field(default=SYMMETRIC, converter=as_signal)
    signal: Signal = field(init=False, repr=False, default=Factory(
        lambda self: VanRossum(self.rise, self.decay, self.feedback), takes_self=True
    ))  # fmt: skip

    name = "superspike"
    default_window = 0
    emits = True
    delayed = True
    traces = {"eps": PER_WEIGHT, "r": PER_WEIGHT, "lam": PER_WEIGHT}
    approximation = "the trace is filtered as the spike trains are whose distance is learned from"

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        a, b = self.rise, self.decay
        eps = rel.D @ e["eps"] + rel.u * rel.x
        r = a * e["r"] + (1 - a) * eps
        return {"eps": eps, "r": r, "lam": b * e["lam"] + (1 - b) * r}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return ell @ e["lam"]
