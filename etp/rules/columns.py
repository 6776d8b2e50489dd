"""Traces of a relation as long vectors side by side, for rules that decompose matrices of them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from etp_ir import ops
from etp_ir.tracer import Tracer

from .algebra import POSITION, TERM, Named, Vec, named

if TYPE_CHECKING:
    from ..compiler.view import RelationView


def columns(rel: RelationView, x: Named | Vec, terms: int = 1) -> Tracer:
    """Return arrays over inputs, or vectors over states of arrays over results, as columns.

    Parameters
    ----------
    terms
        How many there are, along the letter `TERM`; one has no such letter.
    """
    if isinstance(x, Named):
        return _flat(x, rel.axes.x, terms)
    parts = []
    for state in rel.relation.places:
        letters, shape = entry_of(rel, state)
        if state in x.entries:
            parts.append(_flat(x.entries[state], letters, terms))
        else:
            parts.append(zeros_of(rel, (prod(shape), terms)))
    return parts[0] if len(parts) == 1 else ops.concat(parts, 0)


def inputs_of(rel: RelationView, flat: Tracer) -> Named:
    """Return as arrays over inputs what `columns` laid flat."""
    shape = tuple(rel.relation.extents[c] for c in rel.axes.x)
    return _laid_out(rel, flat, rel.axes.x, shape)


def results_of(rel: RelationView, flat: Tracer) -> Vec:
    """Return as vectors over states of arrays over results what `columns` laid flat."""
    found, start, terms = {}, 0, flat.shape[1]
    for state in rel.relation.places:
        letters, shape = entry_of(rel, state)
        stop = start + prod(shape)
        part = ops.slice_(flat, (start, 0), (stop, terms), (1, 1))
        found[state] = _laid_out(rel, part, letters, shape)
        start = stop
    return Vec(found)


def entry_of(rel: RelationView, state: str) -> tuple[str, tuple[int, ...]]:
    """Return letters and shape of what is kept for one state."""
    letters = rel.axes.y
    shape = tuple(rel.relation.extents[c] for c in letters)
    place = rel.relation.places[state]
    return (letters + POSITION, (*shape, place.width)) if place.wide else (letters, shape)


def zeros_of(rel: RelationView, shape: tuple[int, ...]) -> Tracer:
    """Return zeros."""
    assert rel.step is not None
    b = rel.step.builder
    zero: Tracer = ops.full(b, shape, 0.0, b.float_dtype)
    return zero


def _flat(x: Named, letters: str, terms: int) -> Tracer:
    laid = x.laid(letters + TERM if TERM in x.axes else letters)
    flat: Tracer = ops.reshape(laid, (laid.size // terms, terms))
    return flat


def _laid_out(rel: RelationView, flat: Tracer, letters: str, shape: tuple[int, ...]) -> Named:
    array = ops.reshape(flat, (*shape, flat.shape[1]))
    return named(array, letters + TERM, rel.axes.frame)
