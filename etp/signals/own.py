"""Functions of the user's in learning signals: called, and what they return taken up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from etp_ir import ops
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, unwrap

from ..control_checks import check_function, mistaken

if TYPE_CHECKING:
    from etp_ir.builder import Builder

    from ..compiler.boundary import Boundary

# Bits of each of the whole numbers that a number is written in.
BITS = 30


def called(
    b: Builder, signal: Any, part: str, function: Callable[..., Any], /, **arguments: Any
) -> Any:
    """Return what a function of the user's returns; what it raises names the signal.

    Arrays that it captures are written out in the program, as those are that it returns.

    Raises
    ------
    etp.ModelError
        If it does not take the arguments, or raises.
    """
    what = type(signal).__name__
    check_function(what, part, function, *arguments)
    try:
        with b.writing(lambda array: captured(b, np.asarray(array)).value):
            return function(*arguments.values())
    except Exception as error:
        raise mistaken(
            f"the {part} of {what} raised {type(error).__name__}: {error}",
            f"it is called with one step of one example: {', '.join(arguments)}", function,
        ) from error  # fmt: skip


def taken(
    at: Boundary, signal: Any, part: str, function: Callable[..., Any], x: Any,
    *shapes: tuple[int, ...],
) -> Tracer:  # fmt: skip
    """Return numbers that a function of the user's returned, as an array of the program.

    Parameters
    ----------
    shapes
        Shapes that are expected, any if there are none; one number fills the first of them.

    Raises
    ------
    etp.ModelError
        If it is no array of numbers, or of another shape.
    """
    what = type(signal).__name__
    given, b = unwrap(x), at.pieces.builder
    wanted = " or ".join(f"an array of shape {s}" if s else "one number" for s in shapes)
    how = f"return {wanted or 'an array'}, made with etp.xp of what the function is given"
    if not isinstance(given, Tracer):
        try:
            given = np.asarray(x if x is not None else "None", np.float64)
        except (TypeError, ValueError):
            shown = "None" if x is None else f"{type(x).__name__} {x!r}"
            raise mistaken(f"the {part} of {what} returned {shown}, and no array of numbers",
                           how, function) from None  # fmt: skip
        if not np.isfinite(given).all():
            raise mistaken(f"the {part} of {what} returned {x!r}, which is not finite", how,
                           function)  # fmt: skip
    shape = tuple(given.shape)
    if shapes and shape and shape not in shapes:
        raise mistaken(f"the {part} of {what} returned an array of shape {shape}, and {wanted} "
                       "is expected", how, function)  # fmt: skip
    array = ops.cast(given, b.float_dtype) if isinstance(given, Tracer) else written(b, given)
    if shapes and shape not in shapes:
        array = ops.broadcast(array, shapes[0], ())
    found: Tracer = array
    return found


def captured(builder: Builder, array: np.ndarray[Any, Any]) -> Tracer:
    """Return an array of numbers, whole numbers or truth values, written out in the program."""
    if array.dtype.kind == "f":
        return written(builder, array)
    values = {"values": tuple(int(x) for x in array.flat), "shape": array.shape}
    table = Tracer(builder, builder.emit(get("table"), [], values)[0])
    found: Tracer = ops.not_(ops.eq(table, 0)) if array.dtype.kind == "b" else table
    return found


def written(builder: Builder, array: np.ndarray[Any, Any]) -> Tracer:
    """Return numbers that are known when a program is compiled, written out in the program.

    Each is a fraction of the largest, in three whole numbers.
    """
    size = float(np.abs(array).max(initial=0.0))
    if array.ndim == 0 or size == 0 or (array == array.flat[0]).all():
        value = float(array.flat[0]) if array.size else 0.0
        constant: Tracer = ops.full(builder, array.shape, value, builder.float_dtype)
        return constant
    # A power of two, so that nothing is rounded on the way.
    unit = 2.0 ** np.ceil(np.log2(size))
    rest, total = array / unit, None
    for k in (1, 2, 3):
        rest = rest * 2.0**BITS
        digits = np.trunc(rest)
        rest = rest - digits
        values = {"values": tuple(int(d) for d in digits.flat), "shape": array.shape}
        table = Tracer(builder, builder.emit(get("table"), [], values)[0])
        term = ops.mul(unit * 2.0 ** (-BITS * k), ops.cast(table, builder.float_dtype))
        total = term if total is None else ops.add(total, term)
    assert total is not None
    return total
