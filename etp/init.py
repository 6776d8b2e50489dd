"""Initial weights as NumPy float32 arrays; the first argument is a generator or a seed.

Shapes are (inputs, outputs); further axes in front, as in a convolution, multiply both. Layers
take an initialiser as ``w_init``: a function of this module, its name, one of these with other
options (``functools.partial(he, gain=0.5)``), or a function ``(rng, shape) -> array``. What draws
nothing can be called without the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any, overload

import numpy as np

from etp_ir.errors import ModelError, ShapeError, nearest

from .given import mistake

Array = np.ndarray[Any, np.dtype[np.float32]]
Rng = np.random.Generator | int | None
Initializer = Callable[[Any, Sequence[int]], Array] | str
Shape = Sequence[int] | int


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return the number of inputs of an output, and of outputs of an input."""
    if len(shape) < 2:
        return prod(shape), prod(shape)
    field = prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


@overload
def zeros(shape: Shape, /) -> Array: ...
@overload
def zeros(rng: Any, shape: Shape) -> Array: ...
def zeros(rng: Any = None, shape: Any = None) -> Array:
    """Return zeros: ``zeros(shape)``, or ``zeros(rng, shape)`` like every initialiser."""
    return np.zeros(rng if shape is None else shape, np.float32)


@overload
def ones(shape: Shape, /) -> Array: ...
@overload
def ones(rng: Any, shape: Shape) -> Array: ...
def ones(rng: Any = None, shape: Any = None) -> Array:
    """Return ones: ``ones(shape)``, or ``ones(rng, shape)`` like every initialiser."""
    return np.ones(rng if shape is None else shape, np.float32)


@overload
def constant(shape: Shape, number: float, /) -> Array: ...
@overload
def constant(shape: Shape, /, *, number: float) -> Array: ...
@overload
def constant(rng: Any, shape: Shape, number: float) -> Array: ...
def constant(rng: Any = None, shape: Any = None, number: Any = None) -> Array:
    """Return one number everywhere: ``constant(shape, number)``, or with a generator before.

    As an initialiser it is ``functools.partial(constant, number=0.1)``.

    Raises
    ------
    ModelError
        If there is no number.
    """
    if shape is None:
        shape = rng
    elif number is None:
        shape, number = rng, shape
    if number is None or np.ndim(number):
        raise mistake(
            ModelError, "etp.init.constant without its number",
            "as w_init, give functools.partial(etp.init.constant, number=0.1)",
        )  # fmt: skip
    return np.full(shape, number, np.float32)


def uniform(rng: Rng, shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> Array:
    """Return numbers drawn uniformly between ``low`` and ``high``."""
    return np.random.default_rng(rng).uniform(low, high, tuple(shape)).astype(np.float32)


def normal(rng: Rng, shape: Sequence[int], std: float = 1.0, mean: float = 0.0) -> Array:
    """Return normally distributed numbers."""
    return np.random.default_rng(rng).normal(mean, std, tuple(shape)).astype(np.float32)


def truncated_normal(rng: Rng, shape: Sequence[int], std: float = 1.0, limit: float = 2.0) -> Array:
    """Return normal numbers drawn again until none lies beyond ``limit`` standard deviations.

    ``std`` is that of the normal distribution before it is cut; cut at 2, what is returned has
    0.88 of it.

    Raises
    ------
    ModelError
        If the limit is not positive.
    """
    if not limit > 0:
        raise ModelError(f"a normal distribution cannot be cut at {limit}; give a positive limit")
    rng = np.random.default_rng(rng)
    draw = rng.normal(size=tuple(shape))
    while (beyond := np.abs(draw) > limit).any():
        draw[beyond] = rng.normal(size=int(beyond.sum()))
    return (std * draw).astype(np.float32)


def glorot(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return uniform numbers of variance ``2 gain² / (inputs + outputs)``.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    bound = gain * sqrt(6.0 / max(1, sum(_fans(shape))))
    return uniform(rng, shape, -bound, bound)


def glorot_normal(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return normal numbers of the variance of `glorot`."""
    return normal(rng, shape, gain * sqrt(2.0 / max(1, sum(_fans(shape)))))


def he(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return normal numbers of variance ``2 gain² / inputs``, for rectified units.

    He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    return normal(rng, shape, gain * sqrt(2.0 / max(1, _fans(shape)[0])))


def he_uniform(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return uniform numbers of the variance of `he`."""
    return lecun_uniform(rng, shape, gain * sqrt(2.0))


def lecun(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return normal numbers of variance ``gain² / inputs``.

    LeCun et al., "Efficient BackProp", 1998.
    """
    return normal(rng, shape, gain * sqrt(1.0 / max(1, _fans(shape)[0])))


def lecun_uniform(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return uniform numbers of the variance of `lecun`."""
    bound = gain * sqrt(3.0 / max(1, _fans(shape)[0]))
    return uniform(rng, shape, -bound, bound)


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


def sparse(rng: Rng, shape: Sequence[int], k: int = 15, std: float = 1.0) -> Array:
    """Return a matrix with ``k`` normal numbers in each column, its other elements zero.

    Every unit then listens to ``k`` inputs, or to all where there are fewer, whatever their
    number. Martens, "Deep learning via Hessian-free optimization", ICML 2010.
    """
    rows, columns = _matrix(shape)
    rng = np.random.default_rng(rng)
    order = rng.permuted(np.tile(np.arange(rows)[:, None], (1, columns)), axis=0)
    w = np.where(order < k, rng.normal(0.0, std, (rows, columns)), 0.0)
    return w.astype(np.float32)


def excitatory_inhibitory(
    rng: Rng, shape: Sequence[int], excitatory: float = 0.8, gain: float = 1.0
) -> Array:
    """Return a matrix whose rows have one sign each, in balance: every column sums to zero.

    The first rows, a fraction ``excitatory`` of them, are positive and the others negative and
    as much stronger as they are fewer. The mean square is ``gain² / inputs``.

    Dale's principle; Rajan & Abbott, "Eigenvalue spectra of random matrices for neural
    networks", Physical Review Letters 2006.

    Raises
    ------
    ModelError
        If the fraction leaves no row of one sign.
    """
    rows, columns = _matrix(shape)
    split = round(excitatory * rows)
    if not 0 < split < rows:
        raise ModelError(
            f"a fraction {excitatory} of {rows} rows leaves none of one sign; "
            "give one that leaves a row of each"
        )
    size = np.abs(np.random.default_rng(rng).normal(size=(rows, columns)))
    size[:split] /= size[:split].sum(axis=0)
    size[split:] /= -size[split:].sum(axis=0)
    return (size * gain / sqrt(rows * np.mean(size**2))).astype(np.float32)


def identity(rng: Rng, shape: Sequence[int], gain: float = 1.0) -> Array:
    """Return ``gain`` on the diagonal and zero elsewhere; nothing is drawn.

    Le, Jaitly & Hinton, "A simple way to initialize recurrent networks of rectified linear
    units", 2015.
    """
    return (gain * np.eye(*_matrix(shape))).astype(np.float32)


def diagonal(rng: Rng, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Array:
    """Return numbers drawn uniformly on the diagonal and zero elsewhere."""
    w = zeros(_matrix(shape))
    np.fill_diagonal(w, uniform(rng, (min(shape),), low, high))
    return w


def _matrix(shape: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of the shape of a matrix."""
    if len(shape) != 2:
        raise ModelError(f"a matrix has two axes, got the shape {tuple(shape)}")
    return int(shape[0]), int(shape[1])


# -- initialisers as layers take them --------------------------------------------------------
INITIALIZERS: dict[str, Callable[[Any, Sequence[int]], Array]] = {
    f.__name__: f
    for f in (
        zeros, ones, uniform, normal, truncated_normal, glorot, glorot_normal, he, he_uniform,
        lecun, lecun_uniform, orthogonal, sparse, excitatory_inhibitory, identity, diagonal,
    )
}  # fmt: skip


def drawn(initializer: Initializer, rng: Rng, shape: Sequence[int]) -> Array:
    """Return what an initialiser, or the function of this module of that name, makes.

    Raises
    ------
    ModelError
        If it is neither a function nor a name of one, with the user's line.
    ShapeError
        If the array has another shape, with the user's line.
    """
    if isinstance(initializer, str):
        if initializer not in INITIALIZERS:
            known = nearest(initializer, [*INITIALIZERS])
            raise mistake(
                ModelError, f"no initialiser {initializer!r}{known}",
                "give the name of a function of etp.init, or a function (rng, shape) -> array",
            )  # fmt: skip
        initializer = INITIALIZERS[initializer]
    if not callable(initializer):
        raise mistake(
            ModelError, f"an initialiser is a function or a name, got {initializer!r}",
            "give etp.init.glorot or another; for given numbers, lambda rng, shape: array",
        )  # fmt: skip
    array = initializer(rng, shape)
    if np.shape(array) != tuple(shape):
        raise mistake(
            ShapeError, f"an initialiser made {np.shape(array)} where {tuple(shape)} was asked for",
            "return an array of the shape that it is called with",
        )  # fmt: skip
    return array
