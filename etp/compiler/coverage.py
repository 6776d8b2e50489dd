"""Where the influence of a weight product is followed: positions of states, and steps between.

What a scope means is decided here and nowhere else: for each product the *places* (positions of
states on which its influence is kept) and the *edges* (old to new state, along which it moves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from etp_ir.core import Value

from .axes import Axes
from .influence import Influence
from .pattern import Pattern, neighbours
from .positions import NONE, Targets
from .scope import Scope
from .uses import Use

WISE, BLOCK, DENSE = "wise", "block", "dense"


@frozen(eq=False)
class Place:
    """The positions of one state on which the influence of each element of ``y`` is kept.

    Attributes
    ----------
    size
        Number of positions of the state.
    index
        For each element of ``y`` the row-major position, or ``NONE``; with one axis more where
        there are several; None for all positions.
    """

    state: str
    size: int
    index: Targets | None = field(repr=False)
    several: bool = False

    @property
    def everywhere(self) -> bool:
        """Whether all positions of the state are covered, the same for every element."""
        return self.index is None

    @property
    def wide(self) -> bool:
        """Whether there is more than one position for an element."""
        return self.everywhere or self.several

    @property
    def width(self) -> int:
        """Number of positions kept for one element."""
        if self.index is None:
            return self.size
        return int(self.index.shape[-1]) if self.several else 1

    @property
    def key(self) -> tuple[object, ...]:
        """Two places with equal keys cover the same positions."""
        covered = None if self.index is None else (self.index.shape, self.index.tobytes())
        return (self.state, self.several, covered)


Edges = dict[tuple[str, str], str]


@frozen(eq=False)
class Coverage:
    """Where the influence of one product is followed.

    Attributes
    ----------
    places
        By state.
    edges
        For pairs (new state, old state): ``WISE`` along the position-wise paths, ``BLOCK`` along
        all paths from a position to itself, ``DENSE`` along all paths.
    total
        Whether tails count all paths from a product to the positions covered, those through
        other products included.
    complete
        Whether nothing that starts at these places leaves them.
    """

    places: dict[str, Place]
    edges: Edges
    total: bool = True
    complete: bool = True


def local_coverage(
    y: Value, states: Sequence[str], influence: Influence, scope: Scope, tail: str
) -> Coverage | None:
    """Return the coverage of a product within one hidden group, each position for itself."""
    states = [s for s in states if s in influence.live]
    reached = [s for s in states if influence.leads(y, s)]
    if not reached:
        return None
    size = influence.states[states[0]][0].type.size
    if tail == "exact" and not all(influence.wise(y, s) for s in reached):
        index = None
    else:
        index = _agree(influence.reaches[s].targets.get(y) for s in states)
        if index is None:
            return None
    edges = {}
    for new in states:
        for old in states:
            if scope.name == "coupled" and influence.onward(new, old):
                edges[new, old] = WISE if influence.keeps_positions(new, old) else BLOCK
            elif influence.stays(new, old):
                edges[new, old] = WISE
    met = [s for s in reached if index is None or y in influence.reaches[s].targets]
    touched = _closure(met, edges)
    kept = {(new, old): how for (new, old), how in edges.items() if old in touched}
    places = {s: Place(s, size, index) for s in states if s in touched}
    return Coverage(places, kept, total=scope.name == "coupled")


def _closure(start: Iterable[str], edges: Edges) -> set[str]:
    """Return the states that can be reached along edges."""
    found = set(start)
    while True:
        more = {new for new, old in edges if old in found} - found
        if not more:
            return found
        found |= more


def closed_coverage(
    y: Value, influence: Influence, follows: Callable[[str, str], bool],
    within: Sequence[str] | None = None,
) -> Coverage | None:  # fmt: skip
    """Return the coverage of all that a product ever influences along the edges followed.

    A state stays position by position as long as every path to it is. With ``within`` only these
    states are followed, and reached on paths that meet no other new state.
    """
    found: dict[str, Targets | None] = {}
    others = {
        new for s, (_, new) in influence.states.items()
        if within is not None and s not in within and isinstance(new, Value)
    }  # fmt: skip
    for s in influence.live if within is None else [s for s in within if s in influence.live]:
        if influence.dependence.leads_avoiding(y, influence.states[s][1], others):
            found[s] = influence.reaches[s].targets[y] if influence.wise(y, s) else None
    if not found:
        return None
    edges = [
        (new, old) for old in influence.live for new in influence.live
        if influence.onward(new, old) and follows(new, old)
        and (within is None or (new in within and old in within))
    ]  # fmt: skip
    kept = {edge for edge in edges if influence.keeps_positions(*edge)}
    changed = True
    while changed:
        changed = False
        for new, old in edges:
            if old not in found:
                continue
            arriving = found[old] if (new, old) in kept else None
            before = found.get(new, ())
            merged = arriving if isinstance(before, tuple) else _union(before, arriving)
            if isinstance(before, tuple) or not _same(before, merged):
                found[new] = merged
                changed = True
    places = {
        s: Place(s, influence.states[s][0].type.size, found[s])
        for s in influence.live
        if s in found
    }
    modes = {
        (new, old): WISE if (new, old) in kept and _same(found[new], found[old]) else DENSE
        for new, old in edges if old in found
    }  # fmt: skip
    return Coverage(places, modes)


def hop_coverage(use: Use, influence: Influence, pattern: Pattern, hops: int) -> Coverage | None:
    """Return the coverage of what a product influences within a number of steps."""
    y = use.output
    start = {s: pattern.within(y, s) for s in influence.live if influence.leads(y, s)}
    if not start:
        return None
    sets, complete = neighbours(start, influence, pattern, hops)
    if not complete:
        # What leaves elements of the product that no weight acts on is no influence of a weight.
        met = pattern.met(use).reshape(-1)
        _, complete = neighbours({s: x & met for s, x in start.items()}, influence, pattern, hops)
    # What is kept everywhere does not depend on the element: that is for all states or for none.
    everywhere = all(reached.all() for reached in sets.values())
    places = {}
    for s, reached in sets.items():
        index, several = (None, False) if everywhere else _table(reached, y.type.shape)
        places[s] = Place(s, reached.shape[0], index, several)
    modes: Edges = {}
    for new in places:
        for old in places:
            if influence.onward(new, old):
                a, b = places[new], places[old]
                same = a.key[1:] == b.key[1:] and influence.keeps_positions(new, old)
                modes[new, old] = WISE if same else DENSE
    return Coverage(places, modes, complete=complete)


def _table(reached: np.ndarray, shape: tuple[int, ...]) -> tuple[Targets, bool]:
    """Return the index of a set of positions [position, element], and whether it has an axis more.

    It has none where each element reaches one position at most.
    """
    counts = reached.sum(axis=0)
    width = max(int(counts.max()), 1)
    index = np.full((reached.shape[1], width), NONE)
    for q in range(reached.shape[1]):
        hits = np.flatnonzero(reached[:, q])
        index[q, : hits.size] = hits
    if width == 1:
        return index.reshape(shape), False
    return index.reshape((*shape, width)), True


def _same(a: Targets | None, b: Targets | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a, b))


def _union(a: Targets | None, b: Targets | None) -> Targets | None:
    """Return the union of two single targets per element, or None where they contradict."""
    return None if a is None or b is None else _agree((a, b))


def fold(axes: Axes, coverage: Coverage) -> tuple[str, Coverage]:
    """Return the letters of ``y`` that positions do not depend on, and the coverage without them.

    Only letters that the weight lacks are folded: elements with one weight between them.
    """
    folded = ""
    indices: dict[str, Any] = {s: p.index for s, p in coverage.places.items()}
    for letter in axes.y:
        if not axes.shares(letter):
            continue
        axis = "".join(c for c in axes.y if c not in folded).index(letter)
        if all(i is None or (i == i.take([0], axis)).all() for i in indices.values()):
            folded += letter
            indices = {s: None if i is None else i.take(0, axis) for s, i in indices.items()}
    if not folded:
        return "", coverage
    places = {s: evolve(p, index=indices[s]) for s, p in coverage.places.items()}
    return folded, evolve(coverage, places=places)


def _agree(found: Iterable[Targets | None]) -> Targets | None:
    """Return the union of targets, or None where there are none or they contradict."""
    index: Targets | None = None
    for targets in found:
        if targets is None:
            continue
        if index is None:
            index = targets.copy()
            continue
        clash = (index != NONE) & (targets != NONE) & (index != targets)
        if clash.any():
            return None
        index = np.where(index == NONE, targets, index)
    return index
