"""Operands of a contraction as the generator sees them: an array and a letter for each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from etp_ir.core import Operand

from .contraction import drop, order_of
from .refs import Ref, Strides, row_major
from .views import indexed

if TYPE_CHECKING:
    from .block import Block


@frozen(eq=False)
class Term:
    """An operand: its array, the letters of its axes, and the value whose array it is."""

    ref: Ref
    letters: str
    source: Operand | None = None

    def strides(self, wanted: str) -> Strides:
        """Return the strides of some letters; letters the operand lacks do not step."""
        return tuple(
            self.ref.strides[self.letters.index(c)] if c in self.letters else 0 for c in wanted
        )

    def shape(self, wanted: str) -> tuple[int, ...]:
        """Return the extents of some letters; letters the operand lacks have extent 1."""
        return tuple(
            self.ref.shape[self.letters.index(c)] if c in self.letters else 1 for c in wanted
        )


def permuted(block: Block, x: Term, wanted: str) -> Term:
    """Return a view of the operand with its letters in another order."""
    order = order_of(x.letters, wanted)
    if list(order) == sorted(order):
        return x
    type = x.ref.type.with_shape(x.shape(wanted))
    ref = block.view(x.ref, f"{{x}}.transpose{order}", type, x.strides(wanted))
    return Term(ref, wanted, x.source)


def spread(block: Block, x: Term, wanted: str) -> str:
    """Return the name of a view with axes where ``wanted`` has them, ready to broadcast."""
    x = permuted(block, x, "".join(c for c in wanted if c in x.letters))
    # Broadcasting adds the axes missing in front by itself.
    lead = next((i for i, c in enumerate(wanted) if c in x.letters), len(wanted))
    wanted = wanted[lead:]
    terms = [":" if c in x.letters else "None" for c in wanted]
    type = x.ref.type.with_shape(x.shape(wanted))
    return block.view(x.ref, indexed(terms), type, x.strides(wanted)).name


def picked(block: Block, x: Term, at: dict[str, int]) -> Term:
    """Return a view of the operand at fixed indices of some letters."""
    kept = drop(x.letters, "".join(at))
    if kept == x.letters:
        return x
    terms = [str(at[c]) if c in at else ":" for c in x.letters]
    if not kept:
        # Without the ellipsis NumPy would give a scalar instead of an array.
        terms.append("...")
    ref = block.view(x.ref, indexed(terms), x.ref.type.with_shape(x.shape(kept)), x.strides(kept))
    return Term(ref, kept, x.source)


def summed(block: Block, x: Term, letters: str) -> Term:
    """Return the operand with some letters summed away."""
    if not letters:
        return x
    kept = drop(x.letters, letters)
    total = block.scratch(x.ref.type.with_shape(x.shape(kept)), f"{x.ref.name}_sum")
    axes = order_of(x.letters, letters)
    name = "add.reduce" if block.gen.dialect.reduce else "sum"
    block.call(name, total, x.ref.name, axis=str(axes[0] if len(axes) == 1 else axes))
    return Term(total, kept)


def gathered(block: Block, x: Term, wanted: str) -> Term:
    """Return a row-major copy of the operand with its letters in another order."""
    source = permuted(block, x, wanted)
    copy = block.scratch(source.ref.type, f"{x.ref.name}_copy")
    block.copy(copy, source.ref)
    return Term(copy, wanted)


def hoisted(block: Block, x: Term, wanted: str) -> Term:
    """Return such a copy of a loop-invariant operand, made once before the outermost loop."""
    source = permuted(block, x, wanted)
    outer = block.origin(x.source)
    return Term(outer.kept_copy(source.ref), wanted)


def matrices(block: Block, x: Term, stack: str, rows: str, cols: str) -> str:
    """Return the name of a view of shape ``(stack..., rows, cols)``, each group one axis.

    The letters of each group must be mergeable in memory.
    """
    x = permuted(block, x, "".join(c for c in stack if c in x.letters) + rows + cols)
    shape = (*x.shape(stack), _count(x, rows), _count(x, cols))
    if shape == x.ref.shape:
        return x.ref.name
    type = x.ref.type.with_shape(shape)
    # Only the shape matters from here on: nothing looks at the strides of a matrix operand.
    return block.view(x.ref, f"{{x}}.reshape({shape})", type, row_major(shape)).name


def _count(x: Term, letters: str) -> int:
    count = 1
    for extent in x.shape(letters):
        count *= extent
    return count
