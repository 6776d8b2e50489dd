"""The notation of learning rules: arrays whose axes are named, vectors and matrices of them.

A `Named` array multiplies another by its axis letters, so ``rel.u * rel.x`` is the outer product
for a matrix weight and the plain product for an element-wise one, and the same line serves every
eligibility-trace primitive. `Vec` and `Mat` run over the states of a hidden group: one entry
per state, None where an entry is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
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
# Letters that operations do not get for their axes.
RESERVED = POSITIONS + TIED + STATE


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

    def __add__(self, other: Named) -> Named:
        return Named(ops.add(self.array, other.laid(self.axes)), self.axes, self.frame)


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


@frozen(eq=False, slots=False)
class Vec:
    """One named array per state of a group; absent entries are zero.

    Entries may be given as a function that makes them: it is called when they are first needed.
    """

    given: dict[str, Named] | Callable[[], dict[str, Named]]

    @cached_property
    def entries(self) -> dict[str, Named]:
        """The arrays by state."""
        return self.given() if callable(self.given) else self.given

    def __add__(self, other: Vec) -> Vec:
        total = dict(self.entries)
        for state, term in other.entries.items():
            total[state] = total[state] + term if state in total else term
        return Vec(total)

    def __mul__(self, factor: Named | float | Tracer | None) -> Vec:
        return Vec({s: e * factor for s, e in self.entries.items()})

    __rmul__ = __mul__

    def outer(self, other: Named | None, axes: str) -> Vec:
        """Return products with one array, summed over the letters that ``axes`` lacks."""
        if other is None:
            return Vec({s: e.summed(axes) for s, e in self.entries.items()})
        found = {}
        for s, e in self.entries.items():
            a, b = e.meeting(other.axes + axes), other.meeting(e.axes + axes)
            both = a.axes + b.axes
            kept = "".join(c for c in e.frame.letters if c in both and c in axes + POSITIONS)
            found[s] = a.contract(b, kept)
        return Vec(found)

    def dot(self, other: Vec, axes: str) -> Named | None:
        """Return the sum over states of products, summed over the letters ``axes`` lacks."""
        total: Named | None = None
        for state, entry in self.entries.items():
            if state in other.entries:
                term = entry.contract(other.entries[state], axes)
                total = term if total is None else total + term
        return total


@frozen(eq=False, slots=False)
class Mat:
    """One named array per pair of states (new, old) of a group; absent entries are zero.

    Entries may be given as a function that makes them: it is called when they are first needed.
    """

    given: dict[tuple[str, str], Named] | Callable[[], dict[tuple[str, str], Named]]

    @cached_property
    def entries(self) -> dict[tuple[str, str], Named]:
        """The arrays by pair of states."""
        return self.given() if callable(self.given) else self.given

    def __mul__(self, factor: Named | float | Tracer | None) -> Mat:
        return Mat({pair: e * factor for pair, e in self.entries.items()})

    __rmul__ = __mul__

    def __matmul__(self, vector: Vec) -> Vec:
        total: dict[str, Named] = {}
        for (new, old), entry in self.entries.items():
            if old in vector.entries:
                term = entry.apply(vector.entries[old])
                total[new] = total[new] + term if new in total else term
        return Vec(total)

    @property
    def T(self) -> Mat:
        """The transpose."""
        swap = {POSITION: BEFORE, BEFORE: POSITION}
        return Mat({(old, new): e.renamed(swap) for (new, old), e in self.entries.items()})
