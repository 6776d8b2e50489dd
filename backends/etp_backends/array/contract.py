"""A contraction as the fewest calls of broadcast product, einsum or matrix product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from etp_ir.core import Literal, Node
from etp_ir.primitives.contract import Spec, extents, parse_spec

from . import gemm
from .contraction import Classes, classify, without_lone
from .refs import Ref
from .terms import Term, picked, spread, summed

if TYPE_CHECKING:
    from .block import Block

# Measured on one core: above OUTER elements einsum writes an outer product faster than a
# broadcast multiply; matrix products of at most TINY multiplications are slower than its loop;
# and sums of at most UNROLL terms are fastest written out, when the innermost axis is long.
OUTER = 1 << 16
TINY = 64
UNROLL = 4


def alias(block: Block, node: Node) -> Sequence[int]:
    """Return the operands the result may overwrite: those of its letters, if nothing is summed."""
    spec = parse_spec(node.attrs["spec"])
    if classify(spec).summed:
        return ()
    return [i for i, term in enumerate((spec.x, spec.y)) if term == spec.out]


def emit(block: Block, node: Node, out: Ref) -> None:
    """Append the statements of a contraction."""
    spec = parse_spec(node.attrs["spec"])
    sizes = extents(spec, node.inputs[0].type, node.inputs[1].type)
    classes = classify(spec)
    if not classes.summed and any(block.number(x) is not None for x in node.inputs):
        _scale(block, node, spec, classes, out)
        return
    x = summed(block, Term(block.ref(node.inputs[0]), spec.x), classes.lone_x)
    y = summed(block, Term(block.ref(node.inputs[1]), spec.y), classes.lone_y)
    spec = without_lone(spec)
    if not classes.summed:
        _multiply(block, x, y, spec, out)
    elif _short_sum(classes, spec, sizes):
        _unrolled(block, x, y, spec, classes, sizes, out)
    elif block.gen.dialect.einsum and _no_product(x, y, classes, sizes):
        _einsum(block, x, y, spec, out)
    else:
        gemm.emit(block, x, y, Term(out, spec.out), classes, sizes)


# -- nothing summed ------------------------------------------------------------------------
def _multiply(block: Block, x: Term, y: Term, spec: Spec, out: Ref) -> None:
    outer = set(x.letters) - set(y.letters) and set(y.letters) - set(x.letters)
    if block.gen.dialect.einsum and outer and out.type.size >= OUTER:
        _einsum(block, x, y, spec, out)
    else:
        block.call("multiply", out, spread(block, x, spec.out), spread(block, y, spec.out))


def _scale(block: Block, node: Node, spec: Spec, classes: Classes, out: Ref) -> None:
    """Multiply by an operand that is one number everywhere."""
    factor: float = 1
    arrays: list[str] = []
    lone = (classes.lone_x, classes.lone_y)
    for x, term, letters in zip(node.inputs, (spec.x, spec.y), lone, strict=True):
        number = block.number(x)
        if number is not None:
            factor = factor * number.value * prod(x.type.shape[term.index(c)] for c in letters)
        else:
            arrays.append(spread(block, summed(block, Term(block.ref(x), term), letters), spec.out))
    number = Literal(float(factor) if out.type.dtype.is_float else factor, out.type.dtype)
    if arrays:
        block.call("multiply", out, arrays[0], block.gen.literal(number))
    else:
        block.copy(out, number)


# -- something summed ----------------------------------------------------------------------
def _einsum(block: Block, x: Term, y: Term, spec: Spec, out: Ref) -> None:
    text = f'"{x.letters},{y.letters}->{spec.out}"'
    block.call("einsum", out, text, x.ref.name, y.ref.name)


def _no_product(x: Term, y: Term, classes: Classes, sizes: Mapping[str, int]) -> bool:
    """Whether a matrix product would be tiny, or first have to copy an operand for nothing."""
    if not classes.batch:
        return False
    if classes.rows and classes.cols:
        return prod(sizes[c] for c in classes.rows + classes.cols + classes.summed) <= TINY
    large = x if len(x.letters) >= len(y.letters) else y
    fastest = [c for c in large.letters if sizes[c] > 1 and large.strides(c) == (1,)]
    return bool(fastest) and fastest[-1] in classes.batch


def _short_sum(classes: Classes, spec: Spec, sizes: Mapping[str, int]) -> bool:
    count = prod(sizes[c] for c in classes.summed)
    return 0 < count <= UNROLL and spec.out.endswith(tuple(classes.batch))


def _unrolled(
    block: Block, x: Term, y: Term, spec: Spec, classes: Classes, sizes: Mapping[str, int], out: Ref
) -> None:
    """Add up one broadcast product for each index of the summed letters."""
    count = prod(sizes[c] for c in classes.summed)
    part = block.scratch(out.type, "part") if count > 1 else out
    for flat in range(count):
        at: dict[str, int] = {}
        left = flat
        for c in reversed(classes.summed):
            left, at[c] = divmod(left, sizes[c])
        texts = [spread(block, picked(block, term, at), spec.out) for term in (x, y)]
        block.call("multiply", part if flat else out, *texts)
        if flat:
            block.call("add", out, out.name, part.name)
