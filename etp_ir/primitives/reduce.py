"""Reductions over axes, and the running sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import TypeRuleError
from ..primitive import Primitive, get, register
from ..tracer import bind
from ..types import I32, TensorType
from .base import fronted


def _reduced(name: str, x: Operand, axes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.type.rank for a in axes):
        raise TypeRuleError(f"`{name}` of {x.type} cannot reduce axes {axes}")
    return tuple(n for i, n in enumerate(x.type.shape) if i not in axes)


def _spread(x: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    return ops.broadcast(x, shape, [i for i in range(len(shape)) if i not in axes])


def _batch_over(name: str) -> Any:
    def batch(operands: Any, axes_in: Any, size: int, *, axes: Any) -> Any:
        (x,) = fronted(operands, axes_in)
        return [bind(get(name), x, axes=tuple(a + 1 for a in axes))], [0]

    return batch


def _sum_jvp(primals: Any, tangents: Any, outs: Any, *, axes: Any) -> list[Any]:
    return [None if tangents[0] is None else ops.reduce_sum(tangents[0], axes)]


register(
    Primitive(
        name="reduce_sum",
        infer=lambda x, *, axes: x.type.with_shape(_reduced("reduce_sum", x, axes)),
        reference=lambda x, *, axes: np.asarray(np.sum(x, axis=tuple(axes), dtype=x.dtype)),
        jvp=_sum_jvp,
        transpose=lambda cts, operands, *, axes: [_spread(cts[0], operands[0].shape, axes)],
        batch=_batch_over("reduce_sum"),
        positions="reduction",
        array_api="sum",
    )
)


def _max_jvp(primals: Any, tangents: Any, outs: Any, *, axes: Any) -> list[Any]:
    (x,), (dx,), (y,) = primals, tangents, outs
    if dx is None:
        return [None]
    # Ties share the derivative, so that the result does not depend on an order.
    hit = ops.cast(ops.eq(x, _spread(y, x.shape, axes)), x.dtype)
    weight = ops.div(hit, _spread(ops.reduce_sum(hit, axes), x.shape, axes))
    return [ops.reduce_sum(ops.mul(weight, dx), axes)]


register(
    Primitive(
        name="reduce_max",
        infer=lambda x, *, axes: x.type.with_shape(_reduced("reduce_max", x, axes)),
        reference=lambda x, *, axes: np.asarray(np.max(x, axis=tuple(axes))),
        jvp=_max_jvp,
        batch=_batch_over("reduce_max"),
        positions="reduction",
        array_api="max",
    )
)


def _argmax_infer(x: Operand, *, axis: int) -> TensorType:
    return TensorType(I32, _reduced("argmax", x, (axis,)))


def _argmax_batch(operands: Any, axes: Any, size: int, *, axis: int) -> Any:
    (x,) = fronted(operands, axes)
    return [bind(get("argmax"), x, axis=axis + 1)], [0]


register(
    Primitive(
        name="argmax",
        infer=_argmax_infer,
        reference=lambda x, *, axis: np.asarray(np.argmax(x, axis=axis), np.int32),
        batch=_argmax_batch,
        array_api="argmax",
    )
)


def _cumsum_infer(x: Operand, *, axis: int, reverse: bool) -> TensorType:
    _reduced("cumsum", x, (axis,))
    return x.type


def _cumsum(x: Any, *, axis: int, reverse: bool) -> Any:
    if reverse:
        x = np.flip(x, axis)
    total = np.cumsum(x, axis=axis, dtype=x.dtype)
    return np.flip(total, axis).copy() if reverse else total


def _cumsum_jvp(primals: Any, tangents: Any, outs: Any, *, axis: int, reverse: bool) -> list[Any]:
    (dx,) = tangents
    return [None if dx is None else bind(get("cumsum"), dx, axis=axis, reverse=reverse)]


def _cumsum_batch(operands: Any, axes: Any, size: int, *, axis: int, reverse: bool) -> Any:
    (x,) = fronted(operands, axes)
    return [bind(get("cumsum"), x, axis=axis + 1, reverse=reverse)], [0]


register(
    Primitive(
        name="cumsum",
        infer=_cumsum_infer,
        reference=_cumsum,
        jvp=_cumsum_jvp,
        transpose=lambda cts, operands, *, axis, reverse: [
            bind(get("cumsum"), cts[0], axis=axis, reverse=not reverse)
        ],
        batch=_cumsum_batch,
    )
)
