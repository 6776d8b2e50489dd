"""Rules of products at the nonzeros of a sparse matrix."""

from __future__ import annotations

from typing import Any

from ... import ops
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
