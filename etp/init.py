"""Initial weights as NumPy float32 arrays; the first argument is a generator or a seed.

Shapes are (inputs, outputs); further axes in front, as in a convolution, multiply both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Rng = np.random.Generator | int | None
Initializer = Callable[[Any, Sequence[int]], Array]


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return the number of inputs of an output, and of outputs of an input."""
    if len(shape) < 2:
        return prod(shape), prod(shape)
    field = prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def zeros(shape: Sequence[int]) -> Array:
    """Return zeros."""
    return np.zeros(shape, np.float32)


def ones(shape: Sequence[int]) -> Array:
    """Return ones."""
    return np.ones(shape, np.float32)


def constant(shape: Sequence[int], number: float) -> Array:
    """Return one number everywhere."""
    return np.full(shape, number, np.float32)


def uniform(rng: Rng, shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> Array:
    """Return numbers drawn uniformly between ``low`` and ``high``."""
    return np.random.default_rng(rng).uniform(low, high, tuple(shape)).astype(np.float32)


def normal(rng: Rng, shape: Sequence[int], std: float = 1.0, mean: float = 0.0) -> Array:
    """Return normally distributed numbers."""
    return np.random.default_rng(rng).normal(mean, std, tuple(shape)).astype(np.float32)


def glorot(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return uniform numbers of variance ``2 gain² / (inputs + outputs)``.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    bound = gain * sqrt(6.0 / max(1, sum(_fans(shape))))
    return uniform(rng, shape, -bound, bound)


def he(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return normal numbers of variance ``2 gain² / inputs``, for rectified units.

    He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    return normal(rng, shape, gain * sqrt(2.0 / max(1, _fans(shape)[0])))


def lecun(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return normal numbers of variance ``gain² / inputs``.

    LeCun et al., "Efficient BackProp", 1998.
    """
    return normal(rng, shape, gain * sqrt(1.0 / max(1, _fans(shape)[0])))


def orthogonal(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return a matrix with orthonormal rows or columns, times ``gain``.

    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014.
    """
    rows, columns = prod(shape[:-1]), shape[-1]
    draw = np.random.default_rng(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draw)
    q = q * np.sign(np.diag(r))  # makes the factorisation, hence the distribution, unique
    return (gain * (q if rows >= columns else q.T)).reshape(tuple(shape)).astype(np.float32)
