"""Which integers the inputs of a step may hold: those that its embeddings look up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.core import Operand, Program
from etp_ir.errors import compose
from etp_ir.source import Source

from .sequences import DataError

# Operations that move elements and change none.
MOVES = ("reshape", "slice", "permute", "broadcast", "reverse", "cast")


@frozen(eq=False)
class IndexRange:
    """Elements of an input that look up rows.

    Attributes
    ----------
    name
        The input.
    places
        Which elements of the input of one step and one example are indices, counted flat.
    rows
        Number of rows; indices are from 0 to one less.
    source
        The user's line of the embedding.
    """

    name: str
    places: np.ndarray[Any, Any]
    rows: int
    source: Source | None


def index_ranges(program: Program) -> tuple[IndexRange, ...]:
    """Return the ranges for inputs of a step that embeddings look up as they are."""
    found = []
    for node in program.nodes:
        if node.primitive.name != "etp.embedding":
            continue
        indices, weight = node.inputs
        held = _origin(program, indices)
        if held is not None:
            found.append(IndexRange(held[0], held[1], weight.type.shape[0], node.source))
    return tuple(found)


def _origin(program: Program, x: Operand) -> tuple[str, np.ndarray[Any, Any]] | None:
    """Return the input that a value is made of by moves alone, and the places of its elements."""
    inputs = {p.value: p for p in program.inputs_of("input")}
    chain = []
    while x in program.producers:
        node = program.producers[x]
        integers = all(v.type.dtype.kind in ("int", "uint") for v in node.inputs)
        if node.primitive.name not in MOVES or len(node.inputs) != 1 or not integers:
            return None
        chain.append(node)
        (x,) = node.inputs
    if x not in inputs:
        return None
    places = np.arange(np.prod(x.type.shape, dtype=int)).reshape(x.type.shape)
    for node in reversed(chain):
        if node.primitive.name != "cast":
            places = np.asarray(node.primitive.reference(places, **node.attrs))
    return inputs[x].name, places.reshape(-1)


def check_indices(ranges: tuple[IndexRange, ...], xs: Mapping[str, Any]) -> None:
    """Raise if inputs (T, B, ...) hold an integer that an embedding has no row for.

    Raises
    ------
    DataError
        With the first such index, its place, and the user's line of the embedding.
    """
    for r in ranges:
        data = np.asarray(xs[r.name])
        used = data.reshape(*data.shape[:2], -1)[..., r.places]
        wrong = (used < 0) | (used >= r.rows)
        if wrong.any():
            step, example, _ = np.argwhere(wrong)[0]
            where = f"at {r.source}" if r.source else ""
            raise DataError(compose(
                f"input {r.name} holds the index {used[wrong][0]} (step {step}, example "
                f"{example}), and `etp.embedding` looks it up among {r.rows} rows",
                where=where, how=f"give indices from 0 to {r.rows - 1}; the first row is 0",
            ))  # fmt: skip
