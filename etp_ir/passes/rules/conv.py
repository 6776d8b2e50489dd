"""Rules of `conv`: what is summed over examples is summed inside."""

from __future__ import annotations

from math import prod
from typing import Any

from ... import ops
from ..rewrite import Match, rule


@rule("conv")
def conv_of_zeros(m: Match) -> Any:
    """Return zeros for a convolution with zeros."""
    return 0 if any(m.constant(x) == 0 for x in m.args) else None


@rule("reduce_sum")
def sum_of_groups(m: Match) -> Any:
    """Sum groups of channels inside the convolution that computes each of them apart.

    The gradient of a kernel for a batch is a convolution in as many groups as there are examples;
    summed over the examples it is one in which they are input channels of one group.
    """
    split = m.sole(m.args[0], "reshape")
    node = split and m.sole(m.inputs(split)[0], "conv")
    if split is None or node is None:
        return None
    y, shape = node.output.type.shape, m.args[0].shape
    kept, axes = len(node.attrs["strides"]), sorted(m.attrs["axes"])
    lead, places = y[: len(y) - kept - 1], y[len(y) - kept :]
    parts = shape[len(lead) : len(shape) - kept]
    whole = shape == (*lead, *parts, *places) and prod(parts) == y[len(lead)]
    first = list(range(len(lead), len(lead) + len(axes)))
    if not axes or not whole or axes != first or len(axes) > len(parts):
        return None
    count, groups = prod(parts[: len(axes)]), node.attrs["groups"]
    if not count or groups % count:
        return None
    groups //= count
    x, w = m.inputs(node)
    out, inside, *taps = w.shape
    at = len(lead)
    x = ops.reshape(x, (*lead, count, groups, inside, *x.shape[at + 1 :]))
    x = ops.permute(x, (*range(at), at + 1, at, *range(at + 2, x.ndim)))
    w = ops.reshape(w, (count, groups, out // (count * groups), inside, *taps))
    w = ops.permute(w, (1, 2, 0, *range(3, w.ndim)))
    summed = ops.conv(
        ops.reshape(x, (*lead, groups * count * inside, *x.shape[at + 3 :])),
        ops.reshape(w, (out // count, count * inside, *taps)),
        **{**node.attrs, "groups": groups},
    )  # fmt: skip
    return ops.reshape(summed, (*lead, *parts[len(axes) :], *places))
