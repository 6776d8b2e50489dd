"""S-TLLR: STDP-inspired temporal local learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, TraceRule, Traces
from .checks import decay, number, whole
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class STLLR(TraceRule):
    r"""STDP-inspired temporal local learning rule.

    .. math::
        \bar x^t &= \lambda_{pre}\,\bar x^{t-1} + x^t, \qquad
        \bar\psi^t = \lambda_{post}\,\bar\psi^{t-1} + \psi^t \\
        e^t &= \alpha_{pre}\,\psi^t \otimes \bar x^t
        + \alpha_{post}\,\bar\psi^{t-1} \otimes x^t, \qquad g^t = \ell^t \cdot e^t

    with :math:`\psi = \partial z/\partial y` the slope of what the units emit. The first term is
    causal (input before output), the second one is not.

    Parameters
    ----------
    decay_post, decay_pre
        :math:`\lambda_{post}` and :math:`\lambda_{pre}`.
    post, pre
        :math:`\alpha_{post}` and :math:`\alpha_{pre}`.
    warmup
        Steps :math:`T_l` before learning starts.
    feedback
        How the error reaches the units: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        twice the size of the inputs and results of the weight products, per example.
    Time
        the same, and two outer products where the gradient is read.
    Exactness
        approximate: pairs of events take the place of the influence.
    Reference
        Apolinario and Roy, Transactions on Machine Learning Research 2025; the defaults are those
        of its code.

    Examples
    --------
    >>> import etp
    >>> etp.rules.STLLR(post=0.2).decay_pre
    0.8
    """

    decay_post: float = field(default=0.5, validator=decay)
    decay_pre: float = field(default=0.8, validator=decay)
    post: float = field(default=-0.2, validator=number)
    pre: float = field(default=1.0, validator=number)
    warmup: int = field(default=0, validator=whole)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback")

    name = "s_tllr"
    aliases = ("stllr",)
    default_window = 0
    emits = True
    traces = {"xbar": PER_INPUT, "x": PER_INPUT, "psi": PER_RESULT, "psibar": PER_RESULT}
    approximation = "pairs of pre- and postsynaptic events take the place of the influence"

    @property
    def point(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        return None if self.warmup else {
            "recursion": None,
            "pre": f"stdp_pair({self.decay_pre}, {self.decay_post}, {self.pre}, {self.post})",
        }  # fmt: skip

    @property
    def counts_steps(self) -> bool:  # type: ignore[override]
        return self.warmup > 0

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        return {
            "xbar": self.decay_pre * e["xbar"] + rel.pre,
            "x": rel.pre,
            "psi": rel.u,
            "psibar": self.decay_post * e["psibar"] + e["psi"],
        }

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        causal = self.pre * (ell @ e["psi"]) * e["xbar"]
        acausal = self.post * (ell @ e["psibar"]) * e["x"]
        if not self.warmup:
            return causal + acausal
        return (causal + acausal) * ops.cast(ops.gt(rel.count, self.warmup), rel.count.dtype)
