"""Selection, conversion and detachment: element-wise primitives with rules of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import TypeRuleError
from ..primitive import Hole, Primitive, register
from ..types import BOOL, DType, TensorType
from .base import elementwise_batch, elementwise_shape


def _select_infer(condition: Operand, x: Operand, y: Operand) -> TensorType:
    if condition.type.dtype is not BOOL:
        raise TypeRuleError(f"`select` needs a bool condition, got {condition.type}")
    if x.type.dtype is not y.type.dtype:
        raise TypeRuleError(f"`select` needs equal element types, got {x.type} and {y.type}")
    return TensorType(x.type.dtype, elementwise_shape((condition, x, y), "select"))


def _zero_like(x: Any) -> Any:
    return 0.0


def _select_jvp(primals: Any, tangents: Any, outs: Any) -> list[Any]:
    _, dx, dy = tangents
    if dx is None and dy is None:
        return [None]
    # A literal zero keeps a NaN of the branch not taken out of the tangent.
    return [ops.select(primals[0], 0.0 if dx is None else dx, 0.0 if dy is None else dy)]


def _select_transpose(cotangents: Any, operands: Any) -> list[Any]:
    (ct,) = cotangents
    condition, x, y = operands
    return [
        None,
        ops.select(condition, ct, 0.0) if isinstance(x, Hole) else None,
        ops.select(condition, 0.0, ct) if isinstance(y, Hole) else None,
    ]


register(
    Primitive(
        name="select",
        infer=_select_infer,
        reference=np.where,
        jvp=_select_jvp,
        transpose=_select_transpose,
        batch=elementwise_batch("select"),
        positions="elementwise",
        array_api="where",
        c99="({0} ? {1} : {2})",
    )
)


def _cast_infer(x: Operand, *, dtype: DType) -> TensorType:
    return TensorType(dtype, x.type.shape)


def _cast_jvp(primals: Any, tangents: Any, outs: Any, *, dtype: DType) -> list[Any]:
    (dx,) = tangents
    return [ops.cast(dx, dtype) if dx is not None and dtype.is_float else None]


def _cast_transpose(cotangents: Any, operands: Any, *, dtype: DType) -> list[Any]:
    return [ops.cast(cotangents[0], operands[0].type.dtype)]


register(
    Primitive(
        name="cast",
        infer=_cast_infer,
        reference=lambda x, *, dtype: np.asarray(x).astype(dtype.numpy()),
        jvp=_cast_jvp,
        transpose=_cast_transpose,
        batch=elementwise_batch("cast"),
        positions="elementwise",
        array_api="astype",
    )
)

register(
    Primitive(
        name="stop_gradient",
        infer=lambda x: x.type,
        reference=lambda x: np.asarray(x),
        batch=elementwise_batch("stop_gradient"),
        positions="elementwise",
        lower=lambda x: x,
    )
)
