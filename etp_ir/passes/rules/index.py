"""Rules of `scatter_add`: what is summed next is added up where it is scattered."""

from __future__ import annotations

import math
from itertools import accumulate
from operator import mul
from typing import Any

from ... import ops
from ..rewrite import Match, rule


@rule("reduce_sum")
def sum_of_scattered(m: Match) -> Any:
    """Rewrite sum(scatter x) -> scatter(sum x), over axes along which nothing is scattered."""
    node = m.sole(m.args[0], "scatter_add")
    axes = m.attrs["axes"]
    if node is None or not axes or node.attrs["axis"] in axes:
        return None
    x, indices = m.inputs(node)
    axis = node.attrs["axis"]
    inner = [a if a < axis else a + indices.ndim - 1 for a in axes]
    axis -= sum(a < axis for a in axes)
    return ops.scatter_add(ops.reduce_sum(x, inner), indices, axis, node.attrs["extent"])


@rule("reduce_sum")
def sum_of_blocks(m: Match) -> Any:
    """Scatter into one block what is scattered into blocks that are summed next.

    Gradients of rows looked up by each example meet in one table, not in a table per example.
    """
    node = m.sole(m.args[0], "reshape")
    scatter = m.sole(m.inputs(node)[0], "scatter_add") if node is not None else None
    if scatter is None or scatter.attrs["axis"] != 0:
        return None
    shape, axes, extent = m.args[0].shape, sorted(m.attrs["axes"]), scatter.attrs["extent"]
    k = len(axes)
    blocks = math.prod(shape[:k])
    if axes != list(range(k)) or blocks < 2 or extent not in list(accumulate(shape, mul))[k:]:
        return None
    x, indices = m.inputs(scatter)
    rows = extent // blocks
    return ops.reshape(ops.scatter_add(x, ops.rem(indices, rows), 0, rows), shape[k:])
