"""Where the nonzeros of a sparse weight lie, in one order, whatever they were given in."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir.errors import ModelError, ShapeError

from .given import mistake
from .init import Rng

Indices = np.ndarray[Any, np.dtype[np.int32]]


@frozen(eq=False)
class SparsePattern:
    """The places of the nonzeros of a matrix of shape (inputs, outputs).

    Make one with `sparse_pattern` or `random_pattern`. Where a matrix is used in many places or
    at many steps, making its pattern once saves sorting it each time.

    Attributes
    ----------
    rows, cols
        Place of each nonzero, sorted by column, then by row.
    shape
        Shape of the matrix.
    order
        ``data[order]`` are numbers given in the order of the user's format in the order of
        ``rows`` and ``cols``; None where the two orders are one.
    """

    rows: Indices = field(repr=False)
    cols: Indices = field(repr=False)
    shape: tuple[int, int]
    order: Indices | None = field(repr=False, default=None)

    @property
    def nnz(self) -> int:
        """Number of nonzeros."""
        return self.rows.size

    @property
    def fan_in(self) -> np.ndarray[Any, Any]:
        """Number of nonzeros in the column of each nonzero, in the order of the user's format."""
        counts = np.bincount(self.cols, minlength=self.shape[1])[self.cols]
        if self.order is None:
            return counts
        found = np.empty_like(counts)
        found[self.order] = counts
        return found


def sparse_pattern(sparse_mat: Any) -> SparsePattern:
    """Return the pattern of a sparse matrix.

    Parameters
    ----------
    sparse_mat
        A matrix or array of `scipy.sparse` in any format; an array of `jax.experimental.sparse`
        (BCOO, BCSR); any object with ``indices`` of shape (nonzeros, 2) and a ``shape``; a triple
        ``(rows, cols, shape)``; or a pattern. Stored zeros count as nonzeros.

    Raises
    ------
    ShapeError
        If it is not a matrix, or the indices are not two arrays of one length.
    ModelError
        If it is none of these, an index is out of range, or two nonzeros have one place.
    """
    if isinstance(sparse_mat, SparsePattern):
        return sparse_mat
    rows, cols, shape = _places(sparse_mat)
    if len(shape) != 2:
        raise mistake(
            ShapeError, f"a sparse weight is a matrix (inputs, outputs), got the shape {shape}",
            "give a matrix",
        )  # fmt: skip
    for name, index, extent in (("row", rows, shape[0]), ("column", cols, shape[1])):
        wrong = (index < 0) | (index >= extent)
        if wrong.any():
            n = int(wrong.argmax())
            raise mistake(
                ModelError, f"nonzero {n} of a sparse weight of shape {shape} lies at {name} "
                f"{index[n]}", f"give {name}s from 0 to {extent - 1}",
            )  # fmt: skip
    key = cols.astype(np.int64) * shape[0] + rows
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if again.size:
        a, b = sorted(int(order[again[0] + k]) for k in (0, 1))
        raise mistake(
            ModelError, f"nonzeros {a} and {b} of a sparse weight both lie at "
            f"({rows[a]}, {cols[a]})", "add them up first, for example by sum_duplicates()",
        )  # fmt: skip
    kept = None if np.array_equal(order, np.arange(order.size)) else order.astype(np.int32)
    return SparsePattern(
        rows[order].astype(np.int32), cols[order].astype(np.int32), (shape[0], shape[1]), kept
    )


def sparse_values(sparse_mat: Any) -> np.ndarray[Any, Any] | None:
    """Return the numbers of a sparse matrix in its own order, None where it has only places."""
    if isinstance(sparse_mat, (SparsePattern, tuple, list)):
        return None
    data = sparse_mat.tocoo().data if hasattr(sparse_mat, "tocoo") else sparse_mat.data
    return np.asarray(_host(data))


def random_pattern(rng: Rng, n_in: int, n_out: int, density: float) -> SparsePattern:
    """Return a pattern with a share of all places, drawn without making an array of them all.

    Parameters
    ----------
    rng
        Generator or seed.
    density
        Share of the places that are nonzeros.

    Raises
    ------
    ModelError
        If the density is not between 0 and 1.
    """
    if not 0 <= density <= 1:
        raise mistake(
            ModelError, f"the density of a sparse weight is a share of its places, got {density}",
            "give a number from 0 to 1",
        )  # fmt: skip
    rng = np.random.default_rng(rng)
    places, count = n_in * n_out, round(density * n_in * n_out)
    if 2 * count > places:
        chosen = rng.permutation(places)[:count]
    else:
        chosen = np.empty(0, np.int64)
        while chosen.size < count:
            more = rng.integers(0, places, count - chosen.size + count // 8 + 8)
            chosen = np.union1d(chosen, more)
        chosen = rng.permutation(chosen)[:count]
    cols, rows = np.divmod(np.sort(chosen), max(n_in, 1))
    return SparsePattern(rows.astype(np.int32), cols.astype(np.int32), (n_in, n_out))


def _places(given: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Return rows, columns and shape as they are given."""
    if isinstance(given, (tuple, list)) and len(given) == 3:
        rows, cols, shape = given
    elif hasattr(given, "tocoo"):
        shape = given.shape
        found = given.tocoo()
        rows, cols = (found.row, found.col) if len(shape) == 2 else ((), ())
    elif hasattr(given, "indptr") and hasattr(given, "indices"):
        shape, cols = given.shape, given.indices
        rows = np.repeat(np.arange(len(given.indptr) - 1), np.diff(_host(given.indptr)))
    elif hasattr(given, "indices") and hasattr(given, "shape"):
        shape = given.shape
        pairs = _host(given.indices)
        rows, cols = (pairs[:, 0], pairs[:, 1]) if pairs.ndim == pairs.shape[-1] == 2 else (0, 0)
    else:
        kind = type(given).__name__
        raise mistake(
            ModelError, f"the places of a sparse weight can not be read from an object of {kind}",
            "give a scipy.sparse matrix, or a triple (rows, cols, shape)",
        )  # fmt: skip
    rows, cols = (np.asarray(_host(index)) for index in (rows, cols))
    # An empty list has no element type of its own.
    rows, cols = (index.astype(np.int32) if not index.size else index for index in (rows, cols))
    if rows.ndim != 1 or rows.shape != cols.shape:
        raise mistake(
            ShapeError, "a sparse weight needs a row and a column for each nonzero, got indices of "
            f"shapes {list(rows.shape)} and {list(cols.shape)}",
            "give two arrays of one axis and of the same length",
        )  # fmt: skip
    if rows.dtype.kind not in "iu" or cols.dtype.kind not in "iu":
        raise mistake(
            ModelError, f"rows and columns of a sparse weight are integers, got {rows.dtype} and "
            f"{cols.dtype}", "give arrays of integers",
        )  # fmt: skip
    return rows, cols, tuple(int(n) for n in shape)


def _host(array: Any) -> Any:
    """Return an array of a device as one of NumPy."""
    return array.get() if hasattr(array, "get") and hasattr(array, "device") else np.asarray(array)
