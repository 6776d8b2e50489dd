"""The eligibility-trace primitives that are contractions: products of named axes."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..bilinear import Bilinear, Trained
from ..core import Operand
from ..errors import ShapeError, TypeRuleError
from ..marked import marked
from ..types import TensorType
from .contract import LETTERS, extents, free_letters, parse_spec


def matmul_spec(x_rank: int) -> str:
    """Return the contraction ``"...i,io->...o"`` for an input of the given rank.

    The first of several axes is written ``b``: in a batched program it is the batch.
    """
    lead = ("b" + free_letters("bio", x_rank - 2))[: x_rank - 1]
    return f"{lead}i,io->{lead}o"


def _same_dtype(name: str, x: Operand, w: Operand) -> None:
    if x.type.dtype is not w.type.dtype:
        raise TypeRuleError(f"`{name}` needs equal element types, got {x.type} and {w.type}")


def _matmul_infer(x: Operand, w: Operand) -> TensorType:
    if w.type.rank != 2:
        raise ShapeError(f"`etp.matmul` needs a weight of two axes [in, out], got {w.type}")
    if x.type.rank < 1 or x.type.shape[-1] != w.type.shape[0]:
        given = f"an input of width {x.type.shape[-1]}" if x.type.rank else "a scalar input"
        raise ShapeError(
            f"`etp.matmul` got {given} for a weight of {w.type.shape[0]} inputs: "
            f"{x.type} and {w.type}"
        )
    _same_dtype("etp.matmul", x, w)
    return x.type.with_shape((*x.type.shape[:-1], w.type.shape[1]))


def _contraction(spec: str) -> Bilinear:
    s = parse_spec(spec)
    return Bilinear(s.x, s.y, s.out)


marked(
    "etp.matmul",
    lambda x, w: ops.contract(x, w, matmul_spec(x.ndim)),
    {"weight": Trained(1, lambda x, w: _contraction(matmul_spec(x.type.rank)))},
    leading=0,
    infer=_matmul_infer,
)


def _einsum(x: Any, w: Any, *, spec: str) -> Any:
    return ops.contract(x, w, spec)


def _einsum_infer(x: Operand, w: Operand, *, spec: str) -> TensorType:
    _same_dtype("etp.einsum", x, w)
    parsed = parse_spec(spec)
    sizes = extents(parsed, x.type, w.type)
    return x.type.with_shape(tuple(sizes[c] for c in parsed.out))


marked(
    "etp.einsum",
    _einsum,
    {"weight": Trained(1, lambda x, w, *, spec: _contraction(spec))},
    infer=_einsum_infer,
)


def _letters_of(w: Operand) -> Bilinear:
    letters = LETTERS[: w.type.rank]
    return Bilinear(None, letters, letters)


marked(
    "etp.element_wise",
    lambda w: w,
    {"weight": Trained(0, _letters_of)},
    positions="elementwise",
    infer=lambda w: w.type,
)
