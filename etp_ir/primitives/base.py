"""Pieces shared by the declarations: generic batching, element-wise declaration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import evolve

from .. import ops
from ..bilinear import Rule
from ..core import Literal, Node, Operand
from ..errors import ShapeError, TypeRuleError
from ..primitive import Hole, Primitive, register
from ..tracer import Tracer, bind
from ..types import BOOL, TensorType


def axis_to_front(x: Tracer, axis: int) -> Tracer:
    """Return the array with one axis moved to position 0."""
    if axis == 0:
        return x
    order = (axis, *(i for i in range(x.ndim) if i != axis))
    return ops.permute(x, order)


def fronted(operands: Sequence[Any], axes: Sequence[int | None]) -> list[Any]:
    """Return the operands with their batch axis, where there is one, moved to position 0."""
    return [x if a is None else axis_to_front(x, a) for x, a in zip(operands, axes, strict=True)]


def narrowed(
    node: Node, attrs: dict[str, Any], inputs: Sequence[int], outputs: Collection[int]
) -> Node:
    """Return a node with regions that has lost some of its operands and results."""
    return evolve(
        node, attrs=attrs, inputs=tuple(node.inputs[i] for i in inputs),
        outputs=tuple(v for i, v in enumerate(node.outputs) if i in outputs),
    )  # fmt: skip


def elementwise_shape(operands: Sequence[Operand], name: str) -> tuple[int, ...]:
    """Return the common shape of element-wise operands; only literals broadcast."""
    shapes = [x.type.shape for x in operands if not isinstance(x, Literal)]
    if not shapes:
        return ()
    if any(shape != shapes[0] for shape in shapes):
        listed = " and ".join(str(x.type) for x in operands)
        raise ShapeError(f"`{name}` needs equal shapes, got {listed}")
    return shapes[0]


def elementwise_batch(primitive_name: str) -> Rule:
    """Return the batch rule of an element-wise primitive."""

    def batch(
        operands: Sequence[Any], axes: Sequence[int | None], size: int, **attrs: Any
    ) -> tuple[list[Any], list[int]]:
        from ..primitive import get

        batched = {a for a in axes if a is not None}
        axis = batched.pop() if len(batched) == 1 else 0
        moved: list[Any] = []
        for x, a in zip(operands, axes, strict=True):
            if not isinstance(x, Tracer):
                moved.append(x)
            elif a is None:
                shape = (*x.shape[:axis], size, *x.shape[axis:])
                kept = tuple(i for i in range(len(shape)) if i != axis)
                moved.append(ops.broadcast(x, shape, kept))
            else:
                moved.append(x if a == axis else axis_to_front(x, a))
        return [bind(get(primitive_name), *moved, **attrs)], [axis]

    return batch


def elementwise(
    name: str,
    reference: Callable[..., Any],
    *,
    arity: int,
    partials: Sequence[Callable[..., Any] | None] | None = None,
    result: str = "same",
    kinds: tuple[str, ...] = ("float",),
    array_api: str | None = None,
    c99: str | None = None,
) -> Primitive:
    """Declare and register an element-wise primitive.

    Parameters
    ----------
    partials
        For each operand a function ``(*operands, out)`` giving the partial derivative, or None
        where it is zero. For a linear operand it must not use that operand.
    result
        ``"same"`` for the common element type of the operands, ``"bool"`` for predicates.
    kinds
        Element kinds the operands may have.
    """

    def infer(*operands: Operand) -> TensorType:
        if len(operands) != arity:
            raise TypeRuleError(f"`{name}` takes {arity} operands, got {len(operands)}")
        dtypes = {x.type.dtype for x in operands}
        if len(dtypes) > 1:
            listed = " and ".join(str(x.type) for x in operands)
            raise TypeRuleError(f"`{name}` needs equal element types, got {listed}; use xp.astype")
        (dtype,) = dtypes
        if dtype.kind not in kinds:
            raise TypeRuleError(f"`{name}` is not defined for {dtype}")
        shape = elementwise_shape(operands, name)
        return TensorType(BOOL if result == "bool" else dtype, shape)

    def run(*arrays: Any) -> Any:
        return reference(*arrays)

    def jvp(primals: Any, tangents: Any, outs: Any) -> list[Any]:
        total = None
        for partial, tangent in zip(partials or (), tangents, strict=True):
            if partial is None or tangent is None:
                continue
            term = _scale(partial(*primals, outs[0]), tangent)
            total = term if total is None else ops.add(total, term)
        return [total]

    def transpose(cotangents: Any, operands: Any) -> list[Any]:
        (ct,) = cotangents
        out: list[Any] = []
        for partial, x in zip(partials or (), operands, strict=True):
            if isinstance(x, Hole) and partial is not None:
                out.append(_scale(partial(*operands, None), ct))
            else:
                out.append(None)
        return out

    differentiable = partials is not None and any(p is not None for p in partials)
    return register(
        Primitive(
            name=name, infer=infer, reference=run,
            jvp=jvp if differentiable else None,
            transpose=transpose if differentiable else None,
            batch=elementwise_batch(name), positions="elementwise",
            array_api=array_api, c99=c99,
        )
    )  # fmt: skip


def _scale(factor: Any, x: Tracer) -> Tracer:
    """Return ``factor * x``, without a node for 1 and with a negation for -1."""
    if isinstance(factor, (int, float)) and not isinstance(factor, bool):
        if factor == 1:
            return x
        if factor == -1:
            return ops.neg(x)
    return ops.mul(factor, x)
