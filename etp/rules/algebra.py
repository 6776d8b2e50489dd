"""The notation of learning rules: arrays whose axes are named, vectors and matrices of them.

A `Named` array multiplies another by its axis letters, so ``rel.u * rel.x`` is the outer product
for a matrix weight and the plain product for an element-wise one, and the same line serves every
eligibility-trace primitive. `Vec` and `Mat` run over the states of a hidden group: one entry
per state, None where an entry is zero.

Products are laid out where they are used: ``rel.u * rel.x`` is an `Outer`, ``ell @ e`` a `Dot`,
and what receives them says which letters are kept and which are summed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, reduce
from typing import Any, overload

from attrs import frozen

from etp_ir import ops
from etp_ir.tracer import Tracer

from .named import (
    ALONG,
    BEFORE,
    FIXED,
    POSITION,
    POSITIONS,
    RESERVED,
    STATE,
    TERM,
    TIED,
    Frame,
    Named,
    named,
    square,
)

__all__ = [
    "ALONG", "BEFORE", "Dot", "FIXED", "Frame", "Joined", "Mat", "Named", "Outer", "POSITION",
    "POSITIONS", "RESERVED", "STATE", "Sum", "TERM", "TIED", "Vec", "named",
]  # fmt: skip


@frozen(eq=False, slots=False)
class Vec:
    """One named array per state of a group; absent entries are zero.

    Entries may be given as a function that makes them: it is called when they are first needed.
    """

    __array_ufunc__ = None

    given: dict[str, Named] | Callable[[], dict[str, Named]]

    @cached_property
    def entries(self) -> dict[str, Named]:
        """The arrays by state."""
        return self.given() if callable(self.given) else self.given

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Outer):
            return other + self
        if isinstance(other, (int, float)):
            return Vec(lambda: {s: e + other for s, e in self.entries.items()})
        if not isinstance(other, Vec):
            return NotImplemented

        def total() -> dict[str, Named]:
            found = dict(self.entries)
            for state, term in other.entries.items():
                found[state] = found[state] + term if state in found else term
            return found

        return Vec(total)

    def __sub__(self, other: Any) -> Any:
        return self + other * -1.0

    def like(self, other: Vec) -> Vec:
        """Return the entries of the states that another vector has entries for."""
        return Vec(lambda: {s: e for s, e in self.entries.items() if s in other.entries})

    @overload
    def __mul__(self, factor: float | Tracer) -> Vec: ...
    @overload
    def __mul__(self, factor: Named | None) -> Outer: ...
    def __mul__(self, factor: Named | float | Tracer | None) -> Vec | Outer:
        if factor is None or isinstance(factor, Named):
            return Outer(((self, factor),))
        return Vec(lambda: {s: e * factor for s, e in self.entries.items()})

    __rmul__ = __mul__

    def __truediv__(self, factor: float | Tracer) -> Vec:
        return self * ops.div(1.0, factor) if isinstance(factor, Tracer) else self * (1 / factor)

    def __matmul__(self, other: Any) -> Any:
        return Dot(((self, other),)) if isinstance(other, Vec) else NotImplemented

    def norm(self) -> Tracer:
        """Return the square root of the sum of squares of all entries."""
        squares = [square(e) for e in self.entries.values()]
        return ops.sqrt(reduce(ops.add, squares))

    def on(self, axes: str) -> Vec:
        """Return the vector as it is: its letters are laid out already."""
        return self

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

    __array_ufunc__ = None

    given: dict[tuple[str, str], Named] | Callable[[], dict[tuple[str, str], Named]]

    @cached_property
    def entries(self) -> dict[tuple[str, str], Named]:
        """The arrays by pair of states."""
        return self.given() if callable(self.given) else self.given

    def __mul__(self, factor: float | Tracer) -> Mat:
        return Mat(lambda: {pair: e * factor for pair, e in self.entries.items()})

    __rmul__ = __mul__

    def __matmul__(self, vector: Any) -> Any:
        if isinstance(vector, Outer):
            return Outer(tuple((self @ u, x) for u, x in vector.pairs), vector.sum)
        if not isinstance(vector, Vec):
            return NotImplemented

        def total() -> dict[str, Named]:
            found: dict[str, Named] = {}
            for (new, old), entry in self.entries.items():
                if old in vector.entries:
                    term = entry.apply(vector.entries[old])
                    found[new] = found[new] + term if new in found else term
            return found

        return Vec(total)

    @property
    def T(self) -> Mat:
        """The transpose."""
        swap = {POSITION: BEFORE, BEFORE: POSITION}
        return Mat(lambda: {(old, new): e.renamed(swap) for (new, old), e in self.entries.items()})


@frozen(eq=False)
class Outer:
    """A sum of products of a vector over states with one array, ``u`` times ``x``.

    Attributes
    ----------
    pairs
        The products; a factor of None is one.
    sum
        A vector added to them, whose letters are laid out already.
    """

    __array_ufunc__ = None

    pairs: tuple[tuple[Vec, Named | None], ...]
    sum: Vec | None = None

    def on(self, axes: str) -> Vec:
        """Return the vector over states, summed over the letters that ``axes`` lacks."""
        total = self.sum
        for u, x in self.pairs:
            term = u.outer(x, axes)
            total = term if total is None else total + term
        assert total is not None
        return total

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Outer):
            pairs = self.pairs + other.pairs
            if self.sum is None or other.sum is None:
                return Outer(pairs, other.sum if self.sum is None else self.sum)
            return Outer(pairs, self.sum + other.sum)
        if isinstance(other, Vec):
            return Outer(self.pairs, other if self.sum is None else self.sum + other)
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, factor: float | Tracer) -> Outer:
        rest = None if self.sum is None else self.sum * factor
        return Outer(tuple((u * factor, x) for u, x in self.pairs), rest)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Any:
        return self + other * -1.0


@frozen(eq=False)
class Dot:
    """A sum over states of products of two vectors, ``ell @ e``."""

    __array_ufunc__ = None

    pairs: tuple[tuple[Vec, Vec], ...]

    def on(self, axes: str) -> Named | None:
        """Return the sum, also over the letters that ``axes`` lacks."""
        total: Named | None = None
        for a, b in self.pairs:
            term = a.dot(b, axes)
            if term is not None:
                total = term if total is None else total + term
        return total

    def whole(self) -> Named | None:
        """Return the sum over states and over several positions, all letters kept."""
        found = "".join(
            c for _, b in self.pairs for e in b.entries.values() for c in e.axes
            if c not in POSITIONS
        )  # fmt: skip
        return self.on("".join(dict.fromkeys(found)))

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Dot):
            return Dot(self.pairs + other.pairs)
        return Sum((self, other)) if hasattr(other, "on") else NotImplemented

    def __mul__(self, factor: Any) -> Any:
        if factor is None:
            return self
        if isinstance(factor, Named):
            return Joined(self, factor)
        return Dot(tuple((a * factor, b) for a, b in self.pairs))

    __rmul__ = __mul__


@frozen(eq=False)
class Joined:
    """A product of a signal at the results of an operation with an array of its input."""

    __array_ufunc__ = None

    post: Dot
    x: Named

    def on(self, axes: str) -> Named | None:
        """Return the product, summed over the letters that ``axes`` lacks."""
        post = self.post.whole()
        return None if post is None else post.contract(self.x, axes)

    def __add__(self, other: Any) -> Any:
        return Sum((self, other)) if hasattr(other, "on") else NotImplemented

    def __mul__(self, factor: float | Tracer) -> Joined:
        return Joined(self.post * factor, self.x)

    __rmul__ = __mul__


@frozen(eq=False)
class Sum:
    """A sum of what a rule reads from its traces."""

    __array_ufunc__ = None

    terms: tuple[Any, ...]

    def on(self, axes: str) -> Named | None:
        """Return the sum, over the letters of ``axes``."""
        total: Named | None = None
        for term in self.terms:
            found = term.on(axes)
            if found is not None:
                total = found if total is None else total + found
        return total

    def __add__(self, other: Any) -> Sum:
        return Sum((*self.terms, other))

    def __mul__(self, factor: float | Tracer) -> Sum:
        return Sum(tuple(term * factor for term in self.terms))

    __rmul__ = __mul__
