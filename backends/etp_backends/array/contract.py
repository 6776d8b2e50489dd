"""A contraction as the fewest calls of broadcast product, einsum or matrix product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from etp_ir.core import Literal, Node
from etp_ir.primitives.contract import Spec, extents, parse_spec

from . import gemm
from .contraction import Classes, classify, without_lone
from .dialect import Dialect
from .refs import Ref
from .terms import Term, picked, spread, summed

if TYPE_CHECKING:
    from .block import Block

# Measured on one core: above OUTER elements einsum writes an outer product faster than a
# broadcast multiply; stacked matrix products of at most TINY multiplications each are slower than
# its loop, and so are those with a side below SMALL when their operands must be copied first.
OUTER = 1 << 13
TINY = 64
SMALL = 16


def alias(node: Node, dialect: Dialect) -> Sequence[int]:
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
    x, y, target, spec = _without_units(block, node, spec, sizes, out)
    classes, spec, out = classify(spec), without_lone(spec), target.ref
    x, y = summed(block, x, classes.lone_x), summed(block, y, classes.lone_y)
    if not classes.summed:
        _multiply(block, x, y, spec, out)
    elif block.gen.dialect.einsum and _no_product(x, y, classes, sizes):
        _einsum(block, x, y, spec, out)
    else:
        gemm.emit(block, x, y, target, classes, sizes)


def _without_units(
    block: Block, node: Node, spec: Spec, sizes: Mapping[str, int], out: Ref
) -> tuple[Term, Term, Term, Spec]:
    """Return the operands, the output and the contraction without axes of extent 1.

    They decide nothing, and would make a batch of one look like a batch.
    """
    units = {c: 0 for c in sizes if sizes[c] == 1}
    given = (*(block.ref(x) for x in node.inputs), out)
    sources = (*node.inputs, None)
    x, y, target = (
        picked(block, Term(ref, letters, source), units)
        for ref, letters, source in zip(given, (spec.x, spec.y, spec.out), sources, strict=True)
    )
    return x, y, target, parse_spec(f"{x.letters},{y.letters}->{target.letters}")


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
    """Whether a matrix product would be tiny, or first have to copy an operand for little."""
    if not classes.batch:
        return False
    m, k, n = (prod(sizes[c] for c in s) for s in (classes.rows, classes.summed, classes.cols))
    large = x if x.ref.type.size >= y.ref.type.size else y
    fastest = [c for c in large.letters if sizes[c] > 1 and large.strides(c) == (1,)]
    if fastest and fastest[-1] in classes.batch:
        return min(m, k, n) < SMALL
    return m > 1 and n > 1 and m * k * n <= TINY
