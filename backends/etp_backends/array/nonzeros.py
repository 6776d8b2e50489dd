"""Products at the nonzeros of a sparse matrix, on a library with compressed sparse matrices."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from attrs import frozen


@frozen
class Nonzeros:
    """The functions that generated source calls for sparse products.

    Attributes
    ----------
    xp
        The array library.
    matrices
        Imports and returns its module of sparse matrices, when one is first needed.
    take
        Returns rows of a matrix at indices known to be in range.
    block
        Elements that a block of sampled products holds at once.
    """

    xp: Any
    matrices: Callable[[], Any]
    take: Callable[[Any, Any], Any]
    block: int

    def pointer(self, index: Any, extent: int) -> Any:
        """Return where each of ``extent`` positions begins in a sorted index array."""
        bounds = self.xp.arange(extent + 1, dtype=index.dtype)
        return self.xp.searchsorted(index, bounds).astype(index.dtype)

    def contract(self, x: Any, data: Any, index: Any, pointer: Any, out: Any, order: str) -> None:
        """Write ``x @ M`` to ``out``.

        Parameters
        ----------
        order
            Which index array is sorted.
        index
            The index array that is not sorted; the rows where none is.
        pointer
            `pointer` of the one that is sorted; the columns where none is.
        """
        n_in, n_out = x.shape[-1], out.shape[-1]
        if not data.size or not x.size:
            out[...] = 0
            return
        dtype = self._computable(x.dtype)
        module = self.matrices()
        kind = {"cols": module.csr_matrix, "rows": module.csc_matrix, "none": module.coo_matrix}
        places = ((pointer, index),) if order == "none" else (index, pointer)
        given = (data.astype(dtype, copy=False), *places)
        matrix = kind[order](given, shape=(n_out, n_in))
        columns = self.xp.ascontiguousarray(x.reshape((-1, n_in)).T, dtype=dtype)
        self.xp.copyto(out, (matrix @ columns).T.reshape(out.shape), casting="unsafe")

    def sample(self, x: Any, y: Any, rows: Any, cols: Any, out: Any, kept: int) -> None:
        """Write the products of ``x`` at ``rows`` and ``y`` at ``cols`` to ``out``.

        They are summed over all axes between the first ``kept`` and the last, for a block of
        nonzeros at a time.
        """
        lead = x.shape[:-1]
        stack, depth = prod(lead[:kept]), prod(lead[kept:])
        if not rows.size or not stack * depth:
            out[...] = 0
            return
        # One nonzero's numbers lie side by side, so that picking them reads whole cache lines.
        shape, spec = ((stack, depth), "nkl,nkl->nk") if stack > 1 else ((depth,), "nl,nl->n")
        a, b = (
            self.xp.ascontiguousarray(
                self.xp.moveaxis(z.reshape((*shape, z.shape[-1])), -1, 0),
                dtype=self._computable(z.dtype),
            )
            for z in (x, y)
        )
        flat = out.reshape((stack, rows.size))
        step = max(1, self.block // (stack * depth))
        for start in range(0, rows.size, step):
            part = slice(start, start + step)
            met = self.xp.einsum(spec, self.take(a, rows[part]), self.take(b, cols[part]))
            self.xp.copyto(flat[:, part], met.T, casting="unsafe")

    def _computable(self, dtype: Any) -> Any:
        """Return the element type to compute in: sparse matrices have no half precision."""
        return self.xp.dtype("float32") if dtype.itemsize == 2 else dtype
