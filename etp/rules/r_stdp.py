"""R-STDP: spike-timing dependent plasticity modulated by reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.modulatory import Modulatory
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, PER_WEIGHT, TraceRule, Traces
from .checks import decay, number
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class RSTDP(TraceRule):
    r"""Reward-modulated spike-timing dependent plasticity.

    .. math::
        \bar x^t &= \lambda_{pre}\,\bar x^{t-1} + x^t, \qquad
        \bar z^t = \lambda_{post}\,\bar z^{t-1} + z^t \\
        E^t &= \lambda_E\,E^{t-1} + A_+\, z^t \otimes \bar x^t - A_-\,\bar z^t \otimes x^t, \qquad
        g^t = -R^t E^t

    A positive reward strengthens what the pairs of spikes speak for.

    Parameters
    ----------
    decay_pre, decay_post, plus, minus
        See `STDP`.
    decay_e
        Decay :math:`\lambda_E` of the eligibility of a synapse.
    reward
        The signal, by default `etp.signals.Modulatory`: given beside the data.

    Notes
    -----
    Memory
        one number per weight, state of the group and example.
    Time
        the same per step.
    Exactness
        approximate: no derivative of the loss is computed. Of units that do not spike, the states
        take the place of spikes.
    Reference
        Izhikevich, Cerebral Cortex 17:2443, 2007.

    Examples
    --------
    >>> import etp
    >>> etp.rules.RSTDP(decay_e=0.95).signal.modulated
    True
    """

    decay_pre: float = field(default=0.9, validator=decay)
    decay_post: float = field(default=0.9, validator=decay)
    plus: float = field(default=1.0, validator=number)
    minus: float = field(default=1.0, validator=number)
    decay_e: float = field(default=0.9, validator=decay)
    signal: Signal = field(factory=Modulatory, converter=as_signal, alias="reward")

    name = "r_stdp"
    aliases = ("rstdp", "mstdpet")
    default_window = 0
    emits = True
    traces = {"xbar": PER_INPUT, "zbar": PER_RESULT, "E": PER_WEIGHT}
    approximation = "pairs of spikes take the place of the influence"

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        x = self.decay_pre * e["xbar"] + rel.pre
        z = self.decay_post * e["zbar"] + rel.activity
        pair = self.plus * rel.activity * x - self.minus * z * rel.pre
        return {"xbar": x, "zbar": z, "E": self.decay_e * e["E"] + pair}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return -1.0 * (ell @ e["E"])
