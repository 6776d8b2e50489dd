"""Rows of a trained weight, looked up by integers: the mark on `gather`."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..bilinear import Bilinear, Trained
from ..marked import marked
from .contract import free_letters
from .index import iota_like


def _lookup(indices: Any, w: Any) -> Any:
    return ops.gather(w, indices, 0)


def _form(indices: Any, w: Any) -> Bilinear:
    """Return the letters of the product of one-hot vectors with the weight."""
    lead = ("b" + free_letters("bv", indices.type.rank - 1))[: indices.type.rank]
    rest = free_letters(lead + "v", w.type.rank - 1)
    return Bilinear(lead + "v", "v" + rest, lead + rest)


def _one_hot(indices: Any, w: Any) -> Any:
    """Return 1 at each index along one more axis, as long as the weight has rows."""
    shape = (*indices.shape, w.shape[0])
    counter = iota_like(indices, shape, indices.ndim)
    # As in `gather`, negative indices count from the end.
    wrapped = ops.select(ops.lt(indices, 0), ops.add(indices, w.shape[0]), indices)
    hit = ops.eq(counter, ops.broadcast(wrapped, shape, range(indices.ndim)))
    return ops.cast(hit, w.dtype)


marked("etp.embedding", _lookup, trained={"weight": Trained(1, _form, _one_hot)}, leading=0)
