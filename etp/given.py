"""What users give for variables: shapes and arrays, checked and brought into form."""

from __future__ import annotations

from operator import index
from typing import Any, TypeVar

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ETPError, ModelError, ShapeError, compose
from etp_ir.source import user_source
from etp_ir.tracer import is_number, unwrap
from etp_ir.types import DType, type_of

E = TypeVar("E", bound=ETPError)


def mistake(error: type[E], what: str, how: str) -> E:
    """Return an error with the user's line."""
    source = user_source()
    return error(compose(what, where=f"at {source}" if source else "", how=how))


def extents_of(shape: Any, what: str = "a State") -> tuple[int, ...]:
    """Return a shape as whole numbers; ``what`` it is the shape of stands in the error."""
    try:
        extents = (index(shape),) if np.ndim(shape) == 0 else tuple(map(index, shape))
    except TypeError:
        extents = (-1,)
    if any(n < 0 for n in extents):
        raise mistake(
            ModelError, f"the shape of {what} is whole numbers, got {shape!r}",
            "give its shape for one example, such as (3,)"
            + ("; what it starts from is init=..." if what == "a State" else ""),
        )  # fmt: skip
    return extents


def numbers(init: Any, what: str = "a State") -> np.ndarray[Any, Any]:
    """Return what a State or a Buffer starts from as an array of numbers."""
    data = np.asarray(unwrap(init))
    if data.dtype.kind in "OUScmM":
        raise mistake(
            ModelError, f"{what} starts from numbers, got {init!r}",
            "give a number or an array of numbers as init",
        )  # fmt: skip
    return data


def fitted(new: Any, shape: tuple[int, ...], dtype: DType | None, what: str) -> Any:
    """Return a concrete array of the shape, converted to the element type if one is given.

    Raises
    ------
    ShapeError
        If it has another shape; only a number fits every shape.
    """
    if is_number(new):
        new = np.full(shape, new, dtype=None if dtype is None else dtype.numpy())
    elif not hasattr(new, "shape") or not hasattr(new, "dtype"):
        new = np.asarray(new)
    if tuple(new.shape) != shape:
        raise mistake(
            ShapeError, f"{what} has shape {shape} and was given {tuple(new.shape)}",
            "give an array of the shape that was declared",
        )  # fmt: skip
    return new if dtype is None or type_of(new).dtype is dtype else xp.astype(new, dtype)
