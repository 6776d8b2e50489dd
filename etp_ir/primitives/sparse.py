"""Products with a sparse matrix that is given by the places of its nonzeros.

Nonzero n of a matrix ``M`` of shape (inputs, outputs) lies at ``(rows[n], cols[n])``. The product
``x @ M`` and the product at the nonzeros only, ``(x.T @ y)[rows, cols]``, are each other's
derivatives, and no array is ever as large as the matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import ShapeError, TypeRuleError
from ..primitive import Hole, Primitive, get, register
from ..tracer import bind
from ..types import TensorType
from .base import fronted

# Which of the two index arrays is in ascending order, and which is so after an exchange.
ORDERS = {"rows": "cols", "cols": "rows", "none": "none"}
Item = tuple[Any, int | None]


def _check(name: str, floats: tuple[Operand, ...], places: tuple[Operand, ...], order: str) -> None:
    if order not in ORDERS:
        raise TypeRuleError(f"`{name}` is sorted by rows, cols or none, not by {order!r}")
    if len({x.type.dtype for x in floats}) > 1:
        listed = " and ".join(str(x.type) for x in floats)
        raise TypeRuleError(f"`{name}` needs equal element types, got {listed}")
    for x in places:
        if x.type.dtype.kind != "int":
            raise TypeRuleError(f"`{name}` needs integer rows and cols, got {x.type}")
    shapes = {x.type.shape for x in places}
    if len(shapes) > 1 or len(places[0].type.shape) != 1:
        listed = " and ".join(str(x.type) for x in places)
        raise ShapeError(f"`{name}` needs rows and cols of one axis and one length, got {listed}")


# -- x @ M ---------------------------------------------------------------------------------
def _contract_infer(
    x: Operand, data: Operand, rows: Operand, cols: Operand, *, extent: int, order: str
) -> TensorType:
    _check("sparse_contract", (x, data), (rows, cols), order)
    if x.type.rank < 1 or data.type.shape != rows.type.shape:
        raise ShapeError(
            f"`sparse_contract` needs one number for each of {rows.type.size} nonzeros and an "
            f"input of at least one axis, got {data.type} and {x.type}"
        )
    return x.type.with_shape((*x.type.shape[:-1], extent))


def _contract_reference(x: Any, data: Any, rows: Any, cols: Any, *, extent: int, order: str) -> Any:
    out: Any = np.zeros((*x.shape[:-1], extent), x.dtype)
    places: Any = (..., cols)
    np.add.at(out, places, x[..., rows] * data)
    return out


def _contract_jvp(primals: Any, tangents: Any, outs: Any, *, extent: int, order: str) -> list[Any]:
    (x, data, rows, cols), (dx, ddata) = primals, tangents[:2]
    terms = [
        ops.sparse_contract(a, b, rows, cols, extent, order)
        for a, b in ((dx, data), (x, ddata)) if a is not None and b is not None
    ]  # fmt: skip
    if not terms:
        return [None]
    return [terms[0] if len(terms) == 1 else ops.add(*terms)]


def _contract_transpose(cotangents: Any, operands: Any, *, extent: int, order: str) -> list[Any]:
    (ct,), (x, data, rows, cols) = cotangents, operands
    if isinstance(x, Hole):
        back = ops.sparse_contract(ct, data, cols, rows, x.shape[-1], ORDERS[order])
        return [back, None, None, None]
    return [None, ops.sparse_sample(x, ct, rows, cols, 0, order), None, None]


def _contract_batch(operands: Any, axes: Any, size: int, *, extent: int, order: str) -> Any:
    if all(axis is None for axis in axes[1:]):
        x, data, rows, cols = fronted(operands, axes)
        return [ops.sparse_contract(x, data, rows, cols, extent, order)], [0]
    # A matrix for each example: what meets at the nonzeros is spelled out.
    x, data, rows, cols = zip(operands, axes, strict=True)
    lead = x[0].ndim - (x[1] is not None) - 1
    picked = _apply("gather", size, x, rows, axis=lead)
    shape = (*_shape(picked)[:lead], _shape(data)[0])
    spread = _apply("broadcast", size, data, shape=shape, axes=(lead,))
    met = _apply("mul", size, picked, spread)
    y, axis = _apply("scatter_add", size, met, cols, axis=lead, extent=extent)
    return [y], [axis]


def _apply(name: str, size: int, *items: Item, **attrs: Any) -> Item:
    """Apply a primitive to operands of which some have a batch axis."""
    operands, axes = [x for x, _ in items], [a for _, a in items]
    if all(a is None for a in axes):
        return bind(get(name), *operands, **attrs), None
    (result,), (axis,) = get(name).batch(operands, axes, size, **attrs)  # type: ignore[misc]
    return result, axis


def _shape(item: Item) -> tuple[int, ...]:
    """Return the shape for one example."""
    x, axis = item
    return tuple(n for i, n in enumerate(x.shape) if i != axis)


register(
    Primitive(
        name="sparse_contract",
        infer=_contract_infer,
        reference=_contract_reference,
        jvp=_contract_jvp,
        transpose=_contract_transpose,
        batch=_contract_batch,
    )
)


# -- x.T @ y at the nonzeros ---------------------------------------------------------------
def _sample_infer(
    x: Operand, y: Operand, rows: Operand, cols: Operand, *, kept: int, order: str
) -> TensorType:
    _check("sparse_sample", (x, y), (rows, cols), order)
    lead = x.type.shape[:-1]
    if x.type.rank < 1 or y.type.rank < 1 or lead != y.type.shape[:-1] or kept > len(lead):
        raise ShapeError(
            f"`sparse_sample` needs equal axes before the last, of which {kept} are kept, "
            f"got {x.type} and {y.type}"
        )
    return x.type.with_shape((*lead[:kept], rows.type.size))


def _sample_reference(x: Any, y: Any, rows: Any, cols: Any, *, kept: int, order: str) -> Any:
    met = x[..., rows] * y[..., cols]
    return np.asarray(np.sum(met, axis=tuple(range(kept, x.ndim - 1)), dtype=x.dtype))


def _sample_jvp(primals: Any, tangents: Any, outs: Any, *, kept: int, order: str) -> list[Any]:
    (x, y, rows, cols), (dx, dy) = primals, tangents[:2]
    terms = [
        ops.sparse_sample(a, b, rows, cols, kept, order)
        for a, b in ((dx, y), (x, dy)) if a is not None and b is not None
    ]  # fmt: skip
    if not terms:
        return [None]
    return [terms[0] if len(terms) == 1 else ops.add(*terms)]


def _sample_transpose(cotangents: Any, operands: Any, *, kept: int, order: str) -> list[Any]:
    (ct,), (x, y, rows, cols) = cotangents, operands
    if isinstance(x, Hole):
        back = _pulled(ct, y, cols, rows, x.shape[-1], kept, ORDERS[order])
        return [back, None, None, None]
    return [None, _pulled(ct, x, rows, cols, y.shape[-1], kept, order), None, None]


def _pulled(ct: Any, x: Any, rows: Any, cols: Any, extent: int, kept: int, order: str) -> Any:
    """Return ``x @ M`` for the matrices whose nonzeros are the rows of ``ct``."""
    if kept == 0:
        return ops.sparse_contract(x, ct, rows, cols, extent, order)
    last = x.ndim - 1
    picked = ops.gather(x, rows, last)
    spread = ops.broadcast(ct, picked.shape, (*range(kept), last))
    return ops.scatter_add(ops.mul(picked, spread), cols, last, extent)


def _sample_batch(operands: Any, axes: Any, size: int, *, kept: int, order: str) -> Any:
    if axes[2] is None and axes[3] is None:
        x, y, rows, cols = fronted(operands, axes)
        x, y = (
            ops.broadcast(a, (size, *a.shape), range(1, a.ndim + 1)) if axis is None else a
            for a, axis in ((x, axes[0]), (y, axes[1]))
        )
        return [ops.sparse_sample(x, y, rows, cols, kept + 1, order)], [0]
    x, y, rows, cols = zip(operands, axes, strict=True)
    last = len(_shape(x)) - 1
    picked = [_apply("gather", size, a, at, axis=last) for a, at in ((x, rows), (y, cols))]
    met = _apply("mul", size, *picked)
    total, axis = _apply("reduce_sum", size, met, axes=tuple(range(kept, last)))
    return [total], [axis]


register(
    Primitive(
        name="sparse_sample",
        infer=_sample_infer,
        reference=_sample_reference,
        jvp=_sample_jvp,
        transpose=_sample_transpose,
        batch=_sample_batch,
    )
)
