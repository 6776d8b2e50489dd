"""Arrays whose axes are named by letters, the notation that every operation shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.bilinear import Join, look_up
from etp_ir.errors import IRError
from etp_ir.tracer import Tracer

POSITION, BEFORE, ALONG, FIXED = "P", "Q", "D", "R"
POSITIONS = FIXED + POSITION + BEFORE + ALONG
# The letter of several products of one weight, laid side by side; of positions of a state.
TIED, STATE = "S", "Z"
# The letter of the terms of a sum, of arrays that a rule keeps several of.
TERM = "K"
# Letters that operations do not get for their axes.
RESERVED = POSITIONS + TIED + STATE + TERM


@frozen
class Frame:
    """The letters in which the arrays of one weight product are named.

    Attributes
    ----------
    letters
        All letters, in the order in which the axes of a product of two arrays are laid.
    joins
        Letters whose position is looked up in a table over other letters: an array along such a
        letter is spread over those where it meets an array that has them.
    """

    letters: str
    joins: Mapping[str, Join] = field(factory=dict, eq=False)


@frozen(eq=False)
class Named:
    """An array with one letter per axis, in the axis order of its frame."""

    __array_ufunc__ = None

    array: Tracer
    axes: str
    frame: Frame

    def __mul__(self, other: Named | float | Tracer | None) -> Named:
        if other is None:
            return self
        if not isinstance(other, Named):
            return Named(_scale(self.array, other), self.axes, self.frame)
        if other.frame != self.frame:
            raise IRError(
                f"axes of {self.frame.letters!r} and {other.frame.letters!r} are named apart"
            )
        a, b = self.meeting(other.axes), other.meeting(self.axes)
        return a.contract(b, "".join(c for c in self.frame.letters if c in a.axes + b.axes))

    def meeting(self, letters: str) -> Named:
        """Return the array spread over tables that other letters belong to."""
        found = self
        for c in self.axes:
            join = self.frame.joins.get(c)
            if join is not None and c not in letters and set(join.letters) & set(letters):
                found = found._looked_up(c, join)
        return found

    def _looked_up(self, letter: str, join: Join) -> Named:
        """Return the array with a letter replaced by those of its table."""
        at = self.axes.index(letter)
        axes = self.axes[:at] + join.letters + self.axes[at + 1 :]
        return named(look_up(self.array, join.index, at), axes, self.frame)

    def laid(self, axes: str) -> Tracer:
        """Return the array with its axes in a given order."""
        order = [self.axes.index(c) for c in axes]
        return self.array if axes == self.axes else ops.permute(self.array, order)

    def contract(self, other: Named, axes: str) -> Named:
        """Return the product, summed over the letters that ``axes`` lacks."""
        a, b = self.meeting(other.axes + axes), other.meeting(self.axes + axes)
        if set(a.axes) == set(b.axes) == set(axes):
            return Named(ops.mul(a.laid(axes), b.laid(axes)), axes, self.frame)
        return Named(ops.contract(a.array, b.array, f"{a.axes},{b.axes}->{axes}"), axes, self.frame)

    def renamed(self, letters: dict[str, str]) -> Named:
        """Return the array with letters exchanged."""
        axes = "".join(letters.get(c, c) for c in self.axes)
        return Named(self.array, axes, self.frame)

    def apply(self, other: Named) -> Named:
        """Return the product of an entry of a matrix with an entry of a vector."""
        mine = self.renamed({ALONG: POSITION})
        if BEFORE in mine.axes:
            other = other.renamed({POSITION: BEFORE})
        mine, other = mine.meeting(other.axes), other.meeting(mine.axes)
        both = mine.axes + other.axes
        letters = self.frame.letters
        return mine.contract(other, "".join(c for c in letters if c in both and c != BEFORE))

    def summed(self, axes: str) -> Named:
        """Return the array summed over the letters that ``axes`` lacks, positions kept."""
        whole = self.meeting(axes)
        lost = [i for i, c in enumerate(whole.axes) if c not in axes + POSITIONS]
        kept = "".join(c for c in whole.axes if c in axes + POSITIONS)
        return Named(ops.reduce_sum(whole.array, lost), kept, self.frame) if lost else whole

    __rmul__ = __mul__

    def __add__(self, other: Named | float) -> Named:
        return Named(ops.add(self.array, self._beside(other)), self.axes, self.frame)

    def __sub__(self, other: Named | float) -> Named:
        return Named(ops.sub(self.array, self._beside(other)), self.axes, self.frame)

    def _beside(self, other: Named | float) -> Tracer | float:
        if not isinstance(other, Named):
            return float(other)
        if set(other.axes) != set(self.axes):
            raise IRError(
                f"an array over the letters {other.axes!r} cannot be added to one over "
                f"{self.axes!r}\nmultiply it with what has the others, for example by rel.pre"
            )
        return other.laid(self.axes)

    def __truediv__(self, factor: float | Tracer) -> Named:
        return self * ops.div(1.0, factor) if isinstance(factor, Tracer) else self * (1 / factor)

    def norm(self) -> Tracer:
        """Return the square root of the sum of squares."""
        return ops.sqrt(square(self))

    def on(self, axes: str) -> Named:
        """Return the array summed over the letters that ``axes`` lacks."""
        return self.summed(axes)


def named(array: Tracer, axes: str, frame: Frame) -> Named:
    """Return an array with its axes named, laid in the order of the frame."""
    found = Named(array, axes, frame)
    order = "".join(sorted(axes, key=frame.letters.index))
    return Named(found.laid(order), order, frame)


def _scale(x: Tracer, factor: Any) -> Tracer:
    """Return ``factor * x`` for a number or a scalar tracer."""
    if isinstance(factor, Tracer):
        return ops.mul(ops.broadcast(factor, x.shape, ()), x)
    if isinstance(factor, float) and factor == 1.0:
        return x
    return ops.mul(float(factor), x)


def square(x: Named) -> Tracer:
    """Return the sum of the squares of all elements."""
    return ops.reduce_sum(ops.mul(x.array, x.array), tuple(range(x.array.ndim)))
