"""SLTT: spatial learning through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from etp_ir import ops
from etp_ir.errors import ETPError

from ..given import mistake
from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Named, Vec
from .base import PER_INPUT, PER_RESULT, Slot, TraceRule, Traces
from .checks import count, optional
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class SLTT(TraceRule):
    r"""Spatial learning through time: paths through time are left out.

    .. math:: g^t = (\ell^t \cdot u^t) \otimes x^t

    Parameters
    ----------
    steps
        Number K of the steps of each sequence that are learned from, chosen at random (SLTT-K);
        None for all of them.
    length
        Steps of a sequence, which the choice of K needs to know. They are drawn one after the
        other: a step is taken with the probability that the number of those still wanted has among
        those still to come.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        none that lives longer than a step.
    Time
        that of back-propagation within the step.
    Exactness
        exact where the states are not carried from step to step; approximate elsewhere.
    Reference
        Meng et al., ICCV 2023.

    Examples
    --------
    >>> import etp
    >>> etp.rules.SLTT(steps=2, length=6)
    SLTT(steps=2, length=6)
    """

    steps: int | None = field(default=None, validator=optional(count))
    length: int | None = field(default=None, validator=optional(count))
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "sltt"
    default_window = 0
    traces = {"x": PER_INPUT, "u": PER_RESULT}
    approximation = "paths through time are left out"

    @property
    def point(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        return {"storage": "factorised", "recursion": None} if self.steps is None else None

    def __attrs_post_init__(self) -> None:
        if (self.steps is None) != (self.length is None) or (self.steps or 0) > (self.length or 0):
            raise mistake(
                ETPError, "SLTT takes K steps at random out of the length of a sequence; got "
                f"steps={self.steps}, length={self.length}",
                "give both, or none, such as steps=2, length=6",
            )  # fmt: skip

    @property
    def draws(self) -> bool:  # type: ignore[override]
        return self.steps is not None

    @property
    def counts_steps(self) -> bool:  # type: ignore[override]
        return self.steps is not None

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        taken = {} if self.steps is None else {"taken": Slot("", per_state=False)}
        return {**super().slots(rel), **taken}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        if self.steps is None:
            return {"x": rel.pre, "u": rel.u}
        assert self.length is not None
        t = ops.sub(rel.count, ops.mul(self.length, ops.floor(ops.div(rel.count, self.length))))
        taken = ops.select(ops.eq(t, 0.0), 0.0, e["taken"].array)
        # The same number for all weights: the step is learned from, or it is not.
        chance = rel.uniform("", stream=1).array
        wanted = ops.mul(chance, ops.sub(float(self.length), t))
        now = ops.cast(ops.lt(wanted, ops.sub(float(self.steps), taken)), chance.dtype)
        new = Named(ops.add(taken, now), "", rel.axes.frame)
        return {"x": rel.pre, "u": now * rel.u, "taken": new}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["u"]) * e["x"]
