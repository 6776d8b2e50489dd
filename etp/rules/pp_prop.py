"""pp-prop: D-RTRL with its trace factorised into a pre- and a postsynaptic part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops
from etp_ir.errors import ETPError
from etp_ir.tracer import Tracer

from .algebra import Named, Vec
from .base import Slot, TraceRule, Traces, register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


def _decay(value: float) -> float:
    """Return a decay for a decay in [0, 1) or an integer rank r >= 1, as (r - 1) / (r + 1)."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return (value - 1) / (value + 1)
    if not 0 <= value < 1:
        raise ETPError(f"a decay lies in [0, 1), or is a rank of at least 1; got {value!r}")
    return float(value)


@final
@register
@frozen
class PPProp(TraceRule):
    r"""Pre- and postsynaptic propagation, also known as ES-D-RTRL.

    .. math::
        \varepsilon_x^t &= \alpha\,\varepsilon_x^{t-1} + x^t \\
        \varepsilon_f^t &= \alpha\,D^t \varepsilon_f^{t-1} + (1-\alpha)\,u^t \\
        \hat\varepsilon^t &= \varepsilon_f^t \otimes \varepsilon_x^t \,/\, (1 - \alpha^t)

    Parameters
    ----------
    decay
        :math:`\alpha` in [0, 1), or a rank r >= 1 standing for (r - 1)/(r + 1).

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
    >>> etp.rules.PPProp(decay=0.9).decay
    0.9
    """

    decay: float = field(default=0.9, converter=_decay)

    name = "pp_prop"
    aliases = ("es_d_rtrl", "esd_rtrl", "ppprop")
    counts_steps = True
    textbook = True
    approximation = "the trace is factorised in time, a product of two filtered sums"

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        f = {"f": Slot(rel.axes.y)}
        return f if rel.x is None else {"x": Slot(rel.axes.x, per_state=False), **f}

    def advance(self, rel: RelationView, eps: Traces, count: Tracer | None) -> Traces:
        a = self.decay
        f = eps["f"]
        assert isinstance(f, Vec)
        new: dict[str, Vec | Named] = {"f": (rel.D @ f) * a + rel.u * (1 - a)}
        if rel.x is not None:
            x = eps["x"]
            assert isinstance(x, Named)
            new["x"] = x * a + rel.x
        return new

    def gradient(
        self, rel: RelationView, eps: Traces, ell: Vec, count: Tracer | None
    ) -> Named | None:
        f, x = eps["f"], eps.get("x")
        assert isinstance(f, Vec)
        post = ell.dot(f, rel.axes.y)
        if post is None:
            return None
        post = post * self._debias(count)
        return post if x is None else post.contract(x, rel.axes.w)

    def _debias(self, count: Any) -> Any:
        """Return 1 / (1 - decay^count), and 1 before the first step, where the traces are 0."""
        if self.decay == 0:
            return 1.0
        remaining = ops.sub(1.0, ops.pow_(self.decay, ops.maximum(count, 1.0)))
        return ops.div(1.0, remaining)
