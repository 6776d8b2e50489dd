"""Contractions and sums, each lowered to the XLA operation that its letters ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from etp_ir.primitives.contract import parse_spec

# Measured on a CPU: with no more columns than this a product is cheaper as a loop than a
# transposed copy of its larger operand, and a batch of smaller products cheaper than calls.
THIN = 8
TINY = 64
# Sums over this many leading rows, of no more than so many columns, are matrix products.
ROWS = 64
COLUMNS = 1024


def contract(x: jax.Array, y: jax.Array, *, spec: str, cpu: bool) -> jax.Array:
    """Return the two-operand einsum ``spec``.

    Without a summed letter it is a product of broadcast operands. Otherwise it is one matrix
    product, or a multiplication and a sum where a matrix product would be mostly copying.
    """
    parsed = parse_spec(spec)
    out = parsed.out
    x, xs = _without_lone(x, parsed.x, parsed.y + out, cpu)
    y, ys = _without_lone(y, parsed.y, parsed.x + out, cpu)
    sizes = dict(zip(xs + ys, x.shape + y.shape, strict=True))
    if all(c in out for c in xs):
        return _spread(x, xs, out, sizes) * _spread(y, ys, out, sizes)
    if y.size > x.size:
        x, xs, y, ys = y, ys, x, xs
    if _prefers_loop(xs, ys, out, sizes):
        return _loop(x, xs, y, ys, out, sizes, cpu)
    return _dot(x, xs, y, ys, out, sizes, cpu)


def reduce_sum(x: jax.Array, *, axes: Sequence[int], cpu: bool) -> jax.Array:
    """Return the sum over axes."""
    k = len(axes)
    rows, columns = prod(x.shape[:k]), prod(x.shape[k:])
    leading = sorted(axes) == list(range(k)) and x.dtype in (jnp.float32, jnp.float64)
    # XLA's CPU loop over leading axes walks down the columns: for many short rows (the gradient
    # of a bias over a sequence) a vector-matrix product is 5 times faster.
    if cpu and leading and rows >= ROWS and 1 < columns <= COLUMNS:
        ones = lax.full((rows,), 1, x.dtype)
        total = lax.dot(ones, lax.reshape(x, (rows, columns)), precision=lax.Precision.HIGHEST)
        return lax.reshape(total, x.shape[k:])
    return jnp.sum(x, axis=tuple(axes), dtype=x.dtype)


def _prefers_loop(xs: str, ys: str, out: str, sizes: Mapping[str, int]) -> bool:
    """Whether to multiply and sum, ``xs`` being the larger operand.

    A matrix product would first copy an operand whose batch axes do not lead; the loop reads it
    once, fused with what made it (3 to 20 times faster for a per-example trace).
    """
    rows = prod(sizes[c] for c in xs if c not in ys)
    columns = prod(sizes[c] for c in ys if c not in xs)
    depth = prod(sizes[c] for c in xs if c in ys and c not in out)
    batched = any(c in ys and c in out for c in xs)
    if batched and rows * depth * columns <= TINY:
        return True
    return min(rows, columns) <= THIN and not _is_matrix(xs, ys, out)


def _is_matrix(term: str, other: str, out: str) -> bool:
    """Whether an operand is, as it lies, batch axes followed by a matrix."""
    kinds = ["free" if c not in other else "batch" if c in out else "summed" for c in term]
    runs = [k for i, k in enumerate(kinds) if i == 0 or k != kinds[i - 1]]
    return len(runs) == len(set(runs)) and "batch" not in runs[1:]


def _loop(
    x: jax.Array, xs: str, y: jax.Array, ys: str, out: str, sizes: Mapping[str, int], cpu: bool
) -> jax.Array:
    order = xs + "".join(c for c in ys if c not in xs)
    product = _spread(x, xs, order, sizes) * _spread(y, ys, order, sizes)
    total = reduce_sum(product, axes=[i for i, c in enumerate(order) if c not in out], cpu=cpu)
    return _permuted(total, "".join(c for c in order if c in out), out)


def _dot(
    x: jax.Array, xs: str, y: jax.Array, ys: str, out: str, sizes: Mapping[str, int], cpu: bool
) -> jax.Array:
    """Return one matrix product; the larger operand ``x`` sets the order of shared axes."""
    batch = "".join(c for c in xs if c in ys and c in out)
    summed = "".join(c for c in xs if c in ys and c not in out)
    if next((c for c in out if c not in batch), "") in ys:
        # The product gives the free axes of its first operand first.
        x, xs, y, ys = y, ys, x, xs
    made = batch + "".join(c for c in xs if c not in ys) + "".join(c for c in ys if c not in xs)
    if cpu:
        # Two plain matrices go to Eigen as they lie; with several summed axes XLA would copy
        # one of them transposed (31 against 21 us for a weight gradient over a sequence).
        x, xs = _collapsed(x, xs, batch, summed)
        y, ys = _collapsed(y, ys, batch, summed)
        batch, summed = batch[:1], summed[:1]
    axes = (_places(summed, xs, ys), _places(batch, xs, ys))
    result = lax.dot_general(x, y, axes, precision=lax.Precision.HIGHEST)
    return _permuted(lax.reshape(result, [sizes[c] for c in made]), made, out)


def _places(letters: str, xs: str, ys: str) -> tuple[list[int], list[int]]:
    """Return where the letters stand in both terms."""
    return [xs.index(c) for c in letters], [ys.index(c) for c in letters]


def _collapsed(a: jax.Array, term: str, batch: str, summed: str) -> tuple[jax.Array, str]:
    """Return the operand with each group of axes merged into one, called by its first letter."""
    free = "".join(c for c in term if c not in batch + summed)
    groups = sorted((g for g in (batch, free, summed) if g), key=lambda g: term.index(g[0]))
    if "".join(groups) != term:
        groups = [g for g in (batch, free, summed) if g]
        a, term = _permuted(a, term, "".join(groups)), "".join(groups)
    shape = dict(zip(term, a.shape, strict=True))
    merged = lax.reshape(a, [prod(shape[c] for c in g) for g in groups])
    return merged, "".join(g[0] for g in groups)


def _without_lone(a: jax.Array, term: str, others: str, cpu: bool) -> tuple[jax.Array, str]:
    """Return the operand summed over the letters that occur nowhere else."""
    lone = [i for i, c in enumerate(term) if c not in others]
    if not lone:
        return a, term
    return reduce_sum(a, axes=lone, cpu=cpu), "".join(c for c in term if c in others)


def _spread(a: jax.Array, term: str, letters: str, sizes: Mapping[str, int]) -> jax.Array:
    """Return the operand repeated to all the letters."""
    order = "".join(c for c in letters if c in term)
    shape = [sizes[c] for c in letters]
    return lax.broadcast_in_dim(_permuted(a, term, order), shape, [letters.index(c) for c in order])


def _permuted(a: jax.Array, term: str, order: str) -> jax.Array:
    """Return the operand with its axes in another order."""
    return a if term == order else lax.transpose(a, [term.index(c) for c in order])
