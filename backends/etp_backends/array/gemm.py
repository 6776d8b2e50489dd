"""A contraction as one matrix product, stacked over the letters that all terms share."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from .contraction import Classes, order_of
from .refs import Strides, merged
from .terms import Term, gathered, hoisted, matrices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .block import Block

# Fewer multiplications than this, and a matrix product is mostly the overhead of its call.
WORTH_A_CALL = 4096
# BLAS reads a transposed right operand at half speed while there are few rows on the left, but
# not so few that memory decides: then a transposed copy made outside of the loop pays from so
# many steps on. Where none can be kept, the transposed product is as fast, and small to transpose.
FEW_ROWS = range(8, 65)
WIDE = 128
WORTH_A_COPY_OUTSIDE = 4
# Fewer than this, and BLAS gains less than the copy it needs costs.
WORTH_A_COPY = 64


def emit(
    block: Block, x: Term, y: Term, out: Term, classes: Classes, sizes: Mapping[str, int]
) -> None:
    """Append a matrix product, with as few copies as the memory of the operands allows."""
    rows, cols = classes.rows, classes.cols
    if rows and out.letters.endswith(rows[-1]):
        x, y, rows, cols = y, x, cols, rows
    if not out.letters.endswith(rows + cols):
        _through_scratch(block, x, y, out, classes.batch, rows, cols, sizes)
        return
    stack = out.letters[: len(out.letters) - len(rows + cols)]
    summed = _order_of_sum(x, y, classes.summed, sizes)
    stack, rows = _stacked_rows(x, stack, rows, cols + summed, sizes)
    if _slow_transposed(y, rows, summed, cols, sizes):
        if block.trips(y.source) >= WORTH_A_COPY_OUTSIDE:
            batch = "".join(c for c in stack if c in y.letters)
            y = hoisted(block, y, batch + summed + cols)
        elif not stack and prod(sizes[c] for c in rows) in FEW_ROWS:
            _through_scratch(block, y, x, out, "", cols, rows, sizes)
            return
    x = _blas(block, x, stack, rows, summed, cols, sizes)
    y = _blas(block, y, stack, summed, cols, rows, sizes)
    result = matrices(block, out, stack, rows, cols)
    left, right = matrices(block, x, stack, rows, summed), matrices(block, y, stack, summed, cols)
    block.line(f"{block.gen.writer.use('matmul')}({left}, {right}, out={result})", out.ref.type)


def _through_scratch(
    block: Block, x: Term, y: Term, out: Term, batch: str, rows: str, cols: str,
    sizes: Mapping[str, int],
) -> None:  # fmt: skip
    """Compute in the order matrix products give, then copy into the order asked for."""
    letters = batch + rows + cols
    type = out.ref.type.with_shape(tuple(sizes[c] for c in letters))
    product = Term(block.scratch(type, "product"), letters)
    summed = "".join(c for c in x.letters if c in y.letters and c not in out.letters)
    emit(block, x, y, product, Classes(batch, rows, cols, summed, "", ""), sizes)
    order = order_of(letters, out.letters)
    moved = block.view(product.ref, f"{{x}}.transpose{order}", out.ref.type,
                       product.strides(out.letters))  # fmt: skip
    block.copy(out.ref, moved)


def _slow_transposed(y: Term, rows: str, summed: str, cols: str, sizes: Mapping[str, int]) -> bool:
    """Whether the right operand lies transposed, large, and against several rows."""
    m, k, n = (prod(sizes[c] for c in letters) for letters in (rows, summed, cols))
    if m < FEW_ROWS.start or min(k, n) < WIDE or merged(*_axes(y, summed, sizes)) != 1:
        return False
    return merged(*_axes(y, cols, sizes)) is not None


def _axes(x: Term, letters: str, sizes: Mapping[str, int]) -> tuple[list[int], Strides]:
    return [sizes[c] for c in letters], x.strides(letters)


def _order_of_sum(x: Term, y: Term, letters: str, sizes: Mapping[str, int]) -> str:
    """Return the order of the summed letters that lets most operands be seen as matrices."""
    large, small = (x, y) if x.ref.type.size >= y.ref.type.size else (y, x)

    def by_memory(term: Term) -> str:
        return "".join(sorted(letters, key=lambda c: -term.strides(c)[0]))

    for order in (by_memory(large), by_memory(small)):
        if _mergeable(large, order, sizes) and _mergeable(small, order, sizes):
            return order
    return by_memory(large)


def _mergeable(x: Term, letters: str, sizes: Mapping[str, int]) -> bool:
    return merged(*_axes(x, letters, sizes)) is not None


def _stacked_rows(
    x: Term, stack: str, rows: str, others: str, sizes: Mapping[str, int]
) -> tuple[str, str]:
    """Move leading rows into the stack where that saves a copy and products stay worth a call."""
    for cut in range(len(rows)):
        kept = rows[cut:]
        if _mergeable(x, kept, sizes):
            if prod(sizes[c] for c in kept + others) >= WORTH_A_CALL:
                return stack + rows[:cut], kept
            break
    return stack, rows


def _blas(
    block: Block, x: Term, stack: str, rows: str, cols: str, others: str, sizes: Mapping[str, int]
) -> Term:
    """Return the operand, copied if BLAS could not read it where it is."""
    if _readable(x, rows, cols, sizes):
        return x
    work = prod(sizes[c] for c in rows + cols + others)
    if work < WORTH_A_COPY and _mergeable(x, rows, sizes) and _mergeable(x, cols, sizes):
        return x
    letters = "".join(c for c in stack if c in x.letters) + rows + cols
    if block.trips(x.source) > 1:
        return hoisted(block, x, letters)
    return gathered(block, x, letters)


def _readable(x: Term, rows: str, cols: str, sizes: Mapping[str, int]) -> bool:
    m, n = prod(sizes[c] for c in rows), prod(sizes[c] for c in cols)
    down = merged(*_axes(x, rows, sizes))
    along = merged(*_axes(x, cols, sizes))
    if down is None or along is None:
        return False
    if m == 1 or n == 1:
        return (along if m == 1 else down) >= 1
    return (along == 1 and down >= n) or (down == 1 and along >= m)
