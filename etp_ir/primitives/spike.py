"""The spike: a step function whose derivative is a chosen surrogate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..core import Operand, Program
from ..errors import TypeRuleError, nearest
from ..primitive import Primitive, register
from ..tracer import replay
from ..types import TensorType
from .base import elementwise_batch

SURROGATES: dict[str, Callable[[Any], Any]] = {
    # Zenke & Ganguli 2018: 1 / (1 + 10 |x|)^2
    "fast_sigmoid": lambda x: _inverse_square(ops.add(1.0, ops.mul(10.0, ops.abs_(x)))),
    # Bellec et al. 2020: 0.3 max(0, 1 - |x|)
    "triangle": lambda x: ops.mul(0.3, ops.maximum(0.0, ops.sub(1.0, ops.abs_(x)))),
    # derivative of the logistic function with slope 4
    "sigmoid": lambda x: _bump(ops.logistic(ops.mul(4.0, x))),
    # Fang et al. 2021: 1 / (1 + (pi x)^2)
    "arctan": lambda x: ops.div(1.0, ops.add(1.0, ops.mul(9.869604401089358, ops.mul(x, x)))),
    "boxcar": lambda x: ops.mul(0.5, ops.cast(ops.lt(ops.abs_(x), 1.0), x.dtype)),
    "straight_through": lambda x: ops.add(ops.mul(x, 0.0), 1.0),
}  # fmt: skip


def _inverse_square(x: Any) -> Any:
    return ops.div(1.0, ops.mul(x, x))


def _bump(s: Any) -> Any:
    return ops.mul(4.0, ops.mul(s, ops.sub(1.0, s)))


def _infer(x: Operand, *, surrogate: str | Program) -> TensorType:
    if not x.type.dtype.is_float:
        raise TypeRuleError(f"`spike` needs a floating-point operand, got {x.type}")
    if isinstance(surrogate, str) and surrogate not in SURROGATES:
        raise TypeRuleError(
            f"no surrogate derivative {surrogate!r}{nearest(surrogate, list(SURROGATES))}"
        )
    return x.type


def _jvp(primals: Any, tangents: Any, outs: Any, *, surrogate: str | Program) -> list[Any]:
    (x,), (dx,) = primals, tangents
    if dx is None:
        return [None]
    if isinstance(surrogate, Program):
        # The derivative was traced on a scalar: it is element-wise, so it applies at any shape.
        slope = apply_elementwise(surrogate, x)
    else:
        slope = SURROGATES[surrogate](x)
    return [ops.mul(slope, dx)]


register(
    Primitive(
        name="spike",
        infer=_infer,
        reference=lambda x, *, surrogate: (x > 0).astype(x.dtype),
        jvp=_jvp,
        batch=elementwise_batch("spike"),
        positions="elementwise",
        c99="({0} > 0 ? 1.0{f} : 0.0{f})",
    )
)


def apply_elementwise(program: Program, x: Any) -> Any:
    """Return a scalar program of element-wise nodes applied to every element of ``x``."""
    from ..transforms.batch import batch_program

    for extent in reversed(x.shape):
        program = batch_program(program, extent, {program.inputs[0].name: 0})
    return replay(program, x.builder, [x])[0]
