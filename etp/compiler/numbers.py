"""Numbers of a step that belong to no relation: how many steps there were, and random draws."""

from __future__ import annotations

from math import tau
from typing import Any

from attrs import define, field

from etp_ir import ops
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, bind
from etp_ir.types import F32, F64, DType

# Rules draw from streams of their own, apart from those of the model (which are numbered from 0).
_RULE = 0x5EED0000


@define
class StepNumbers:
    """Counter and random numbers of one step.

    Attributes
    ----------
    structure, builder
        The step they belong to, and the program under construction.
    counted
        The number of steps that the traces have seen.
    key
        Key of the step, (2,) words; of one example.
    sequence_key
        Key of the sequence.
    loss_weight
        Weight of this step's loss.
    last
        1 in the last step of a sequence and 0 elsewhere.
    """

    dtype: DType
    structure: Any = None
    builder: Any = None
    counted: Tracer | None = None
    key: Tracer | None = None
    sequence_key: Tracer | None = None
    loss_weight: Tracer | None = None
    last: Tracer | None = None
    drawn: int = field(init=False, default=0)

    @property
    def count(self) -> Tracer:
        """The number of steps that the traces have seen."""
        assert self.counted is not None, "a rule that counts steps says so: counts_steps = True"
        return self.counted

    @property
    def ends(self) -> Tracer:
        """Whether the sequence ends with this step, as far as that is known."""
        assert self.last is not None, "a rule that sees where a sequence ends says so: sees_end"
        found: Tracer = ops.lt(0.5, self.last)
        return found

    def uniform(
        self, shape: tuple[int, ...], *, per: str = "step", stream: int | None = None
    ) -> Any:
        """Return numbers from 0 up to 1.

        Parameters
        ----------
        per
            ``"step"``, or ``"sequence"`` for numbers that stay the same in all steps.
        stream
            Number of the draw; by default the next one.
        """
        key = self.key if per == "step" else self.sequence_key
        assert key is not None, "a rule that draws random numbers says so: draws = True"
        if stream is None:
            self.drawn += 1
            stream = self.drawn
        words = bind(get("random_bits"), ops.add(key, _RULE + stream), shape=shape)
        return ops.mul(ops.cast(ops.shift_right(words, 8), self.dtype), 2.0**-24)

    def signs(self, shape: tuple[int, ...], **how: Any) -> Any:
        """Return -1 or 1, each as often (Rademacher)."""
        high = ops.cast(ops.lt(self.uniform(shape, **how), 0.5), self.dtype)
        return ops.sub(1.0, ops.mul(2.0, high))

    def normal(self, shape: tuple[int, ...], **how: Any) -> Any:
        """Return normally distributed numbers, by Box & Muller (1958)."""
        wide = self.dtype if self.dtype is F64 else F32
        u = ops.cast(self.uniform((2, *shape), **how), wide)
        rest = [0] * len(shape)
        one = [1] * (len(shape) + 1)
        first, second = (
            ops.reshape(ops.slice_(u, (k, *rest), (k + 1, *shape), one), shape) for k in (0, 1)
        )
        # 1 - u lies above zero, so its logarithm is finite.
        radius = ops.sqrt(ops.mul(-2.0, ops.log(ops.sub(1.0, first))))
        return ops.cast(ops.mul(radius, ops.cos(ops.mul(tau, second))), self.dtype)
