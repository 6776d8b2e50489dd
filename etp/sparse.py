"""The product with a sparse weight."""

from __future__ import annotations

from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ShapeError
from etp_ir.namespace.dispatch import array, builder_of, cast, extension, failure, result_dtype
from etp_ir.primitive import get
from etp_ir.tracer import bind

from .functional import element_wise
from .sparsity import SparsePattern, sparse_pattern


def sparse_matmul(x: Any, data: Any, *, sparse_mat: Any, bias: Any = None) -> Any:
    r"""Return ``x @ M + bias`` for a sparse matrix ``M`` whose nonzeros are trained.

    .. math:: y_o = \sum_{n : c_n = o} x_{r_n}\, d_n + b_o

    with nonzero n at row $r_n$ and column $c_n$. Time and memory grow with the nonzeros; no array
    is as large as the matrix, and eligibility traces live on the nonzeros.

    Parameters
    ----------
    x
        Input, features on the last axis.
    data
        The nonzeros, one axis: a `Param`, or an expression of parameters. They are in the order in
        which ``sparse_mat`` stores them: for a CSR matrix, in that of its ``data``.
    sparse_mat
        Where they lie: see `sparse_pattern`. Only its places count, not its numbers.
    bias
        Added to the product; it is an element-wise parameter, see `element_wise`.

    Raises
    ------
    ShapeError
        If ``x`` or ``data`` does not fit the pattern, with the user's line.
    ModelError
        If the pattern has an index out of range, or two nonzeros at one place.
    """
    y = _sparse_matmul(x, data, sparse_pattern(sparse_mat))
    return y if bias is None else xp.add(y, element_wise(bias))


def _eager(x: Any, data: Any, pattern: SparsePattern) -> Any:
    x, data = xp.asarray(x), xp.asarray(data)
    _check(x, data, pattern)
    if pattern.order is not None:
        data = xp.take(data, pattern.order, axis=0)
    dtype = xp.result_type(x, data)
    return bind(
        get("etp.sparse_matmul"), xp.astype(x, dtype), xp.astype(data, dtype),
        pattern.rows, pattern.cols, extent=pattern.shape[1],
    )  # fmt: skip


@extension(_eager)
def _sparse_matmul(x: Any, data: Any, pattern: SparsePattern) -> Any:
    builder = builder_of(x, data)
    x, data = array(builder, x), array(builder, data)
    _check(x, data, pattern)
    dtype = result_dtype(builder, [x, data])
    if pattern.order is not None:
        data = xp.take(data, pattern.order, axis=0)
    return bind(
        get("etp.sparse_matmul"), cast(x, dtype), cast(data, dtype),
        array(builder, pattern.rows), array(builder, pattern.cols), extent=pattern.shape[1],
    )  # fmt: skip


def _check(x: Any, data: Any, pattern: SparsePattern) -> None:
    if tuple(data.shape) != (pattern.nnz,):
        raise failure(
            ShapeError, f"`sparse_matmul` got a weight of shape {list(data.shape)} for "
            f"{pattern.nnz} nonzeros", how="give one number for each nonzero of sparse_mat",
        )  # fmt: skip
    if not x.ndim or x.shape[-1] != pattern.shape[0]:
        given = f"an input of width {x.shape[-1]}" if x.ndim else "a scalar input"
        raise failure(
            ShapeError, f"`sparse_matmul` got {given} for a weight of {pattern.shape[0]} inputs",
            how="make the last axis of the input as long as the rows of sparse_mat",
        )  # fmt: skip
