"""Traces of single relations, kept by rules that are written on the whole step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etp_ir.tracer import Tracer

from ..compiler.places import at_places
from .algebra import POSITION, Vec, named

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView
    from ..compiler.structure import HiddenParamOpRelation
    from ..compiler.view import RelationView


def shapes(model: ModelView) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one trace per weight for each relation and state: ``weight.state``."""
    found = {}
    for r in model.structure.relations:
        for s in r.states:
            sizes = tuple(r.extents[c] for c in r.axes.trace)
            found[f"{r.name}.{s}"] = (*sizes, r.places[s].width) if r.places[s].wide else sizes
    return found


def kept(rel: RelationView, arrays: Mapping[str, Tracer]) -> Vec:
    """Return the trace of one relation, in the notation of rules."""
    frame = rel.axes.frame
    return Vec({
        s: named(arrays[f"{rel.name}.{s}"], letters(rel.relation, s), frame)
        for s in rel.relation.states
    })  # fmt: skip


def stored(step: StepView, traces: Mapping[str, Vec]) -> dict[str, Tracer]:
    """Return traces by relation as they are kept."""
    found = {}
    for r in step.structure.relations:
        entries = traces[r.name].entries
        for s in r.states:
            found[f"{r.name}.{s}"] = (
                entries[s].laid(letters(r, s)) if s in entries
                else step.zeros(shapes(step)[f"{r.name}.{s}"])
            )  # fmt: skip
    return found


def letters(relation: HiddenParamOpRelation, state: str) -> str:
    """Return the letters of the trace on one state."""
    return relation.axes.trace + (POSITION if relation.places[state].wide else "")


def read(
    step: StepView, rel: RelationView, ell: Mapping[str, Tracer], trace: Any
) -> dict[str, Tracer]:  # fmt: skip
    """Return the gradient of a relation's weight that its trace gives for a signal on states."""
    found = at_places(rel.relation, ell).dot(trace, rel.axes.w)
    if found is None:
        return {}
    name = step.structure.weights[rel.relation.use].name
    return {name: found.summed(rel.axes.w).laid(rel.axes.w)}
