"""Eligibility-trace primitives: nodes marked as carrying a trained weight.

The mark is all they add. Each lowers to core primitives once the compiler has read it, and its
derivatives are those of its lowering.
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
from .base import elementwise_batch
from .contract import LETTERS, free_letters


def matmul_spec(x_rank: int) -> str:
    """Return the contraction ``"...i,io->...o"`` for an input of the given rank.

    The first of several axes is written ``b``: in a batched program it is the batch.
    """
    lead = ("b" + free_letters("bio", x_rank - 2))[: x_rank - 1]
    return f"{lead}i,io->{lead}o"


def _matmul_infer(x: Operand, w: Operand) -> TensorType:
    if w.type.rank != 2:
        raise ShapeError(f"`etp.matmul` needs a weight of two axes [in, out], got {w.type}")
    if x.type.rank < 1 or x.type.shape[-1] != w.type.shape[0]:
        given = f"an input of width {x.type.shape[-1]}" if x.type.rank else "a scalar input"
        raise ShapeError(
            f"`etp.matmul` got {given} for a weight of {w.type.shape[0]} inputs: "
            f"{x.type} and {w.type}"
        )
    if x.type.dtype is not w.type.dtype:
        raise TypeRuleError(f"`etp.matmul` needs equal element types, got {x.type} and {w.type}")
    return x.type.with_shape((*x.type.shape[:-1], w.type.shape[1]))


def _matmul_lower(x: Any, w: Any) -> Any:
    return ops.contract(x, w, matmul_spec(x.ndim))


def _matmul_jvp(primals: Any, tangents: Any, outs: Any) -> list[Any]:
    (x, w), (dx, dw) = primals, tangents
    spec = matmul_spec(x.ndim)
    terms = [ops.contract(dx, w, spec)] if dx is not None else []
    terms += [ops.contract(x, dw, spec)] if dw is not None else []
    if not terms:
        return [None]
    return [terms[0] if len(terms) == 1 else ops.add(*terms)]


def _matmul_transpose(cotangents: Any, operands: Any) -> list[Any]:
    rank = len(operands[0].shape)
    return get("contract").transpose(cotangents, operands, spec=matmul_spec(rank))  # type: ignore[misc]


def _matmul_batch(operands: Any, axes: Any, size: int) -> Any:
    x, w = operands
    if axes[1] is None and axes[0] is not None and axes[0] < x.ndim - 1:
        return [bind(get("etp.matmul"), x, w)], [axes[0]]
    return get("contract").batch(  # type: ignore[misc]
        operands, axes, size, spec=matmul_spec(x.ndim - (axes[0] is not None))
    )


register(
    Primitive(
        name="etp.matmul",
        infer=_matmul_infer,
        reference=lambda x, w: np.matmul(x, w),
        jvp=_matmul_jvp,
        transpose=_matmul_transpose,
        batch=_matmul_batch,
        lower=_matmul_lower,
        weight=1,
        letters=lambda x, w: matmul_spec(x.type.rank),
    )
)

register(
    Primitive(
        name="etp.element_wise",
        infer=lambda w: w.type,
        reference=lambda w: np.array(w),
        jvp=lambda primals, tangents, outs: [tangents[0]],
        transpose=lambda cts, operands: [cts[0] if isinstance(operands[0], Hole) else None],
        batch=elementwise_batch("etp.element_wise"),
        positions="elementwise",
        lower=lambda w: w,
        weight=0,
        letters=lambda w: f",{LETTERS[: w.type.rank]}->{LETTERS[: w.type.rank]}",
    )
)
