"""Scattering in the array-API standard, which has none: products with one-hot matrices."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from etp_ir.core import Node, Operand
from etp_ir.types import DType

if TYPE_CHECKING:
    from .standard import Expressions


def one_hot(make: Expressions, indices: Operand, extent: int, dtype: DType) -> str:
    """Return the matrix that is 1 where its row is the index of its column."""
    rows = make.call("reshape", make.array(indices), (1, indices.type.size))
    index = make.dtype(indices.type.dtype)
    counter = make.call("reshape", make.call("arange", extent, dtype=index), (extent, 1))
    return make.call("astype", make.call("equal", counter, rows), make.dtype(dtype))


def scatter_add(make: Expressions, node: Node) -> str:
    """Return the product with a one-hot matrix: the standard has no scatter."""
    x, indices = node.inputs
    axis, extent, size = node.attrs["axis"], node.attrs["extent"], indices.type.size
    shape = x.type.shape
    before, after = shape[:axis], shape[axis + indices.type.rank :]
    hot = one_hot(make, indices, extent, x.type.dtype)
    flat = make.call("reshape", make.array(x), (prod(before), size, prod(after)))
    return make.call("reshape", make.call("matmul", hot, flat), (*before, extent, *after))


def sparse_contract(make: Expressions, node: Node) -> str:
    """Return what is met at the nonzeros, times the transpose of a one-hot matrix."""
    x, data, rows, cols = node.inputs
    picked = make.call("take", make.array(x), make.array(rows), axis=x.type.rank - 1)
    met = make.call("multiply", picked, make.array(data))
    hot = one_hot(make, cols, node.attrs["extent"], x.type.dtype)
    return make.call("matmul", met, make.call("permute_dims", hot, (1, 0)))


def sparse_sample(make: Expressions, node: Node) -> str:
    """Return what is met at the nonzeros, summed over the axes that are not kept."""
    x, y, rows, cols = node.inputs
    last, dtype = x.type.rank - 1, make.dtype(x.type.dtype)
    pair = [
        make.call("take", make.array(z), make.array(index), axis=last)
        for z, index in ((x, rows), (y, cols))
    ]
    summed = tuple(range(node.attrs["kept"], last))
    met = make.call("multiply", *pair)
    return make.call("sum", met, axis=summed, dtype=dtype) if summed else met
