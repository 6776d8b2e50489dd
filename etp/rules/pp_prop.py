"""pp-prop: D-RTRL with its trace factorised into a pre- and a postsynaptic part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops

from ..filters import PresynapticTrace
from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, Slot, TraceRule, Traces
from .checks import integer, real, wrong
from .points import Jacobian
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


def _decay_or_rank(instance: Any, attribute: Any, value: Any) -> None:
    """Keep the decay in [0, 1), or that of an integer rank r >= 1, (r - 1) / (r + 1)."""
    rank = integer(value)
    found = (rank - 1) / (rank + 1) if rank is not None and rank >= 1 else real(value)
    if found is None or not 0 <= found < 1:
        raise wrong(instance, attribute, value, "lies in [0, 1), or is a rank of at least 1",
                    "give a decay such as 0.9, or a whole number from 1 on")  # fmt: skip
    object.__setattr__(instance, attribute.name, float(found))


@final
@register
@frozen
class PPProp(TraceRule):
    r"""Pre- and postsynaptic propagation, also known as ES-D-RTRL.

    .. math::
        \varepsilon_x^t &= \alpha\,\varepsilon_x^{t-1} + x^t \\
        \varepsilon_f^t &= \alpha_f\,D^t \varepsilon_f^{t-1} + (1-\alpha_f)\,u^t \\
        \hat\varepsilon^t &= \varepsilon_f^t \otimes \varepsilon_x^t \,/\, (1 - \alpha_f^t)

    Parameters
    ----------
    decay
        :math:`\alpha` in [0, 1), or a rank r >= 1 standing for (r - 1)/(r + 1).
    decay_f
        :math:`\alpha_f`, the same way; :math:`\alpha` unless it is given.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        the size of the inputs and results of the weight products, per example.
    Time
        the same, and one outer product where the gradient is read.
    Exactness
        approximate: the sum over the past of products is replaced by a product of sums.
    Reference
        Wang et al., Nature Communications 17:1745, 2026.

    Examples
    --------
    >>> import etp
    >>> etp.rules.PPProp(decay=0.9).decay_f
    0.9
    """

    decay: float = field(default=0.9, validator=_decay_or_rank)
    decay_f: float = field(validator=_decay_or_rank)

    @decay_f.default
    def _same(self) -> float:
        return self.decay

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "pp_prop"
    aliases = ("es_d_rtrl", "esd_rtrl", "ppprop")
    traces = {"x": PER_INPUT, "f": PER_RESULT}
    counts_steps = True
    approximation = "the trace is factorised in time, a product of two filtered sums"

    @property
    def point(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {
            "storage": "factorised", "pre": PresynapticTrace(self.decay),
            "recursion": Jacobian(self.decay_f, average=True),
        }  # fmt: skip

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        found = super().slots(rel)
        return found if rel.has_input else {"f": found["f"]}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        a = self.decay_f
        new = {"f": a * (rel.D @ e["f"]) + (1 - a) * rel.u}
        return {"x": self.decay * e["x"] + rel.x, **new} if rel.has_input else new

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        # 1 before the first step, where the traces are 0.
        a, seen = self.decay_f, ops.maximum(rel.count, 1.0)
        debias = 1.0 if a == 0 else ops.div(1.0, ops.sub(1.0, ops.pow_(a, seen)))
        return (ell @ e["f"]) * debias * e.get("x")
