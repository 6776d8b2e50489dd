"""What of the influence of a weight product is not followed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from etp_ir.core import Value

from .coverage import BLOCK, DENSE
from .paths import brief
from .positions import NONE, Cut
from .structure import HiddenParamOpRelation, Structure
from .uses import Use

OTHERS = "leads to other examples of the batch, where no trace follows"


def what_is_lost(s: Structure, use: Use) -> str | None:
    """Return the first path of a product's influence that is not followed, or None."""
    reached = s.influence.reached(use.output)
    related = [r for r in s.relations if use in r.uses]
    lost = _within(s, use.output, reached, related)
    for relation in related:
        lost = lost or _onward(s, relation)
    return lost


def lost_edges(
    s: Structure, relation: HiddenParamOpRelation
) -> Iterator[tuple[str, str, str | None]]:
    """Yield pairs (old state, new state) along which influence is lost, and how it is followed.

    The third item is the mode of an edge that is followed in part, or None.
    """
    reached = [n for node in relation.nodes for n in s.influence.reached(node.output)]
    stack = [n for n in dict.fromkeys(reached) if n in relation.places]
    seen = set(stack)
    while stack:
        old = stack.pop(0)
        for new in s.influence.live:
            if not s.influence.onward(new, old):
                continue
            how = relation.edges.get((new, old))
            if how is None or not _whole(s, relation, new, old, how):
                yield old, new, how
            if new not in seen and (how is not None or new in relation.places):
                seen.add(new)
                stack.append(new)


def _whole(
    s: Structure, relation: HiddenParamOpRelation, new: str, old: str, how: str
) -> bool:  # fmt: skip
    """Whether an edge holds all that a relation's influence on one state becomes on another."""
    if s.influence.joint(s.states[old][0], new) is not None:
        return False
    if how == DENSE or s.influence.keeps_positions(new, old):
        return True
    return how == BLOCK and s.pattern.keeps_positions(new, old, _acted_on(s, relation, old))


def _acted_on(s: Structure, relation: HiddenParamOpRelation, state: str) -> np.ndarray | None:
    """Return which positions of a state weights of a relation act on; None for all."""
    place = relation.places[state]
    if place.index is None:
        return None
    index = relation.spread(place.index)
    found = np.zeros(place.size, bool)
    for use in relation.uses:
        found[index[s.pattern.met(use) & (index != NONE)]] = True
    return found


def _within(
    s: Structure, y: Value, reached: list[str], related: list[HiddenParamOpRelation]
) -> str | None:
    """Return what is lost on the way from a product to new states."""
    for name in reached:
        joint = s.influence.joint(y, name)
        if joint is not None:
            return f"a path to {name} through {told(joint)} {OTHERS}"
        places = [r.places[name] for r in related if name in r.places]
        if any(p.wide for p in places) or (places and s.influence.wise(y, name)):
            continue
        cut = s.influence.cut(y, name)
        if cut is not None:
            return f"a path to {name} through {told(cut)} is not followed"
        return f"its path to {name} is not position-wise"
    return None


def _onward(s: Structure, relation: HiddenParamOpRelation) -> str | None:
    """Return what is lost of what happens to states after they are reached."""
    for old, new, _ in lost_edges(s, relation):
        joint = s.influence.joint(s.states[old][0], new)
        if joint is not None:
            return f"the path {old} -> {new} through {told(joint)} {OTHERS}"
        cut = s.influence.cut(s.states[old][0], new)
        if cut is None:
            return f"the path {old} -> {new} joins no hidden group"
        return f"the path {old} -> {new} through {told(cut)} is not followed in time"
    if not relation.coverage.complete:
        return f"influence beyond the reach of scope {s.scope} is dropped"
    return None


def told(cut: Cut | None) -> str:
    """Return a cut in words, with its line."""
    if cut is None:
        return "a path that is not position-wise"
    place = f" ({brief(cut.node.source)})" if cut.node.source else ""
    return f"`{cut.node.primitive.name}`{place}"
