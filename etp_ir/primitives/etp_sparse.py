"""The product with a sparse matrix whose nonzeros are trained: the mark on `sparse_contract`."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..bilinear import Bilinear, Join, Trained
from ..marked import marked
from .contract import free_letters


def _product(x: Any, data: Any, rows: Any, cols: Any, *, extent: int) -> Any:
    return ops.sparse_contract(x, data, rows, cols, extent, "cols")


def _form(x: Any, data: Any, rows: Any, cols: Any, *, extent: int) -> Bilinear:
    """Return the letters: nonzero n takes the input at its row to the result at its column."""
    lead = ("b" + free_letters("bion", x.type.rank - 2))[: x.type.rank - 1]
    return Bilinear(lead + "i", "n", lead + "o", {"i": Join("n", rows), "o": Join("n", cols)})


marked("etp.sparse_matmul", _product, trained={"weight": Trained(1, _form)}, leading=0)
