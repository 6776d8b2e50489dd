r"""Decompositions of matrices: `qr`, `svd` and `eigh`, of the last two axes of an array.

A decomposition is unique up to signs only (where no singular value or eigenvalue repeats), and
libraries choose them differently. Here they are settled: in each left singular vector and each
eigenvector the component of the largest magnitude is positive, the first of those equal to
rounding, and the diagonal of ``R`` is not negative. So all backends agree.

The functions are written once, in the array-API standard with its extension ``linalg``; every
backend calls them with its own namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import TypeRuleError
from ..primitive import NoDerivative, Primitive, register
from ..types import TensorType
from .base import fronted

Decomposition = Callable[[Any, Any], tuple[Any, ...]]


def qr(xp: Any, x: Any) -> tuple[Any, Any]:
    r"""Return ``Q`` (m, k) and ``R`` (k, n) of an (m, n) array, k the smaller extent.

    .. math:: X = Q R, \quad Q^\top Q = I, \quad R \text{ upper triangular}, \; R_{ii} \ge 0
    """
    q, r = xp.linalg.qr(x)
    rows, cols = r.shape[-2:]
    diagonal = xp.sum(r * xp.eye(rows, cols, dtype=r.dtype), axis=-1)
    signs = 1 - 2 * xp.astype(diagonal < 0, r.dtype)
    return q * signs[..., None, :], r * signs[..., :, None]


def svd(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    r"""Return ``U`` (m, k), ``s`` (k,) and ``V^T`` (k, n) of an (m, n) array.

    .. math:: X = U \operatorname{diag}(s) V^\top, \quad s_1 \ge s_2 \ge \dots \ge 0
    """
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    signs = _signs(xp, u)
    return u * signs[..., None, :], s, vh * signs[..., :, None]


def eigh(xp: Any, x: Any) -> tuple[Any, Any]:
    r"""Return the eigenvalues (n,) of ``(X + X^T) / 2``, ascending, and eigenvectors as columns.

    .. math:: \tfrac12 (X + X^\top) = V \operatorname{diag}(\lambda) V^\top
    """
    values, vectors = xp.linalg.eigh((x + xp.matrix_transpose(x)) / 2)
    return values, vectors * _signs(xp, vectors)[..., None, :]


def _signs(xp: Any, columns: Any) -> Any:
    """Return the sign of the largest component of each column."""
    size = xp.abs(columns)
    # Equal magnitudes, as of the eigenvectors (1, -1), differ by rounding between libraries.
    nearly = 1 - float(xp.finfo(columns.dtype).eps) ** 0.5
    largest = xp.astype(size >= nearly * xp.max(size, axis=-2, keepdims=True), xp.int32)
    first = xp.argmax(largest, axis=-2, keepdims=True)
    places = xp.reshape(xp.arange(columns.shape[-2], dtype=first.dtype), (-1, 1))
    chosen = columns * xp.astype(places == first, columns.dtype)
    return 1 - 2 * xp.astype(xp.sum(chosen, axis=-2) < 0, columns.dtype)


def decompose(name: str, xp: Any, x: Any) -> tuple[Any, ...]:
    """Return the results of a decomposition; those of a matrix that is not finite are NaN.

    Libraries lack it for half precision, which is computed in single.

    Raises
    ------
    TypeRuleError
        If the array does not hold floats.
    """
    if not xp.isdtype(x.dtype, "real floating") and "float" not in str(x.dtype):
        raise TypeRuleError(f"`{name}` needs an array of float matrices, got {x.dtype}")
    wide = x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)
    finite = xp.all(xp.isfinite(wide), axis=(-2, -1))
    zeros, nans = (xp.asarray(number, dtype=wide.dtype) for number in (0.0, np.nan))
    parts = FUNCTIONS[name](xp, xp.where(finite[..., None, None], wide, zeros))
    lead = len(finite.shape)
    return tuple(
        xp.astype(
            xp.where(xp.reshape(finite, finite.shape + (1,) * (len(p.shape) - lead)), p, nans),
            x.dtype,
        )
        for p in parts
    )


FUNCTIONS: dict[str, Decomposition] = {"qr": qr, "svd": svd, "eigh": eigh}


def _shapes(name: str, m: int, n: int) -> list[tuple[int, ...]]:
    """Return the shapes of the results, without leading axes."""
    k = min(m, n)
    if name == "qr":
        return [(m, k), (k, n)]
    return [(m, k), (k,), (k, n)] if name == "svd" else [(n,), (n, n)]


def _declare(name: str) -> None:
    def infer(x: Operand) -> tuple[TensorType, ...]:
        if x.type.rank < 2 or not x.type.dtype.is_float:
            raise TypeRuleError(f"`{name}` needs an array of float matrices, got {x.type}")
        *lead, m, n = x.type.shape
        if not m or not n:
            raise TypeRuleError(f"`{name}` needs matrices with elements, got {x.type}")
        if name == "eigh" and m != n:
            raise TypeRuleError(f"`eigh` needs square matrices, got {x.type}")
        return tuple(x.type.with_shape((*lead, *shape)) for shape in _shapes(name, m, n))

    def batch(operands: Any, axes: Any, size: int) -> Any:
        results = getattr(ops, name)(*fronted(operands, axes))
        return list(results), [0] * len(results)

    register(
        Primitive(
            name=name,
            infer=infer,
            reference=partial(decompose, name, np),
            jvp=NoDerivative(f"`{name}`", "let no gradient reach it: etp.stop_gradient(x)"),
            batch=batch,
            positions="mixing",
        )
    )


for _name in FUNCTIONS:
    _declare(_name)
