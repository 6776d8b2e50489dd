"""Rules of products at the nonzeros of a sparse matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...core import Node
from ..rewrite import Match, rule


@rule("sparse_contract", "sparse_sample")
def zero_product(m: Match) -> Any:
    """Return zeros for a product with zeros."""
    return 0 if any(m.constant(x) == 0 for x in m.args[:2]) else None


@rule("reduce_sum")
def summed_sample(m: Match) -> Any:
    """Sum over kept axes within the sampled product, where the sum need not be held."""
    node = m.sole(m.args[0], "sparse_sample")
    if node is None:
        return None
    kept, axes = node.attrs["kept"], m.attrs["axes"]
    if not axes or kept in axes:
        return None
    x, y, rows, cols = m.inputs(node)
    order = [i for i in range(kept) if i not in axes]
    order += [i for i in range(x.ndim) if i not in order]
    x, y = ops.permute(x, order), ops.permute(y, order)
    return ops.sparse_sample(x, y, rows, cols, kept - len(axes), node.attrs["order"])


@rule("reduce_sum")
def summed_meeting(m: Match) -> Any:
    """Sum a product of looked-up operands where it is formed, nonzero by nonzero."""
    node = m.sole(m.args[0], "mul")
    if node is None or not m.attrs["axes"]:
        return None
    last = m.args[0].ndim - 1
    found = [m.definition(x, "gather") for x in m.inputs(node)]
    if last in m.attrs["axes"] or not _looked_up(found, last):
        return None
    (x, rows), (y, cols) = (m.inputs(gather) for gather in found if gather is not None)
    met = ops.sparse_sample(x, y, rows, cols, last, "none")
    return ops.reduce_sum(met, m.attrs["axes"])


def _looked_up(gathers: Sequence[Node | None], axis: int) -> bool:
    """Whether all are gathers along the axis by vectors of one element type."""
    types = [
        n.inputs[1].type
        for n in gathers
        if n is not None and n.attrs["axis"] == axis and n.inputs[0].type.dtype.is_float
    ]
    return len(types) == len(gathers) and all(t.rank == 1 and t.dtype.kind == "int" for t in types)
