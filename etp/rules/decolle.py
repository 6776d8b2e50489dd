"""DECOLLE: deep continuous local learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import Signal
from ..signals.local import LocalReadout
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, TraceRule, Traces
from .checks import decay
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class DECOLLE(TraceRule):
    r"""Deep continuous local learning.

    .. math::
        q^t &= \beta\,q^{t-1} + (1-\beta)\,x^t, \qquad p^t = \alpha\,p^{t-1} + (1-\alpha)\,q^t \\
        g^t &= (G_l^\top\,\partial L(G_l z_l, y^*)) \,\psi^t \otimes p^t

    Every layer has a fixed random readout :math:`G_l` of its own and learns from its loss alone.

    Parameters
    ----------
    alpha, beta
        Decays of the membrane and of the synapse. 0 for both where the model filters its inputs
        before it weighs them, as the neurons of the paper do: then :math:`p = x`.
    signal
        By default `etp.signals.LocalReadout`; a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        twice the size of the inputs and once that of the results of weight products, per example.
    Time
        the same, and one outer product where the gradient is read.
    Exactness
        approximate: credit is local to each layer.
    Reference
        Kaiser, Mostafa and Neftci, Frontiers in Neuroscience 14:424, 2020.

    Examples
    --------
    >>> import etp
    >>> etp.rules.DECOLLE(alpha=0.9, beta=0.8).signal
    LocalReadout(seed=0, scale=None)
    """

    alpha: float = field(default=0.9, validator=decay)
    beta: float = field(default=0.85, validator=decay)
    signal: Signal = field(factory=LocalReadout, converter=as_signal)

    name = "decolle"
    default_window = 0
    emits = True
    traces = {"q": PER_INPUT, "p": PER_INPUT, "u": PER_RESULT}
    approximation = "credit is local to each layer, and inputs are filtered by constants"

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        q = self.beta * e["q"] + (1 - self.beta) * rel.pre
        return {"q": q, "p": self.alpha * e["p"] + (1 - self.alpha) * q, "u": rel.u}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["u"]) * e["p"]
