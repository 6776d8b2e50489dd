"""Reading arrays over states at the places that a relation covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Operand, Program, Value
from etp_ir.primitive import get
from etp_ir.tracer import Tracer
from etp_ir.types import TensorType

from ..rules.algebra import POSITION, Vec, named
from .coverage import Place
from .positions import NONE, Targets
from .structure import HiddenParamOpRelation, Structure


def at_places(relation: HiddenParamOpRelation, arrays: Mapping[str, Tracer]) -> Vec:
    """Return arrays over states, read at the positions that a relation covers."""
    axes = relation.axes
    found = {}
    for state, place in relation.places.items():
        if state in arrays:
            letters = "" if place.everywhere else axes.at
            letters += POSITION if place.wide else ""
            found[state] = named(at_positions(arrays[state], place), letters, axes.frame)
    return Vec(found)


def together(structure: Structure, relation: HiddenParamOpRelation) -> tuple[str, ...]:
    """Return the states that hold the units which a relation's products reach.

    They are the new values that its learning signals arrive at, the others held fixed. Units of one
    value that are held in two states are no two layers, though they are two groups.
    """
    new = {n: _origin(structure.program, after) for n, (_, after) in structure.states.items()}
    mine = {new[n] for n in relation.states}
    near = [r for r in structure.relations if not set(r.uses).isdisjoint(relation.uses)]
    others = [n for r in near for n in r.states if new[n] in mine]
    return tuple(dict.fromkeys((*relation.states, *others)))


def _origin(program: Program, value: Operand) -> Operand:
    """Return what a value is a part or a rearrangement of."""
    while isinstance(value, Value):
        node = program.producers.get(value)
        if node is None or node.primitive.positions != "structural" or len(node.inputs) != 1:
            break
        value = node.inputs[0]
    return value


def at_positions(x: Tracer, place: Place) -> Tracer:
    """Return an array over the positions of a state, read at a place.

    Its shape is that of the place's index; or flat for all positions.
    """
    if place.index is None:
        return ops.reshape(x, (place.size,))
    if x.shape == place.index.shape and _aligned(place.index):
        return x
    # An element of y that reaches nothing has u = 0: which position it reads is immaterial.
    return take(ops.reshape(x, (x.size,)), np.maximum(place.index, 0))


def take(x: Tracer, index: np.ndarray[Any, Any]) -> Tracer:
    """Return rows of an array; 0 where the index is `NONE`."""
    n, *rest = x.shape
    flat = index.ravel()
    if (flat == NONE).any():
        zero = ops.full(x.builder, (1, *rest), 0.0, x.dtype)
        x, flat = ops.concat([x, zero], 0), np.where(flat == NONE, n, flat)
        n += 1
    shape = (*index.shape, *rest)
    copies = flat.size // n
    if copies * n == flat.size and np.array_equal(flat, np.tile(np.arange(n), copies)):
        kept = tuple(range(1, x.ndim + 1))
        spread = x if copies == 1 else ops.broadcast(x, (copies, *x.shape), kept)
        return ops.reshape(spread, shape)
    values = tuple(int(i) for i in flat)
    attrs = {"values": values, "shape": (flat.size,)}
    table = Tracer(x.builder, x.builder.emit(get("table"), [], attrs)[0])
    return ops.reshape(ops.gather(x, table, 0), shape)


def unit(builder: Builder, type: TensorType) -> Tracer:
    """Return the unit arrays of a type, one for each element, on a new first axis."""
    n = type.size
    found: Tracer = ops.reshape(ops.eye(builder, n, type.dtype), (n, *type.shape))
    return found


def _aligned(index: Targets) -> bool:
    return bool(np.array_equal(index.ravel(), np.arange(index.size)))
