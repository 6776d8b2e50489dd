"""Products at the nonzeros of a sparse matrix, as gathers and segment sums."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

# Numbers met at the nonzeros that are held at once; more are worked on in blocks.
SPREAD = 1 << 24
SAMPLED = 1 << 22


def contract(
    x: jax.Array, data: jax.Array, rows: jax.Array, cols: jax.Array, *, extent: int, order: str,
    cpu: bool,
) -> jax.Array:  # fmt: skip
    """Return ``x @ M`` for the matrix with ``data`` at ``rows, cols``."""
    lead = x.shape[:-1]
    # On a CPU the loop for sorted indices takes twice as long as the one for any.
    is_sorted = order == "cols" and not cpu
    if not data.size or not prod(lead):
        return lax.full((*lead, extent), 0, x.dtype)

    def product(part: jax.Array) -> jax.Array:
        # One nonzero's numbers lie side by side: rows are read and added as wholes.
        met = _picked(part.T, rows) * data[:, None]
        total = jax.ops.segment_sum(
            met, cols, extent, indices_are_sorted=is_sorted, mode="promise_in_bounds"
        )
        return total.T

    flat = lax.reshape(x, (prod(lead), x.shape[-1]))
    return lax.reshape(_blocked(product, flat, SPREAD // data.size), (*lead, extent))


def sample(
    x: jax.Array, y: jax.Array, rows: jax.Array, cols: jax.Array, *, kept: int, order: str
) -> jax.Array:
    """Return ``x`` at ``rows`` times ``y`` at ``cols``, summed between ``kept`` and the last."""
    lead = x.shape[:-1]
    stack, depth = prod(lead[:kept]), prod(lead[kept:])
    if not rows.size or not stack * depth:
        return lax.full((*lead[:kept], rows.size), 0, x.dtype)
    a, b = (lax.reshape(z, (stack, depth, z.shape[-1])).transpose((2, 0, 1)) for z in (x, y))

    def product(places: jax.Array) -> jax.Array:
        met = _picked(a, places[:, 0]) * _picked(b, places[:, 1])
        return jnp.sum(met, axis=-1, dtype=x.dtype)

    places = jnp.stack([rows, cols], axis=-1)
    total = _blocked(product, places, SAMPLED // (stack * depth))
    return lax.reshape(total.T, (*lead[:kept], rows.size))


def _picked(x: jax.Array, index: jax.Array) -> jax.Array:
    return x.at[index].get(mode="promise_in_bounds")


def _blocked(function: Callable[[jax.Array], jax.Array], x: jax.Array, count: int) -> jax.Array:
    """Apply a function of rows to so many rows of ``x`` at a time."""
    rows, count = x.shape[0], max(1, count)
    if rows <= count:
        return function(x)
    whole = rows // count * count
    done = lax.map(function, lax.reshape(x[:whole], (whole // count, count, x.shape[1])))
    done = lax.reshape(done, (whole, done.shape[-1]))
    return lax.concatenate([done, function(x[whole:])], 0) if whole < rows else done
