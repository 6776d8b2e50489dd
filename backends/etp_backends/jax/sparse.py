"""Products at the nonzeros of a sparse matrix, as gathers and segment sums."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

# Numbers met at the nonzeros that are held at once; more are worked on in blocks.
BLOCK = 1 << 24


def contract(
    x: jax.Array, data: jax.Array, rows: jax.Array, cols: jax.Array, *, extent: int, order: str
) -> jax.Array:
    """Return ``x @ M`` for the matrix with ``data`` at ``rows, cols``."""
    lead = x.shape[:-1]
    if not data.size or not prod(lead):
        return lax.full((*lead, extent), 0, x.dtype)

    def product(part: jax.Array) -> jax.Array:
        # One nonzero's numbers lie side by side: rows are read and added as wholes.
        met = _picked(part.T, rows) * data[:, None]
        total = jax.ops.segment_sum(
            met, cols, extent, indices_are_sorted=order == "cols", mode="promise_in_bounds"
        )
        return total.T

    flat = lax.reshape(x, (prod(lead), x.shape[-1]))
    return lax.reshape(_blocked(product, flat, data.size), (*lead, extent))


def sample(
    x: jax.Array, y: jax.Array, rows: jax.Array, cols: jax.Array, *, kept: int, order: str
) -> jax.Array:
    """Return ``x`` at ``rows`` times ``y`` at ``cols``, summed between ``kept`` and the last."""
    lead = x.shape[:-1]
    stack, depth = prod(lead[:kept]), prod(lead[kept:])
    if not rows.size or not stack * depth:
        return lax.full((*lead[:kept], rows.size), 0, x.dtype)
    # The sum is fused with what it sums: no array holds the products.
    a, b = (lax.reshape(z, (stack, depth, z.shape[-1])).transpose((2, 0, 1)) for z in (x, y))
    total = jnp.sum(_picked(a, rows) * _picked(b, cols), axis=-1, dtype=x.dtype)
    return lax.reshape(total.T, (*lead[:kept], rows.size))


def _picked(x: jax.Array, index: jax.Array) -> jax.Array:
    return x.at[index].get(mode="promise_in_bounds")


def _blocked(
    function: Callable[[jax.Array], jax.Array], x: jax.Array, width: int
) -> jax.Array:  # fmt: skip
    """Apply a function to some rows of ``x`` at a time, as each costs ``width`` numbers."""
    count = max(1, BLOCK // width)
    whole = x.shape[0] // count * count
    if whole <= count and whole == x.shape[0]:
        return function(x)
    parts = []
    if whole:
        done = lax.map(function, lax.reshape(x[:whole], (whole // count, count, x.shape[1])))
        parts.append(lax.reshape(done, (whole, done.shape[-1])))
    if whole < x.shape[0]:
        parts.append(function(x[whole:]))
    return lax.concatenate(parts, 0) if len(parts) > 1 else parts[0]
