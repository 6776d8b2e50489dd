"""Checking what users pass in: sequences, targets and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ETPError, ShapeError, compose
from etp_ir.types import DType, TensorType, type_of

Array = np.ndarray[Any, Any]


class DataError(ETPError, ValueError):
    """Data cannot be used: empty, ragged, not a number, or of the wrong kind."""


@frozen
class Batch:
    """A checked batch of sequences.

    Attributes
    ----------
    xs
        Inputs by name, (T, B, ...).
    ys
        Targets (T, B, ...), or None.
    mask
        Weight of each step's loss before reduction, (T, B).
    """

    xs: dict[str, Any]
    ys: Any
    mask: Array
    length: int
    size: int


def as_array(data: Any, what: str) -> Any:
    """Return array-like data as an array; arrays of other libraries are left as they are.

    Raises
    ------
    DataError
        If it is ragged or holds something that is no number.
    """
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        data = data.detach().cpu().numpy()
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        array = data
    else:
        try:
            array = np.asarray(data)
        except ValueError as error:
            raise DataError(
                compose(f"{what} is ragged: its sequences have different lengths",
                        how="pad them to one length and pass mask=, 1 where a step counts")
            ) from error  # fmt: skip
    kind = getattr(array.dtype, "kind", "f")
    if kind in "OSUcmM":
        raise DataError(f"{what} holds {array.dtype} elements; expected real numbers")
    return array


def check_finite(array: Any, what: str) -> None:
    """Raise if floating-point data holds NaN or infinity, naming the first place.

    Raises
    ------
    DataError
        With the step and example of the first bad number.
    """
    data = np.asarray(array)
    if data.dtype.kind != "f":
        return
    bad = ~np.isfinite(data)
    if bad.any():
        place = [int(i) for i in np.argwhere(bad)[0]]
        names = ("step", "example")
        where = ", ".join(
            f"{names[i]} {n}" if i < 2 else f"index {n}" for i, n in enumerate(place)
        )
        raise DataError(
            f"{what} holds {data[tuple(place)]} at {where} ({int(bad.sum())} such numbers in all)\n"
            "clean the data, or mask those steps and put any finite number there"
        )


def check_batch(xs: dict[str, Any], ys: Any, mask: Any, *, check: bool) -> Batch:
    """Return the batch if shapes of inputs, targets and mask belong together.

    Raises
    ------
    ShapeError
        If axes are missing or lengths differ.
    DataError
        If there are no steps or examples, or ``check`` finds a number that is not finite.
    """
    arrays = {name: as_array(x, "xs" if len(xs) == 1 else name) for name, x in xs.items()}
    first = next(iter(arrays.values()))
    if len(first.shape) < 2:
        raise ShapeError(
            compose(f"xs has shape {_text(first.shape)}: expected (T, B, ...), time first, then batch",
                    how="add the missing axis, for example xs[:, None] for a single example")
        )  # fmt: skip
    length, size = int(first.shape[0]), int(first.shape[1])
    if length == 0 or size == 0:
        raise DataError(f"xs has shape {_text(first.shape)}: no {'steps' if not length else 'examples'}")
    target = None if ys is None else as_array(ys, "ys")
    for name, array in [*arrays.items(), ("ys", target)]:
        if array is not None and tuple(array.shape[:2]) != (length, size):
            raise ShapeError(
                compose(f"{name} has shape {_text(array.shape)}, but xs has {length} steps of "
                        f"{size} examples",
                        how=f"expected {name} of shape ({length}, {size}, ...), time first")
            )  # fmt: skip
    if check:
        for name, array in [*arrays.items(), ("ys", target)]:
            if array is not None:
                check_finite(array, name)
    return Batch(arrays, target, _mask(mask, length, size), length, size)


def _mask(mask: Any, length: int, size: int) -> Array:
    if mask is None:
        return np.ones((length, size))
    array = np.asarray(as_array(mask, "mask"), dtype=np.float64)
    if array.shape == (length,):
        array = np.repeat(array[:, None], size, axis=1)
    if array.shape != (length, size):
        raise ShapeError(
            f"mask has shape {_text(array.shape)}; expected ({length},) or ({length}, {size})"
        )
    if not np.isfinite(array).all() or (array < 0).any():
        raise DataError("mask must hold finite numbers of at least 0")
    return array


def loss_weights(mask: Array, reduction: str, period: int | None = None) -> Array:
    """Return the weight of every step's loss.

    Parameters
    ----------
    mask
        (T, B).
    reduction
        ``"mean"``: over the unmasked steps of each example, then over the batch. ``"sum"``: as
        they are.
    period
        Average over stretches of this many steps instead of the whole sequence: those between
        two updates.

    Raises
    ------
    DataError
        If the reduction is unknown.
    """
    if reduction == "sum":
        return mask
    if reduction != "mean":
        raise DataError(f"reduction {reduction!r} is neither 'mean' nor 'sum'")
    length, size = mask.shape
    weights = np.empty_like(mask)
    width = min(period or length, length)
    for start in range(0, length, width):
        part = mask[start : start + width]
        weights[start : start + width] = part / np.maximum(part.sum(axis=0), 1.0) / size
    return weights


def step_type(array: Any, dtype: DType) -> TensorType:
    """Return the type of one step for one example of a (T, B, ...) array."""
    type = type_of(array)
    kind = dtype if type.dtype.is_float else type.dtype
    return TensorType(kind, type.shape[2:])


def _text(shape: Any) -> str:
    return "(" + ", ".join(str(int(n)) for n in shape) + ("," if len(shape) == 1 else "") + ")"
