"""Checking what users pass in: sequences, targets and masks."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ETPError, NotSupportedError, ShapeError, compose
from etp_ir.types import DType, TensorType, type_of

from .data import MultiStepData, SingleStepData

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
    modulator
        What is given beside the data, (T, B) or (T, B, groups), or None.
    still
        Names of the inputs, and ``ys``, that are views of one step.
    """

    xs: dict[str, Any]
    ys: Any
    mask: Array
    length: int
    size: int
    modulator: Any = None
    still: tuple[str, ...] = ()


def as_array(data: Any, what: str) -> Any:
    """Return array-like data as an array; arrays of other libraries are left as they are.

    Raises
    ------
    DataError
        If it is ragged or holds something that is no number.
    """
    if isinstance(data, SingleStepData):
        data = data.data
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        data = data.detach().cpu()
    if callable(getattr(data, "numpy", None)):  # PyTorch and TensorFlow
        data = data.numpy()
    if data is None:
        raise DataError(f"{what} is None; expected an array")
    if isinstance(data, np.ma.MaskedArray):
        raise DataError(
            f"{what} is a masked array\n"
            "fill it with finite numbers, and pass mask= for the steps that count"
        )
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
    if kind in "OSUTcmM":
        raise DataError(f"{what} holds {array.dtype} elements; expected real numbers")
    if isinstance(array, np.ndarray) and array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        return _narrow(array, what)
    return array


def _narrow(array: Array, what: str) -> Array:
    """Return labels and indices as 32-bit integers, so that their width makes no difference."""
    limits = np.iinfo(np.int32)
    if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
        raise DataError(
            f"{what} holds integers beyond 32 bits; pass them as floating-point numbers"
        )
    return array.astype(np.int32)


def as_count(n: Any, what: str, least: int = 1) -> int:
    """Return a whole number that counts something.

    Raises
    ------
    NotSupportedError
        If it is none, or too small, or larger than any array can be.
    """
    try:
        found = -1 if isinstance(n, (bool, np.bool_)) else index(n)
    except TypeError:
        found = -1
    if not least <= found < 2**31:
        raise NotSupportedError(f"{what} {n!r} is not a whole number of at least {least}")
    return found


def check_finite(array: Any, what: str, axes: tuple[str, ...]) -> None:
    """Raise if floating-point data holds NaN or infinity, naming the first place.

    Parameters
    ----------
    axes
        Names of the leading axes.

    Raises
    ------
    DataError
        With the step and example of the first bad number.
    """
    data = np.asarray(array)
    if data.dtype.kind != "f":
        return
    if data.ndim and data.strides[0] == 0:
        data = data[:1]  # steps that share their memory
    bad = ~np.isfinite(data)
    if bad.any():
        place = [int(i) for i in np.argwhere(bad)[0]]
        names = [*axes, *["index"] * (len(place) - len(axes))]
        where = ", ".join(f"{name} {n}" for name, n in zip(names, place, strict=True))
        raise DataError(
            f"{what} holds {data[tuple(place)]} at {where} ({int(bad.sum())} such numbers in all)\n"
            "clean the data, or mask those steps and put any finite number there"
        )


def check_batch(
    xs: dict[str, Any], ys: Any, mask: Any, modulator: Any = None, *, check: bool,
    step: bool = False,
) -> Batch:  # fmt: skip
    """Return the batch if shapes of inputs, targets and mask belong together.

    Parameters
    ----------
    step
        The arrays are one step, (B, ...), and become sequences of length 1.

    Raises
    ------
    ShapeError
        If axes are missing or lengths differ.
    DataError
        If there are no steps or examples, or ``check`` finds a number that is not finite.
    """
    xs, ys, still = opened(xs, ys, step)
    x_word, y_word = ("x", "y") if step else ("xs", "ys")
    axes = ("example",) if step else ("step", "example")
    if not xs:
        raise DataError(f"{x_word} is empty: there is no input")
    arrays = {name: as_array(x, x_word if len(xs) == 1 else name) for name, x in xs.items()}
    first = next(iter(arrays.values()))
    lead = tuple(int(n) for n in first.shape[: len(axes)])
    _check_lead(x_word, first, lead, axes)
    given = {x_word if len(xs) == 1 else name: array for name, array in arrays.items()}
    target = None if ys is None else as_array(ys, y_word)
    if target is not None:
        given[y_word] = target
    for name, array in given.items():
        if name == y_word and len(axes) == 2 and array.shape[:1] == lead[:1] and array.ndim < 2:
            raise ShapeError(
                compose(f"{name} has shape {_text(array.shape)}, one target a step and no batch",
                        how=f"a batch axis is missing: give {x_word}[:, None] and {name}[:, None]")
            )  # fmt: skip
        if tuple(array.shape[: len(axes)]) != lead:
            raise ShapeError(
                compose(f"{name} has shape {_text(array.shape)}, but {x_word} has "
                        + " of ".join(f"{n} {axis}s" for n, axis in zip(lead, axes, strict=True)),
                        how=f"give {name} the shape {_text((*lead, '...'))}")
            )  # fmt: skip
        if check:
            check_finite(array, name, axes)
    if step:
        arrays = {name: array[None] for name, array in arrays.items()}
        target = None if target is None else target[None]
    length, size = (1, *lead)[-2:]
    weights = _mask(mask, length, size, step)
    given = _modulator(modulator, length, size, step)
    return Batch(arrays, target, weights, length, size, given, still)


def _modulator(modulator: Any, length: int, size: int, step: bool) -> Any:
    """Return a modulator for each step and example, spread from what is given."""
    if modulator is None:
        return None
    array = np.asarray(as_array(modulator, "modulator"))
    if not step and array.ndim == 1:
        array = array[:, None]
    if step:
        array = array[None]
        array = array[None] if array.ndim == 1 else array
    lead = array.shape[:2]
    if array.ndim not in (2, 3) or lead[0] != length or lead[1] not in (1, size):
        axes = "(), (B,) or (B, groups)" if step else "(T,), (T, B) or (T, B, groups)"
        raise ShapeError(
            compose(f"modulator has shape {_text(np.shape(modulator))}",
                    how=f"give it the shape {axes} with T = {length}, B = {size}")
        )  # fmt: skip
    return np.broadcast_to(array, (length, size, *array.shape[2:]))


def opened(xs: dict[str, Any], ys: Any, step: bool) -> tuple[dict[str, Any], Any, tuple[str, ...]]:
    """Return inputs and target out of what says how many steps they are of.

    What is the same at all steps becomes a view (T, B, ...) in which they share their memory; the
    names of such inputs, and ``ys`` for the target, come third.

    Raises
    ------
    DataError
        If one step is given several, or nothing says how many steps there are.
    ShapeError
        If the number of examples differs.
    """
    given = {**xs, "ys": ys}
    if not any(isinstance(x, (SingleStepData, MultiStepData)) for x in given.values()):
        return xs, ys, ()
    still = {n: x.data for n, x in given.items() if isinstance(x, SingleStepData)}
    several = {n: x.data for n, x in given.items() if isinstance(x, MultiStepData)}
    if step and several:
        what = next(iter(several))
        raise DataError(
            compose(f"{'y' if what == 'ys' else what} is MultiStepData, and a step takes the data "
                    "of one", how="give what belongs to this step, or call predict, grad or fit "
                    "with the whole sequence")
        )  # fmt: skip
    found = {**given, **still, **several}
    if not step:
        lead = next((n for n, x in found.items() if n not in still and x is not None), None)
        if lead is None:
            raise DataError(
                compose("nothing says how many steps there are: all data are SingleStepData",
                        how="give an input for all steps, (T, B, ...)")
            )  # fmt: skip
        found[lead] = as_array(found[lead], lead)
        for name, data in still.items():
            found[name] = _shared(name, as_array(data, name), tuple(found[lead].shape[:2]))
    target = found.pop("ys")
    return found, target, () if step else tuple(still)


def _shared(name: str, array: Any, lead: tuple[int, ...]) -> Any:
    """Return one step (B, ...) seen at all steps."""
    shape = tuple(array.shape)
    if shape[:1] != lead[1:]:
        wanted = _text((*lead[1:], "...")) if lead[1:] else "(B, ...)"
        raise ShapeError(
            compose(f"{name} is SingleStepData of shape {_text(shape)}: expected {wanted}",
                    how="leave out the axis of steps, or pass an array (T, B, ...) as it is")
        )  # fmt: skip
    return np.broadcast_to(np.asarray(array), (*lead[:1], *shape))


def _check_lead(word: str, array: Any, lead: tuple[int, ...], axes: tuple[str, ...]) -> None:
    shape = _text(array.shape)
    if len(lead) < len(axes):
        single = f"{word}[None]" if len(axes) == 1 else f"{word}[:, None]"
        wanted = "(B, ...)" if len(axes) == 1 else "(T, B, ...), time first, then batch"
        raise ShapeError(
            compose(f"{word} has shape {shape}: expected {wanted}",
                    how=f"add the missing axis, for example {single} for a single example")
        )  # fmt: skip
    for n, axis in zip(lead, axes, strict=True):
        if n == 0:
            raise DataError(f"{word} has shape {shape}: no {axis}s")


def _mask(mask: Any, length: int, size: int, step: bool) -> Array:
    if mask is None:
        return np.ones((length, size))
    array = np.asarray(as_array(mask, "mask"), dtype=np.float64)
    shape = array.shape
    if step:
        array = array[None]
    elif shape == (length,):
        array = np.repeat(array[:, None], size, axis=1)
    if array.shape != (length, size):
        wanted = f"({size},)" if step else f"({length},) or ({length}, {size})"
        raise ShapeError(f"mask has shape {_text(shape)}; expected {wanted}")
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
        ``"mean"``: divided by the number of unmasked steps of each example, then by the batch
        size. ``"sum"``: as they are.
    period
        Average over stretches of this many steps instead of the whole sequence: those between
        two updates.

    Raises
    ------
    DataError
        If the reduction is unknown.
    """
    if not isinstance(reduction, str) or reduction not in ("mean", "sum"):
        raise DataError(f"reduction {reduction!r} is neither 'mean' nor 'sum'")
    if reduction == "sum":
        return mask
    length, size = mask.shape
    weights = np.empty_like(mask)
    width = min(period or length, length)
    for start in range(0, length, width):
        part = mask[start : start + width]
        weights[start : start + width] = part / np.maximum(np.count_nonzero(part, axis=0), 1) / size
    return weights


def step_type(array: Any, dtype: DType) -> TensorType:
    """Return the type of one step for one example of a (T, B, ...) array."""
    type = type_of(array)
    kind = dtype if type.dtype.is_float else type.dtype
    return TensorType(kind, type.shape[2:])


def _text(shape: Any) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
