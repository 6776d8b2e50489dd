"""Rearrangements: broadcast, reshape, permute, concat, slice, pad, reverse.

All are linear, and all move elements without computing on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..bilinear import Rule
from ..core import Operand
from ..errors import ShapeError, TypeRuleError
from ..primitive import Hole, Primitive, register
from ..types import TensorType
from .base import fronted


def _linear(name: str) -> Rule:
    """Return the jvp of a linear primitive of one operand: itself, applied to the tangent."""

    def jvp(primals: Any, tangents: Any, outs: Any, **attrs: Any) -> list[Any]:
        from ..primitive import get
        from ..tracer import bind

        (dx,) = tangents
        return [None if dx is None else bind(get(name), dx, **attrs)]

    return jvp


# -- broadcast -----------------------------------------------------------------------------
def _broadcast_infer(x: Operand, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> TensorType:
    if len(axes) != x.type.rank or list(axes) != sorted(set(axes)):
        raise TypeRuleError(f"`broadcast` of {x.type} needs one increasing axis each, got {axes}")
    for extent, axis in zip(x.type.shape, axes, strict=True):
        if not 0 <= axis < len(shape) or shape[axis] != extent:
            raise ShapeError(f"`broadcast` of {x.type} does not fit {list(shape)} at axes {axes}")
    return x.type.with_shape(shape)


def _broadcast_reference(x: Any, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    x = np.asarray(x)
    spread = [1] * len(shape)
    for extent, axis in zip(x.shape, axes, strict=True):
        spread[axis] = extent
    return np.broadcast_to(x.reshape(spread), shape).copy()


def _broadcast_transpose(cotangents: Any, operands: Any, *, shape: Any, axes: Any) -> list[Any]:
    summed = [i for i in range(len(shape)) if i not in axes]
    return [ops.reduce_sum(cotangents[0], summed) if summed else cotangents[0]]


def _broadcast_batch(operands: Any, axes_in: Any, size: int, *, shape: Any, axes: Any) -> Any:
    (x,) = fronted(operands, axes_in)
    return [ops.broadcast(x, (size, *shape), (0, *(a + 1 for a in axes)))], [0]


register(
    Primitive(
        name="broadcast",
        infer=_broadcast_infer,
        reference=_broadcast_reference,
        jvp=_linear("broadcast"),
        transpose=_broadcast_transpose,
        batch=_broadcast_batch,
        positions="structural",
    )
)


# -- reshape -------------------------------------------------------------------------------
def _reshape_infer(x: Operand, *, shape: tuple[int, ...]) -> TensorType:
    result = x.type.with_shape(shape)
    if result.size != x.type.size or any(n < 0 for n in shape):
        raise ShapeError(
            f"`reshape` of {x.type} cannot give {list(shape)}: other number of elements"
        )
    return result


def _reshape_batch(operands: Any, axes: Any, size: int, *, shape: Any) -> Any:
    (x,) = fronted(operands, axes)
    return [ops.reshape(x, (size, *shape))], [0]


register(
    Primitive(
        name="reshape",
        infer=_reshape_infer,
        reference=lambda x, *, shape: np.reshape(x, shape).copy(),
        jvp=_linear("reshape"),
        transpose=lambda cts, operands, *, shape: [ops.reshape(cts[0], operands[0].shape)],
        batch=_reshape_batch,
        positions="structural",
        array_api="reshape",
    )
)


# -- permute -------------------------------------------------------------------------------
def _permute_infer(x: Operand, *, order: tuple[int, ...]) -> TensorType:
    if sorted(order) != list(range(x.type.rank)):
        raise TypeRuleError(f"`permute` of {x.type} needs an order of all axes, got {order}")
    return x.type.with_shape(tuple(x.type.shape[i] for i in order))


def _permute_batch(operands: Any, axes: Any, size: int, *, order: Any) -> Any:
    (x,) = fronted(operands, axes)
    return [ops.permute(x, (0, *(i + 1 for i in order)))], [0]


register(
    Primitive(
        name="permute",
        infer=_permute_infer,
        reference=lambda x, *, order: np.transpose(x, order).copy(),
        jvp=_linear("permute"),
        transpose=lambda cts, operands, *, order: [
            ops.permute(cts[0], tuple(order.index(i) for i in range(len(order))))
        ],
        batch=_permute_batch,
        positions="structural",
        array_api="permute_dims",
    )
)


# -- concat --------------------------------------------------------------------------------
def _concat_infer(*xs: Operand, axis: int) -> TensorType:
    if not xs:
        raise TypeRuleError("`concat` needs at least one operand")
    first = xs[0].type
    if not 0 <= axis < first.rank:
        raise TypeRuleError(
            f"`concat` along axis {axis} needs operands of rank > {axis}, got {first}"
        )
    for x in xs:
        outer = x.type.rank == first.rank and all(
            i == axis or a == b
            for i, (a, b) in enumerate(zip(x.type.shape, first.shape, strict=False))
        )
        if not outer or x.type.dtype is not first.dtype:
            listed = ", ".join(str(y.type) for y in xs)
            raise ShapeError(f"`concat` along axis {axis} cannot join {listed}")
    total = sum(x.type.shape[axis] for x in xs)
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _concat_jvp(primals: Any, tangents: Any, outs: Any, *, axis: int) -> list[Any]:
    if all(t is None for t in tangents):
        return [None]
    b, dtype = outs[0].builder, outs[0].dtype
    filled = [
        ops.full(b, x.shape, 0, dtype) if t is None else t
        for x, t in zip(primals, tangents, strict=True)
    ]
    return [ops.concat(filled, axis)]


def _concat_transpose(cotangents: Any, operands: Any, *, axis: int) -> list[Any]:
    (ct,) = cotangents
    out: list[Any] = []
    offset = 0
    for x in operands:
        extent = x.shape[axis]
        if isinstance(x, Hole):
            start, stop = [0] * ct.ndim, list(ct.shape)
            start[axis], stop[axis] = offset, offset + extent
            out.append(ops.slice_(ct, start, stop, [1] * ct.ndim))
        else:
            out.append(None)
        offset += extent
    return out


def _concat_batch(operands: Any, axes: Any, size: int, *, axis: int) -> Any:
    spread = [
        ops.broadcast(x, (size, *x.shape), tuple(range(1, x.ndim + 1))) if a is None else x
        for x, a in zip(fronted(operands, axes), axes, strict=True)
    ]
    return [ops.concat(spread, axis + 1)], [0]


register(
    Primitive(
        name="concat",
        infer=_concat_infer,
        reference=lambda *xs, axis: np.concatenate(xs, axis=axis),
        jvp=_concat_jvp,
        transpose=_concat_transpose,
        batch=_concat_batch,
        positions="structural",
        array_api="concat",
    )
)


# -- slice and pad -------------------------------------------------------------------------
def _slice_infer(x: Operand, *, start: Any, stop: Any, step: Any) -> TensorType:
    if not len(start) == len(stop) == len(step) == x.type.rank:
        raise TypeRuleError(f"`slice` of {x.type} needs start, stop and step for every axis")
    shape = []
    for extent, a, b, s in zip(x.type.shape, start, stop, step, strict=True):
        if not (0 <= a <= b <= extent and s > 0):
            raise ShapeError(f"`slice` {a}:{b}:{s} does not fit an axis of {extent} in {x.type}")
        shape.append(-(-(b - a) // s))
    return x.type.with_shape(tuple(shape))


def _slices(start: Any, stop: Any, step: Any) -> tuple[slice, ...]:
    return tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))


def _slice_transpose(cotangents: Any, operands: Any, *, start: Any, stop: Any, step: Any) -> Any:
    (ct,) = cotangents
    high = []
    for extent, a, n, s in zip(operands[0].shape, start, ct.shape, step, strict=True):
        covered = a + (n - 1) * s + 1 if n else a
        high.append(extent - covered)
    return [ops.pad(ct, start, high, [s - 1 for s in step])]


def _slice_batch(operands: Any, axes: Any, size: int, *, start: Any, stop: Any, step: Any) -> Any:
    (x,) = fronted(operands, axes)
    return [ops.slice_(x, (0, *start), (size, *stop), (1, *step))], [0]


register(
    Primitive(
        name="slice",
        infer=_slice_infer,
        reference=lambda x, *, start, stop, step: x[_slices(start, stop, step)].copy(),
        jvp=_linear("slice"),
        transpose=_slice_transpose,
        batch=_slice_batch,
        positions="structural",
    )
)


def _padded(n: int, lo: int, hi: int, inner: int) -> int:
    return lo + hi + (n + (n - 1) * inner if n else 0)


def _pad_infer(x: Operand, *, low: Any, high: Any, interior: Any) -> TensorType:
    if not len(low) == len(high) == len(interior) == x.type.rank:
        raise TypeRuleError(f"`pad` of {x.type} needs low, high and interior for every axis")
    if any(n < 0 for n in (*low, *high, *interior)):
        raise TypeRuleError("`pad` takes no negative amounts; use `slice`")
    return x.type.with_shape(
        tuple(_padded(*row) for row in zip(x.type.shape, low, high, interior, strict=True))
    )


def _pad_places(shape: Any, low: Any, interior: Any) -> tuple[slice, ...]:
    return tuple(
        slice(lo, lo + n + (n - 1) * inner if n else lo, inner + 1)
        for n, lo, inner in zip(shape, low, interior, strict=True)
    )


def _pad_reference(x: Any, *, low: Any, high: Any, interior: Any) -> Any:
    shape = tuple(_padded(*row) for row in zip(x.shape, low, high, interior, strict=True))
    out = np.zeros(shape, x.dtype)
    out[_pad_places(x.shape, low, interior)] = x
    return out


def _pad_transpose(cotangents: Any, operands: Any, *, low: Any, high: Any, interior: Any) -> Any:
    places = _pad_places(operands[0].shape, low, interior)
    start, stop, step = ([getattr(p, k) for p in places] for k in ("start", "stop", "step"))
    return [ops.slice_(cotangents[0], start, stop, step)]


def _pad_batch(operands: Any, axes: Any, size: int, *, low: Any, high: Any, interior: Any) -> Any:
    (x,) = fronted(operands, axes)
    return [ops.pad(x, (0, *low), (0, *high), (0, *interior))], [0]


register(
    Primitive(
        name="pad",
        infer=_pad_infer,
        reference=_pad_reference,
        jvp=_linear("pad"),
        transpose=_pad_transpose,
        batch=_pad_batch,
        positions="structural",
    )
)


# -- reverse -------------------------------------------------------------------------------
def _reverse_infer(x: Operand, *, axes: tuple[int, ...]) -> TensorType:
    if any(not 0 <= a < x.type.rank for a in axes):
        raise TypeRuleError(f"`reverse` of {x.type} along axes {axes} is out of range")
    return x.type


def _reverse_batch(operands: Any, axes_in: Any, size: int, *, axes: Any) -> Any:
    (x,) = fronted(operands, axes_in)
    return [ops.reverse(x, tuple(a + 1 for a in axes))], [0]


register(
    Primitive(
        name="reverse",
        infer=_reverse_infer,
        reference=lambda x, *, axes: np.flip(x, axes).copy(),
        jvp=_linear("reverse"),
        transpose=lambda cts, operands, *, axes: [ops.reverse(cts[0], axes)],
        batch=_reverse_batch,
        positions="structural",
    )
)
