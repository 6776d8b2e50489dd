"""STDP: spike-timing dependent plasticity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.modulatory import CONSTANT
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, TraceRule, Traces
from .checks import decay, number
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class STDP(TraceRule):
    r"""Spike-timing dependent plasticity between all pairs of spikes.

    .. math::
        \bar x^t &= \lambda_{pre}\,\bar x^{t-1} + x^t, \qquad
        \bar z^t = \lambda_{post}\,\bar z^{t-1} + z^t \\
        g^t &= -\left(A_+\, z^t \otimes \bar x^t - A_-\,\bar z^t \otimes x^t\right)

    There is no loss in it: what optimisers descend is the negative of the pair rule, times the
    weight of the step's loss. Weights that reach no state, as those of a readout, learn from the
    loss.

    Parameters
    ----------
    decay_pre, decay_post
        Decays of the traces of spikes, :math:`\lambda_{pre}` and :math:`\lambda_{post}`.
    plus, minus
        Amplitudes :math:`A_+` and :math:`A_-`.

    Notes
    -----
    Memory
        twice the size of the inputs and results of the weight products, per example.
    Time
        the same, and two outer products per step.
    Exactness
        no gradient of anything: the status is approximate. Of units that do not spike, the states
        take the place of spikes.
    Reference
        Morrison, Diesmann and Gerstner, Biological Cybernetics 98:459, 2008.

    Examples
    --------
    >>> import etp
    >>> etp.rules.STDP(plus=0.01, minus=0.012).minus
    0.012
    """

    decay_pre: float = field(default=0.9, validator=decay)
    decay_post: float = field(default=0.9, validator=decay)
    plus: float = field(default=1.0, validator=number)
    minus: float = field(default=1.0, validator=number)
    signal: Signal = field(init=False, repr=False, default=CONSTANT)

    name = "stdp"
    default_window = 0
    emits = True
    traces = {"xbar": PER_INPUT, "x": PER_INPUT, "zbar": PER_RESULT, "z": PER_RESULT}
    approximation = "pairs of spikes take the place of the influence, and no loss is descended"

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        return {
            "xbar": self.decay_pre * e["xbar"] + rel.pre,
            "x": rel.pre,
            "zbar": self.decay_post * e["zbar"] + rel.activity,
            "z": rel.activity,
        }

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        after = -self.plus * (ell @ e["z"]) * e["xbar"]
        return after + self.minus * (ell @ e["zbar"]) * e["x"]
