"""How a weight takes part in an operation: a product of named axes, some looked up in tables.

An eligibility trace needs more of an operation than its derivative: which element of the weight
meets which element of the input on the way to which element of the result. `Bilinear` says it as
letters, as an einsum does. What an einsum can not say, that an element is found at an index that
depends on other axes (a window of a convolution, the row of a nonzero of a sparse matrix), is a
`Join`: a letter that is looked up in a table over other letters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import ascii_letters
from typing import Any

import numpy as np
from attrs import field, frozen

Rule = Callable[..., Any]


@frozen(eq=False)
class Join:
    """An axis whose position is looked up in a table over other axes.

    Attributes
    ----------
    letters
        The axes of the table.
    index
        The table: an array of integers, negative where nothing is met; or an operand of the node
        that holds it.
    """

    letters: str
    index: Any


@frozen(eq=False)
class Bilinear:
    r"""The letters of an operation ``y = op(x, w)`` that is linear in a weight.

    .. math:: y_{\ldots} = \sum x_{\ldots}\, w_{\ldots}

    over all letters that ``y`` lacks, each joined letter being replaced by its table.

    Attributes
    ----------
    x, w, y
        One letter for each axis of input, weight and result; ``x`` is None where there is no
        input beside the weight.
    joins
        Tables of the letters of ``x`` and ``y`` that are looked up.

    Examples
    --------
    A matrix product is ``Bilinear("i", "io", "o")``. A convolution of one spatial axis with
    channels last is ``Bilinear("si", "kio", "po", {"s": Join("kp", table)})``, where
    ``table[k, p]`` is the position that tap k reads for result p. A sparse product with nonzero n
    at ``(rows[n], cols[n])`` is
    ``Bilinear("i", "n", "o", {"i": Join("n", rows), "o": Join("n", cols)})``.
    """

    x: str | None
    w: str
    y: str
    joins: Mapping[str, Join] = field(factory=dict)

    @property
    def letters(self) -> str:
        """All letters, each once."""
        inside = (join.letters for join in self.joins.values())
        return "".join(dict.fromkeys((self.x or "") + self.w + self.y + "".join(inside)))

    def avoiding(self, taken: str) -> Bilinear:
        """Return the same with other letters for those that are taken."""
        free = (c for c in ascii_letters if c not in taken + self.letters)
        names = {c: next(free) if c in taken else c for c in self.letters}
        if all(a == b for a, b in names.items()):
            return self

        def renamed(term: str) -> str:
            return "".join(names[c] for c in term)

        joins = {names[c]: Join(renamed(j.letters), j.index) for c, j in self.joins.items()}
        x = None if self.x is None else renamed(self.x)
        return Bilinear(x, renamed(self.w), renamed(self.y), joins)


@frozen(eq=False)
class Trained:
    """One trained operand of an eligibility-trace primitive.

    Attributes
    ----------
    operand
        Its position among the operands.
    form
        ``form(*operands, **attrs)`` returns its `Bilinear`.
    input
        ``input(*arrays, **attrs)`` returns the array that the letters ``x`` name, made of the
        other operands; None where that is the only other floating-point operand, or there is none.
    """

    operand: int
    form: Rule
    input: Rule | None = None


def look_up(x: Any, index: Any, axis: int) -> Any:
    """Return the elements of an array at the positions of a table, 0 where it is negative.

    Parameters
    ----------
    x
        A traced array.
    index
        The table: an array of integers, or an operand of the program that holds it.
    axis
        The axis that is looked up; those of the table take its place.
    """
    from . import ops
    from .core import Value
    from .primitive import get
    from .tracer import Tracer

    if isinstance(index, Value):
        return ops.gather(x, Tracer(x.builder, index), axis)
    table = np.asarray(index)
    if (table < 0).any():
        empty = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        table = np.where(table < 0, x.shape[axis], table)
        x = ops.concat([x, ops.full(x.builder, empty, 0.0, x.dtype)], axis)
    attrs = {"values": tuple(int(i) for i in table.ravel()), "shape": table.shape}
    return ops.gather(x, Tracer(x.builder, x.builder.emit(get("table"), [], attrs)[0]), axis)
