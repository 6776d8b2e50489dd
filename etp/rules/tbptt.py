"""Truncated back-propagation through time that rolls along the sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import Factory, field, frozen

from etp_ir import ops
from etp_ir.errors import ETPError

from ..given import mistake
from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import StepRule
from .checks import count
from .registry import register

if TYPE_CHECKING:
    from etp_ir.tracer import Tracer

    from ..compiler.step_view import ModelView, StepView
    from .bundle import Bundle


def _reaches(instance: TBPTT, attribute: Any, k2: Any) -> None:
    count(instance, attribute, k2)
    if k2 < instance.k1:
        raise mistake(
            ETPError, f"tbptt({instance.k1}, {k2}) would leave losses out: k2 is at least k1",
            f"write tbptt({instance.k1}, {instance.k1}) for blocks that do not overlap",
        )  # fmt: skip


@final
@register
@frozen
class TBPTT(StepRule):
    r"""Truncated back-propagation through time, BPTT(h; h') with h = k2 and h' = k1.

    .. math::
        \delta^{e-i} = [i < k_1]\,\ell^{e-i} + (J^{e-i+1})^\top\delta^{e-i+1}, \qquad
        g^e = \sum_{i<k_2} (F^{e-i})^\top \delta^{e-i}

    at the end e of every block of :math:`k_1` steps and of the sequence, and zero in between: the
    loss of step t reaches back :math:`k_2 - (e - t)` steps, its own included.

    Parameters
    ----------
    k1
        Steps between two passes back, whose losses each pass counts.
    k2
        Steps that a pass goes back, at least ``k1``.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Where a sequence ends within a block, ``grad`` and ``fit`` let a pass back begin there, so
    that no loss is left out. A stream knows no end: of ``step`` the losses since the last whole
    block give nothing yet.

    Memory
        what the last k2 steps depended on: states, inputs, random words; and k1 signals.
    Time
        k2/k1 products with the transpose of the step's derivative.
    Exactness
        approximate: credit goes back k2 steps at most. Derivatives are taken at the states that
        were met, with the weights of now.
    Reference
        Williams and Peng, Neural Computation 2(4), 1990.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("tbptt(5, 20)")
    TBPTT(k1=5, k2=20)
    """

    k1: int = field(default=1, validator=count)
    k2: int = field(default=4, validator=_reaches)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    delayed: bool = field(init=False, repr=False, eq=False, default=Factory(
        lambda self: self.k1 > 1, takes_self=True
    ))  # fmt: skip

    name = "tbptt"
    default_window = 0
    approximation = "credit goes back so many steps, and what lies before them gets none"
    counts_steps = True
    whole = True
    sees_end = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        waiting = {n: (self.k2, *shape) for n, shape in model.states.items()}
        return {"past": model.recording.ring(self.k2), "ell": waiting}

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        new, old = self.signal.arriving(step.at)
        begins = self._at(step.count)
        ell = {}
        for n, x in e["ell"].items():
            # What the loss reads of the state before the step is credit of the step before.
            earlier = ops.select(ops.broadcast(begins, x.shape, ()), step.zeros(x.shape), x)
            if n in old:
                earlier = ops.add(earlier, step.last(old[n], self.k2))
            ell[n] = step.push(earlier, new.get(n))
        return {"past": step.record(e["past"]), "ell": ell}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        return step.back(e["past"], {}, e["ell"], where=self._ends(step))

    def _ends(self, step: StepView) -> Tracer:
        """Return whether a block ends with a step, or the sequence does."""
        ends: Tracer = ops.or_(self._at(ops.add(step.count, 1.0)), step.ends)
        return ends

    def _at(self, count: Tracer) -> Tracer:
        """Return whether a block begins after so many steps."""
        begins: Tracer = ops.lt(ops.rem(count, float(self.k1)), 0.5)
        return begins
