"""Indexing by integer arrays, and counting."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import TypeRuleError
from ..primitive import Hole, Primitive, register
from ..types import I32, DType, TensorType
from .base import fronted


def _check_indices(name: str, indices: Operand) -> None:
    if indices.type.dtype.kind not in ("int", "uint"):
        raise TypeRuleError(f"`{name}` needs integer indices, got {indices.type}")


def _gather_infer(x: Operand, indices: Operand, *, axis: int) -> TensorType:
    _check_indices("gather", indices)
    if not 0 <= axis < x.type.rank:
        raise TypeRuleError(f"`gather` along axis {axis} does not fit {x.type}")
    shape = x.type.shape
    return x.type.with_shape((*shape[:axis], *indices.type.shape, *shape[axis + 1 :]))


def _gather_jvp(primals: Any, tangents: Any, outs: Any, *, axis: int) -> list[Any]:
    dx = tangents[0]
    return [None if dx is None else ops.gather(dx, primals[1], axis)]


def _gather_transpose(cotangents: Any, operands: Any, *, axis: int) -> list[Any]:
    x, indices = operands
    if not isinstance(x, Hole):
        return [None, None]
    return [ops.scatter_add(cotangents[0], indices, axis, x.shape[axis]), None]


def _flat_rows(indices: Any, size: int, extent: int) -> Any:
    """Return indices into an axis of ``size * extent``, one block of rows per example."""
    rows = ops.mul(iota_like(indices, (size,), 0), extent)
    shape = indices.shape
    return ops.add(indices, ops.broadcast(ops.cast(rows, indices.dtype), shape, (0,)))


def iota_like(x: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Return `iota` on the builder of ``x``, in its element type."""
    from ..primitive import get
    from ..tracer import Tracer

    value = x.builder.emit(get("iota"), [], {"shape": shape, "axis": axis, "dtype": x.dtype})[0]
    return Tracer(x.builder, value)


def _gather_batch(operands: Any, axes: Any, size: int, *, axis: int) -> Any:
    x, indices = fronted(operands, axes)
    if axes[1] is None:
        return [ops.gather(x, indices, axis + 1)], [0]
    if axes[0] is None:
        return [ops.gather(x, indices, axis)], [axis]
    # Both batched: one gather from the examples laid end to end.
    order = (0, axis + 1, *(i for i in range(1, x.ndim) if i != axis + 1))
    rows = ops.permute(x, order)
    extent = rows.shape[1]
    flat = ops.reshape(rows, (size * extent, *rows.shape[2:]))
    picked = ops.gather(flat, _flat_rows(indices, size, extent), 0)
    k = indices.ndim - 1
    back = list(range(1 + k, 1 + k + axis))
    rest = list(range(1 + k + axis, picked.ndim))
    return [ops.permute(picked, (0, *back, *range(1, 1 + k), *rest))], [0]


register(
    Primitive(
        name="gather",
        infer=_gather_infer,
        reference=lambda x, indices, *, axis: np.take(x, indices, axis=axis),
        jvp=_gather_jvp,
        transpose=_gather_transpose,
        batch=_gather_batch,
        positions="indexed",
        array_api="take",
    )
)


def _scatter_infer(x: Operand, indices: Operand, *, axis: int, extent: int) -> TensorType:
    _check_indices("scatter_add", indices)
    k = indices.type.rank
    shape = x.type.shape
    if shape[axis : axis + k] != indices.type.shape:
        raise TypeRuleError(f"`scatter_add` of {x.type} at axis {axis} does not fit {indices.type}")
    return x.type.with_shape((*shape[:axis], extent, *shape[axis + k :]))


def _scatter_reference(x: Any, indices: Any, *, axis: int, extent: int) -> Any:
    k = np.ndim(indices)
    out = np.zeros((*x.shape[:axis], extent, *x.shape[axis + k :]), x.dtype)
    np.add.at(out, (slice(None),) * axis + (indices,), x)
    return out


def _scatter_jvp(primals: Any, tangents: Any, outs: Any, *, axis: int, extent: int) -> list[Any]:
    dx = tangents[0]
    return [None if dx is None else ops.scatter_add(dx, primals[1], axis, extent)]


def _scatter_transpose(cotangents: Any, operands: Any, *, axis: int, extent: int) -> list[Any]:
    x, indices = operands
    return [ops.gather(cotangents[0], indices, axis) if isinstance(x, Hole) else None, None]


def _scatter_batch(operands: Any, axes: Any, size: int, *, axis: int, extent: int) -> Any:
    x, indices = fronted(operands, axes)
    if axes[0] is None:
        x = ops.broadcast(x, (size, *x.shape), tuple(range(1, x.ndim + 1)))
    if axes[1] is None:
        return [ops.scatter_add(x, indices, axis + 1, extent)], [0]
    k = indices.ndim - 1
    lead = list(range(1, 1 + axis))
    where = list(range(1 + axis, 1 + axis + k))
    rest = list(range(1 + axis + k, x.ndim))
    moved = ops.permute(x, (0, *where, *lead, *rest))
    rows = ops.scatter_add(moved, _flat_rows(indices, size, extent), 0, size * extent)
    split = ops.reshape(rows, (size, extent, *rows.shape[1:]))
    back = [2 + i for i in range(len(lead))]
    tail = [2 + len(lead) + i for i in range(len(rest))]
    return [ops.permute(split, (0, *back, 1, *tail))], [0]


register(
    Primitive(
        name="scatter_add",
        infer=_scatter_infer,
        reference=_scatter_reference,
        jvp=_scatter_jvp,
        transpose=_scatter_transpose,
        batch=_scatter_batch,
        positions="scattered",
    )
)


def _iota_infer(*, shape: tuple[int, ...], axis: int, dtype: DType) -> TensorType:
    if not 0 <= axis < len(shape):
        raise TypeRuleError(f"`iota` along axis {axis} does not fit shape {list(shape)}")
    return TensorType(dtype, tuple(shape))


def _iota_reference(*, shape: tuple[int, ...], axis: int, dtype: DType) -> Any:
    spread = [1] * len(shape)
    spread[axis] = shape[axis]
    line = np.arange(shape[axis], dtype=dtype.numpy()).reshape(spread)
    return np.broadcast_to(line, shape).copy()


register(Primitive(name="iota", infer=_iota_infer, reference=_iota_reference))


def _table_infer(*, values: tuple[int, ...], shape: tuple[int, ...]) -> TensorType:
    result = TensorType(I32, tuple(shape))
    if result.size != len(values):
        raise TypeRuleError(f"`table` of {len(values)} values does not fill {list(shape)}")
    return result


def _table_reference(*, values: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    return np.asarray(values, np.int32).reshape(shape)


# Positions known when a program is compiled, written out in the program itself.
register(Primitive(name="table", infer=_table_infer, reference=_table_reference))
