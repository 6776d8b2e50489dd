"""What of the influence of a weight product is not followed."""

from __future__ import annotations

from etp_ir.core import Node, Value

from .coverage import BLOCK, DENSE
from .positions import Cut
from .structure import HiddenParamOpRelation, Structure


def what_is_lost(s: Structure, node: Node) -> str | None:
    """Return the first path of a product's influence that is not followed, or None."""
    reached = [n for n in s.influence.live if s.influence.leads(node.output, n)]
    related = [r for r in s.relations if node in r.nodes]
    lost = _within(s, node.output, reached, related)
    for relation in related:
        lost = lost or _onward(s, relation, reached)
    return lost


def _within(
    s: Structure, y: Value, reached: list[str], related: list[HiddenParamOpRelation]
) -> str | None:
    """Return what is lost on the way from a product to new states."""
    for name in reached:
        places = [r.places[name] for r in related if name in r.places]
        if any(p.wide for p in places) or (places and s.influence.wise(y, name)):
            continue
        cut = s.influence.cut(y, name)
        if cut is not None:
            return f"a path to {name} through {told(cut)} is not followed"
        return f"its path to {name} is not position-wise"
    return None


def _onward(s: Structure, relation: HiddenParamOpRelation, reached: list[str]) -> str | None:
    """Return what is lost of what happens to states after they are reached."""
    stack = [n for n in reached if n in relation.places]
    seen = set(stack)
    while stack:
        name = stack.pop(0)
        for other in s.influence.live:
            if not s.influence.onward(other, name):
                continue
            how = relation.edges.get((other, name))
            kept = how == DENSE or s.influence.keeps_positions(other, name)
            kept = kept or (how == BLOCK and s.pattern.keeps_positions(other, name))
            if how is None or not kept:
                cut = s.influence.cut(s.states[name][0], other)
                if cut is None:
                    return f"the path {name} -> {other} joins no hidden group"
                return (f"the path {name} -> {other} through {told(cut)} is not followed in "
                        "time")  # fmt: skip
            if other not in seen:
                seen.add(other)
                stack.append(other)
    if not relation.coverage.complete:
        return f"influence beyond the reach of scope {s.scope} is dropped"
    return None


def told(cut: Cut | None) -> str:
    """Return a cut in words, with its line."""
    if cut is None:
        return "a path that is not position-wise"
    place = (
        f" ({cut.node.source.file.rsplit('/', 1)[-1]}:{cut.node.source.line})"
        if cut.node.source
        else ""
    )
    return f"`{cut.node.primitive.name}`{place}"
