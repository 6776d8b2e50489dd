"""Convolutions as the one operation of XLA that has all their options."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import jax
from jax import lax

from etp_ir.windows import windows_of


def conv(
    x: jax.Array, w: jax.Array, *, strides: Sequence[int], padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int], rhs_dilation: Sequence[int], groups: int,
) -> jax.Array:  # fmt: skip
    """Return the convolution of ``x`` [..., C, *S] with ``w`` [O, C / groups, *K]."""
    spatial = len(strides)
    lead, kept = x.shape[: x.ndim - spatial - 1], x.shape[x.ndim - spatial - 1 :]
    windows = windows_of(
        kept[1:], w.shape[2:], strides=strides, padding=padding,
        lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation,
    )  # fmt: skip
    shape = (*lead, w.shape[0], *(v.results for v in windows))
    if 0 in shape or 0 in x.shape:
        return lax.full(shape, 0, x.dtype)
    y = lax.conv_general_dilated(
        lax.reshape(x, (prod(lead), *kept)), w, strides, padding, lhs_dilation, rhs_dilation,
        feature_group_count=groups, precision=lax.Precision.HIGHEST,
    )  # fmt: skip
    return lax.reshape(y, shape)
