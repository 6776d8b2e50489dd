"""Rows of a weight, looked up by integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError
from etp_ir.namespace.dispatch import array, builder_of, extension, failure
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, bind
from etp_ir.types import dtype_of


def _eager(indices: Any, w: Any) -> Any:
    indices, w = xp.asarray(indices), xp.asarray(w)
    _check(indices, w)
    flat = xp.take(w, xp.reshape(indices, (-1,)), axis=0)
    return xp.reshape(flat, (*indices.shape, *w.shape[1:]))


@extension(_eager)
def embedding(indices: Any, w: Any) -> Any:
    """Return ``w[indices]`` with the weight marked for eligibility traces.

    It is the product of one-hot vectors with ``w``, computed by looking up: the gradient of a
    step reaches the visited rows only.

    Parameters
    ----------
    indices
        Integers from 0 to the number of rows, less one: a number, or an array of any shape.
        They are checked where they are known. A learner checks those that are an input of the
        step, or part of one, in the data it is given; what a model computes is not checked.
    w
        Weight of shape (rows, ...): a `Param`, or an expression of parameters.

    Raises
    ------
    ModelError
        If the indices are not integers, or are known to be out of range.
    ShapeError
        If ``w`` has no axes.
    """
    builder = builder_of(indices, w)
    w = array(builder, w)
    _check(indices, w)
    return bind(get("etp.embedding"), array(builder, indices), w)


def _check(indices: Any, w: Any) -> None:
    dtype = indices.dtype if isinstance(indices, Tracer) else dtype_of(np.asarray(indices).dtype)
    if dtype.kind not in ("int", "uint"):
        raise failure(
            ModelError, f"`embedding` looks up rows by integers, got indices of type {dtype}",
            how="give integers; an input that is one is given as an array of integers",
        )  # fmt: skip
    if not w.ndim:
        raise failure(
            ShapeError, "`embedding` needs a weight of at least one axis, got a scalar",
            how="give a weight of shape (rows, size)",
        )  # fmt: skip
    if isinstance(indices, Tracer):
        return
    found = np.asarray(indices)
    wrong = found[(found < 0) | (found >= w.shape[0])]
    if wrong.size:
        raise failure(
            ModelError, f"`embedding` got the index {wrong[0]} for a weight of {w.shape[0]} rows",
            how=f"give indices from 0 to {w.shape[0] - 1}",
        )  # fmt: skip
