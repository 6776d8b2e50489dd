"""The one contraction: a two-operand einsum without repeated letters in an operand.

Matrix products, outer products and scalings are all contractions; the family is closed under
jvp, transpose and batching.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from attrs import frozen

from .. import ops
from ..core import Operand
from ..errors import ShapeError, TypeRuleError
from ..primitive import Hole, Primitive, register
from ..types import TensorType

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@frozen
class Spec:
    """A parsed contraction ``"x,y->out"``."""

    x: str
    y: str
    out: str

    def __str__(self) -> str:
        return f"{self.x},{self.y}->{self.out}"

    @property
    def summed(self) -> str:
        """Letters that the output lacks."""
        return "".join(c for c in dict.fromkeys(self.x + self.y) if c not in self.out)


@cache
def parse_spec(text: str) -> Spec:
    """Return the parsed contraction.

    Raises
    ------
    TypeRuleError
        If the text is not of the form ``"ab,bc->ac"`` with distinct letters in each term.
    """
    left, arrow, out = text.replace(" ", "").partition("->")
    x, comma, y = left.partition(",")
    terms = (x, y, out)
    if not arrow or not comma or any(c not in LETTERS for t in terms for c in t):
        raise TypeRuleError(f"contraction spec {text!r} is not of the form 'ab,bc->ac'")
    if any(len(set(t)) != len(t) for t in terms):
        raise TypeRuleError(f"contraction spec {text!r} repeats a letter within one term")
    if any(c not in x + y for c in out):
        raise TypeRuleError(f"contraction spec {text!r} has an output letter no operand has")
    return Spec(x, y, out)


def extents(spec: Spec, x: TensorType, y: TensorType) -> dict[str, int]:
    """Return the extent of every letter.

    Raises
    ------
    ShapeError
        If a rank or an extent does not fit.
    """
    sizes: dict[str, int] = {}
    for term, type in ((spec.x, x), (spec.y, y)):
        if len(term) != type.rank:
            raise ShapeError(f"contraction {spec} needs {len(term)} axes for '{term}', got {type}")
        for letter, extent in zip(term, type.shape, strict=True):
            if sizes.setdefault(letter, extent) != extent:
                raise ShapeError(
                    f"contraction {spec} of {x} and {y}: axis '{letter}' has extents "
                    f"{sizes[letter]} and {extent}"
                )
    return sizes


def free_letters(used: str, count: int) -> str:
    """Return letters that ``used`` does not contain."""
    return "".join(c for c in LETTERS if c not in used)[:count]


def _infer(x: Operand, y: Operand, *, spec: str) -> TensorType:
    if x.type.dtype is not y.type.dtype:
        raise TypeRuleError(f"`contract` needs equal element types, got {x.type} and {y.type}")
    parsed = parse_spec(spec)
    sizes = extents(parsed, x.type, y.type)
    return TensorType(x.type.dtype, tuple([sizes[c] for c in parsed.out]))


def _reference(x: Any, y: Any, *, spec: str) -> Any:
    return np.einsum(spec, x, y, optimize=False)


def _jvp(primals: Any, tangents: Any, outs: Any, *, spec: str) -> list[Any]:
    (x, y), (dx, dy) = primals, tangents
    terms = []
    if dx is not None:
        terms.append(ops.contract(dx, y, spec))
    if dy is not None:
        terms.append(ops.contract(x, dy, spec))
    if not terms:
        return [None]
    return [terms[0] if len(terms) == 1 else ops.add(*terms)]


def _transpose(cotangents: Any, operands: Any, *, spec: str) -> list[Any]:
    (ct,) = cotangents
    s = parse_spec(spec)
    x, y = operands
    if isinstance(x, Hole):
        return [_pull(ct, s.out, y, s.y, s.x, x.shape, first=True), None]
    return [None, _pull(ct, s.out, x, s.x, s.y, y.shape, first=False)]


def _pull(
    ct: Any, out: str, other: Any, other_term: str, term: str, shape: tuple[int, ...], first: bool
) -> Any:
    """Return the cotangent of the operand ``term``; letters summed alone are spread again."""
    kept = "".join(c for c in term if c in out or c in other_term)
    if first:
        grad = ops.contract(ct, other, f"{out},{other_term}->{kept}")
    else:
        grad = ops.contract(other, ct, f"{other_term},{out}->{kept}")
    if kept != term:
        grad = ops.broadcast(grad, shape, [term.index(c) for c in kept])
    return grad


def _batch(operands: Any, axes: Any, size: int, *, spec: str) -> Any:
    s = parse_spec(spec)
    b = "b" if "b" not in s.x + s.y else free_letters(s.x + s.y, 1)
    terms = []
    for term, axis in zip((s.x, s.y), axes, strict=True):
        terms.append(term if axis is None else term[:axis] + b + term[axis:])
    x, y = operands
    return [ops.contract(x, y, f"{terms[0]},{terms[1]}->{b}{s.out}")], [0]


register(
    Primitive(
        name="contract",
        infer=_infer,
        reference=_reference,
        jvp=_jvp,
        transpose=_transpose,
        batch=_batch,
        positions="contraction",
    )
)
