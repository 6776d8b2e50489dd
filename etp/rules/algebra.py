"""The notation of learning rules: arrays whose axes are named, vectors and matrices of them.

A `Named` array multiplies another by its axis letters, so ``rel.u * rel.x`` is the outer product
for a matrix weight and the plain product for an element-wise one, and the same line serves every
eligibility-trace primitive. `Vec` and `Mat` run over the states of a hidden group: one entry
per state, None where an entry is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from attrs import frozen

from etp_ir import ops
from etp_ir.errors import IRError
from etp_ir.tracer import Tracer

POSITION, BEFORE, ALONG, FIXED = "P", "Q", "D", "R"
POSITIONS = FIXED + POSITION + BEFORE + ALONG


@frozen(eq=False)
class Named:
    """An array with one letter per axis, in the axis order of ``universe``."""

    array: Tracer
    axes: str
    universe: str

    def __mul__(self, other: Named | float | Tracer | None) -> Named:
        if other is None:
            return self
        if not isinstance(other, Named):
            return Named(_scale(self.array, other), self.axes, self.universe)
        if other.universe != self.universe:
            raise IRError(f"axes of {self.universe!r} and {other.universe!r} are named apart")
        union = "".join(c for c in self.universe if c in self.axes or c in other.axes)
        return self.contract(other, union)

    def contract(self, other: Named, axes: str) -> Named:
        """Return the product, summed over the letters that ``axes`` lacks."""
        spec = f"{self.axes},{other.axes}->{axes}"
        if self.axes == other.axes == axes:
            return Named(ops.mul(self.array, other.array), axes, self.universe)
        return Named(ops.contract(self.array, other.array, spec), axes, self.universe)

    def renamed(self, letters: dict[str, str]) -> Named:
        """Return the array with letters exchanged."""
        axes = "".join(letters.get(c, c) for c in self.axes)
        return Named(self.array, axes, self.universe)

    def apply(self, other: Named) -> Named:
        """Return the product of an entry of a matrix with an entry of a vector."""
        mine = self.renamed({ALONG: POSITION})
        if BEFORE in mine.axes:
            other = other.renamed({POSITION: BEFORE})
        both = mine.axes + other.axes
        return mine.contract(other, "".join(c for c in self.universe if c in both and c != BEFORE))

    def summed(self, axes: str) -> Named:
        """Return the array summed over the letters that ``axes`` lacks, positions kept."""
        lost = [i for i, c in enumerate(self.axes) if c not in axes + POSITIONS]
        kept = "".join(c for c in self.axes if c in axes + POSITIONS)
        return Named(ops.reduce_sum(self.array, lost), kept, self.universe) if lost else self

    def __add__(self, other: Named) -> Named:
        return Named(ops.add(self.array, other.array), self.axes, self.universe)


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
            both = e.axes + other.axes
            kept = "".join(c for c in e.universe if c in both and c in axes + POSITIONS)
            found[s] = e.contract(other, kept)
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
