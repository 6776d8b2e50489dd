"""The affine map with a sparse weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from etp_ir.errors import ModelError

from ..given import mistake
from ..init import Array, Rng
from ..model import Module, Param
from ..sparse import sparse_matmul
from ..sparsity import SparsePattern, random_pattern, sparse_pattern, sparse_values
from .bias import Bias, initial_bias

SparseInitializer = Callable[[Any, SparsePattern], Array]


def scaled_normal(rng: Rng, pattern: SparsePattern, gain: float = 1.0) -> Array:
    """Return normal numbers of variance ``gain² / inputs``, the nonzeros of each column counted.

    LeCun et al., "Efficient BackProp", 1998, for the inputs that a unit has.
    """
    draw = np.random.default_rng(rng).normal(size=pattern.nnz)
    return (gain * draw / np.sqrt(pattern.fan_in)).astype(np.float32)


class SparseLinear(Module):
    r"""Affine map of the last axis with a sparse weight, $y = x M + b$.

    The parameter ``weight`` holds the nonzeros, in the order in which the matrix given stores
    them; the places stay.

    Parameters
    ----------
    sparse_mat
        A sparse matrix of shape (inputs, outputs), see `etp.sparse_pattern`; or the numbers
        ``(n_in, n_out, density)``, for nonzeros at random places.
    bias
        See `Linear`.
    rng
        Generator or seed of the places and of the initial weight.
    w_init
        Initial nonzeros, ``(rng, pattern) -> array``. By default those of the matrix given, and
        for a pattern without numbers normal ones of variance 1 over the inputs of their column.

    Raises
    ------
    ModelError
        If ``w_init`` is an initialiser of whole matrices, with the user's line.
    """

    def __init__(
        self,
        sparse_mat: Any,
        *,
        bias: Bias = True,
        rng: Rng = None,
        w_init: SparseInitializer | None = None,
    ) -> None:
        rng = np.random.default_rng(rng)
        values = None
        if isinstance(sparse_mat, tuple) and all(np.ndim(n) == 0 for n in sparse_mat):
            self.pattern = random_pattern(rng, *sparse_mat)
        else:
            self.pattern = sparse_pattern(sparse_mat)
            values = sparse_values(sparse_mat)
        if values is None or w_init is not None:
            values = _drawn(w_init or scaled_normal, rng, self.pattern)
        # As arrays of the module they have names in programs.
        self.rows, self.cols = self.pattern.rows, self.pattern.cols
        self.weight = Param(values)
        self.bias = initial_bias(bias, (self.pattern.shape[1],))

    def __call__(self, x: Any) -> Any:
        """Return the map of ``x``."""
        return sparse_matmul(x, self.weight, sparse_mat=self.pattern, bias=self.bias)


def _drawn(w_init: SparseInitializer, rng: Rng, pattern: SparsePattern) -> Array:
    """Return one number for each nonzero."""
    cause: TypeError | None = None
    made: Any = None
    try:
        made = w_init(rng, pattern)
    except TypeError as error:
        cause = error
    if np.shape(made) != (pattern.nnz,):
        got = f"raised {cause}" if cause else f"returned shape {np.shape(made)}"
        raise mistake(
            ModelError, f"w_init of SparseLinear is called with (rng, pattern) and returns "
            f"{pattern.nnz} numbers, one for each nonzero; it {got}",
            "those of etp.init make whole matrices; leave w_init out for normal numbers of "
            "variance 1 / inputs, or give lambda rng, p: etp.init.normal(rng, (p.nnz,), std=0.1)",
        ) from cause  # fmt: skip
    result: Array = made
    return result
