"""Products of arrays; every one is a two-operand contraction."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..errors import NotSupportedError, ShapeError, TypeRuleError
from ..primitives.contract import LETTERS, free_letters
from ..tracer import Tracer
from .dispatch import (
    array,
    axis_index,
    builder_of,
    cast,
    extension,
    failure,
    function,
    library_function,
    library_of,
    result_dtype,
)
from .manipulation import permute_dims


def _pair(name: str, x: Any, y: Any, *, least: int = 1) -> tuple[Tracer, Tracer]:
    """Return two operands as tracers of one element type and at least some axes."""
    builder = builder_of(x, y)
    lifted = [array(builder, item) for item in (x, y)]
    dtype = result_dtype(builder, lifted)
    x, y = (cast(item, dtype) for item in lifted)
    if min(x.ndim, y.ndim) < least:
        raise failure(
            ShapeError, f"`{name}` needs arrays with axes, got {x.type} and {y.type}",
            how="use `*` to scale", operation=name, operands=(x, y),
        )  # fmt: skip
    return x, y


def _contract(name: str, x: Tracer, y: Tracer, xs: str, ys: str, out: str) -> Any:
    """Return a contraction in which an axis of one element fits any extent of the other."""
    terms = []
    sizes = [dict(zip(t, a.shape, strict=True)) for t, a in ((xs, x), (ys, y))]
    for item, term, mine, other in ((x, xs, sizes[0], sizes[1]), (y, ys, sizes[1], sizes[0])):
        kept = [c for c in term if not (mine[c] == 1 and c in out and other.get(c, 1) != 1)]
        if len(kept) < len(term):
            item = ops.reshape(item, [mine[c] for c in kept])
        terms.append((item, "".join(kept)))
    (x1, t1), (y1, t2) = terms
    if any(sizes[0][c] != sizes[1][c] for c in t1 if c in t2):
        raise failure(
            ShapeError, f"`{name}` of {x.type} and {y.type}: the summed sizes differ",
            how="transpose one operand, or check the number of inputs of the weight",
            operation=name, operands=(x, y),
        )  # fmt: skip
    return ops.contract(x1, y1, f"{t1},{t2}->{out}")


@function
def matmul(x1: Any, x2: Any, /) -> Any:
    """Return the matrix product over the last two axes."""
    x, y = _pair("matmul", x1, x2)
    lead = free_letters("mkn", max(x.ndim, y.ndim, 2) - 2)
    xs = "k" if x.ndim == 1 else lead[len(lead) - (x.ndim - 2) :] + "mk"
    ys = "k" if y.ndim == 1 else lead[len(lead) - (y.ndim - 2) :] + "kn"
    out = lead + ("m" if x.ndim > 1 else "") + ("n" if y.ndim > 1 else "")
    return _contract("matmul", x, y, xs, ys, out)


@function
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the sum of products along an axis."""
    x, y = _pair("vecdot", x1, x2)
    rank = max(x.ndim, y.ndim)
    letters = LETTERS[:rank]
    xs, ys = letters[rank - x.ndim :], letters[rank - y.ndim :]
    summed = letters[axis_index("vecdot", axis, rank)]
    return _contract("vecdot", x, y, xs, ys, letters.replace(summed, ""))


@function
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Return the sum of products over pairs of axes."""
    x, y = _pair("tensordot", x1, x2, least=0)
    if isinstance(axes, int):
        pairs = [(x.ndim - axes + i, i) for i in range(axes)]
    else:
        pairs = [
            (axis_index("tensordot", i, x.ndim), axis_index("tensordot", j, y.ndim))
            for i, j in zip(*axes, strict=True)
        ]
    xs = LETTERS[: x.ndim]
    ys = list(free_letters(xs, y.ndim))
    for i, j in pairs:
        ys[j] = xs[i]
    summed = {xs[i] for i, _ in pairs}
    out = "".join(c for c in (*xs, *ys) if c not in summed)
    return _contract("tensordot", x, y, xs, "".join(ys), out)


@function
def outer(x1: Any, x2: Any, /) -> Any:
    """Return all products of elements of two vectors."""
    return tensordot(x1, x2, axes=0)


def _eager_einsum(spec: str, /, *operands: Any) -> Any:
    return library_function(library_of(operands), "einsum")(spec, *operands)


@extension(_eager_einsum)
def einsum(spec: str, /, *operands: Any) -> Any:
    """Return the einsum of one or two arrays, for example ``einsum("ij,j->i", a, b)``."""
    if len(operands) == 1:
        return _rearranged(spec, array(builder_of(*operands), operands[0]))
    if len(operands) != 2:
        raise failure(
            NotSupportedError, f"`einsum` of {len(operands)} operands", how="combine them in pairs"
        )
    x, y = _pair("einsum", *operands, least=0)
    (xs, ys), out = _terms(spec, x, y)
    return ops.contract(x, y, f"{xs},{ys}->{out}")


def _rearranged(spec: str, x: Tracer) -> Any:
    """Return the einsum of one operand: a sum over axes and a permutation."""
    (term,), out = _terms(spec, x)
    if len(set(term)) != len(term):
        raise failure(NotSupportedError, f"`einsum` {spec!r} takes a diagonal", how="index it")
    gone = [i for i, c in enumerate(term) if c not in out]
    kept = [c for c in term if c in out]
    reduced = ops.reduce_sum(x, gone) if gone else x
    return permute_dims(reduced, tuple(kept.index(c) for c in out))


def _terms(spec: str, *operands: Tracer) -> tuple[list[str], str]:
    """Return the terms of a spec, with ``...`` and a missing output written out."""
    left, arrow, out = spec.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise failure(
            TypeRuleError, f"`einsum` {spec!r} has {len(terms)} terms for {len(operands)} operands"
        )
    extra = [x.ndim - len(t.replace("...", "")) for t, x in zip(terms, operands, strict=True)]
    lead = free_letters(spec, max(0, *extra))
    full = [
        t.replace("...", lead[len(lead) - n :]) if n > 0 else t.replace("...", "")
        for t, n in zip(terms, extra, strict=True)
    ]
    if not arrow:
        once = sorted(c for c in set("".join(terms)) if c in LETTERS and left.count(c) == 1)
        out = ("..." if "..." in left else "") + "".join(once)
    return full, out.replace("...", lead)
