"""What joins the examples of a batch: the one operation in which they meet.

Programs are written for one example, so on its own the mean over examples is the identity. Its
rule for the axis of examples (``across``) averages; any other new axis passes by. It is
self-adjoint: the derivative of the summed losses with respect to what an example puts in is the
mean of the cotangents, so reverse mode through it is exact.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..core import Operand
from ..errors import TypeRuleError
from ..primitive import Primitive, get, register
from ..tracer import bind
from ..types import TensorType


def _infer(x: Operand) -> TensorType:
    if not x.type.dtype.is_float:
        raise TypeRuleError(f"`batch_mean` needs a floating-point operand, got {x.type}")
    return x.type


def _again(x: Any) -> list[Any]:
    return [None if x is None else bind(get("batch_mean"), x)]


def _across(x: Any, axis: int, size: int) -> Any:
    return ops.mul(ops.reduce_sum(x, (axis,)), 1.0 / size)


register(
    Primitive(
        name="batch_mean",
        infer=_infer,
        reference=lambda x: x,
        jvp=lambda primals, tangents, outs: _again(tangents[0]),
        transpose=lambda cotangents, operands: _again(cotangents[0]),
        batch=lambda operands, axes, size: (_again(operands[0]), [axes[0]]),
        positions="examples",
        across=_across,
        lower=lambda x: x,
    )
)
