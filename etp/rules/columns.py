"""Traces of a relation as one long vector, for rules that decompose matrices of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etp_ir import ops
from etp_ir.tracer import Tracer

from .algebra import POSITION, Named, Vec, named

if TYPE_CHECKING:
    from ..compiler.view import RelationView


def column(rel: RelationView, x: Any, axes: str | None = None) -> Tracer:
    """Return an array over inputs, or a vector over states of arrays over results, laid flat.

    Parameters
    ----------
    axes
        Letters of a vector's entries, before that of positions; those of results by default.
    """
    if isinstance(x, Named):
        return _flat(x.laid(rel.axes.x))
    parts = []
    for state in rel.relation.places:
        letters, shape = entry_of(rel, state, axes)
        if state in x.entries:
            parts.append(_flat(x.entries[state].laid(letters)))
        else:
            parts.append(zeros_of(rel, shape))
    return parts[0] if len(parts) == 1 else ops.concat(parts, 0)


def laid_out(rel: RelationView, flat: Tracer, like: Any, axes: str | None = None) -> Any:
    """Return what `column` laid flat: an array over inputs, or a vector over states."""
    frame = rel.axes.frame
    if isinstance(like, Named):
        letters = rel.axes.x
        sizes = rel.relation.extents
        return named(ops.reshape(flat, [sizes[c] for c in letters]), letters, frame)
    found, start = {}, 0
    for state in rel.relation.places:
        letters, shape = entry_of(rel, state, axes)
        size = 1
        for n in shape:
            size *= n
        part = ops.slice_(flat, (start,), (start + size,), (1,))
        found[state] = named(ops.reshape(part, shape), letters, frame)
        start += size
    return Vec(found)


def entry_of(rel: RelationView, state: str, axes: str | None) -> tuple[str, tuple[int, ...]]:
    """Return letters and shape of what is kept for one state."""
    letters = rel.axes.y if axes is None else axes
    shape = tuple(rel.relation.extents[c] for c in letters)
    place = rel.relation.places[state]
    return (letters + POSITION, (*shape, place.width)) if place.wide else (letters, shape)


def zeros_of(rel: RelationView, shape: tuple[int, ...]) -> Tracer:
    """Return flat zeros."""
    assert rel.step is not None
    b, size = rel.step.builder, 1
    for n in shape:
        size *= n
    zero: Tracer = ops.full(b, (size,), 0.0, b.float_dtype)
    return zero


def _flat(x: Tracer) -> Tracer:
    flat: Tracer = ops.reshape(x, (x.size,))
    return flat
