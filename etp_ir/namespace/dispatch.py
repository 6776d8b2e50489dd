"""How a function of the namespace chooses between tracing and computing, and fits its operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce, wraps
from typing import Any, TypeVar

import numpy as np

from .. import ops
from ..builder import Builder, no_array
from ..core import Literal
from ..errors import ETPError, NotSupportedError, ShapeError, compose
from ..source import user_source
from ..tracer import Tracer, find_builder, is_number, literal, unwrap
from ..types import BOOL, I32, DType, dtype_of, promote, type_of

F = TypeVar("F", bound=Callable[..., Any])

# Where NumPy's own name differs from that of the standard. Read in one direction for libraries
# older than the standard, in the other for NumPy functions called on traced arrays.
OLDER_NAMES = {
    "concat": "concatenate", "permute_dims": "transpose", "pow": "power", "divide": "true_divide",
    "bitwise_invert": "invert", "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift", "abs": "absolute", "cumulative_sum": "cumsum",
}  # fmt: skip


# -- choosing ------------------------------------------------------------------------------
def function(implementation: F, eager: Callable[..., Any] | None = None) -> F:
    """Return the function that traces by ``implementation`` or else computes.

    Without a traced argument the work is done by ``eager`` if given, else by the function of the
    same name of the array library that the arguments belong to. Shapes that do not fit are the same
    error, traced or not.
    """
    name = implementation.__name__

    @wraps(implementation)
    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple(_unwrapped(x) for x in args)
        kwargs = {k: _unwrapped(x) for k, x in kwargs.items()}
        leaves = list(_leaves((*args, *kwargs.values())))
        if find_builder(leaves) is not None:
            return implementation(*args, **kwargs)
        try:
            if eager is not None:
                return eager(*args, **kwargs)
            library = library_of(leaves)
            return library_function(library, name)(
                *(native(library, x) for x in args),
                **{k: native(library, x, k) for k, x in kwargs.items()},
            )
        except (ValueError, TypeError):
            wrong = _shape_error(implementation, args, kwargs)
            if wrong is None:
                raise
        raise wrong

    return call  # type: ignore[return-value]


def _shape_error(
    implementation: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> ShapeError | None:
    """Return what tracing says of shapes that an array library refused, if it says something."""
    builder = Builder(implementation.__name__, track_source=True)

    def stand_in(x: Any) -> Any:
        if type(x) in (list, tuple):
            return type(x)(map(stand_in, x))
        if isinstance(x, np.generic) or not (hasattr(x, "shape") and hasattr(x, "dtype")):
            return x
        return Tracer(builder, builder.input("", type_of(x), "value"))

    try:
        implementation(*map(stand_in, args), **{k: stand_in(x) for k, x in kwargs.items()})
    except ShapeError as error:
        # What the library said, and how the two met, is of no use to the reader.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    except Exception:  # it has other reasons, which the library itself names
        return None
    return None


def extension(eager: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator like `function` for names the standard lacks."""
    return lambda implementation: function(implementation, eager)


def _unwrapped(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(_unwrapped(item) for item in x) if type(x) in (list, tuple) else x
    if isinstance(x, dict):
        raise no_array(x)
    return unwrap(x)


def _leaves(items: Iterable[Any]) -> Iterable[Any]:
    for x in items:
        if isinstance(x, (list, tuple)):
            yield from _leaves(x)
        else:
            yield x


def library_of(items: Iterable[Any]) -> Any:
    """Return the array namespace the concrete items belong to; NumPy if none says."""
    for x in items:
        if hasattr(x, "__array_namespace__"):
            return x.__array_namespace__()
    return np


def library_function(library: Any, name: str) -> Callable[..., Any]:
    """Return the function of an array library by its standard name."""
    for candidate in (name, OLDER_NAMES.get(name, name)):
        found = getattr(library, candidate, None)
        if found is not None:
            return found
    raise NotSupportedError(f"{library.__name__} has no function {name!r}")


def native(library: Any, x: Any, keyword: str = "") -> Any:
    """Return an element type as the library's own object; anything else as it is."""
    if isinstance(x, DType) or (keyword == "dtype" and isinstance(x, str)):
        dtype = dtype_of(x)
        return getattr(library, dtype.array_name, dtype.array_name)
    return x


# -- fitting operands ----------------------------------------------------------------------
def lift(builder: Builder, x: Any) -> Any:
    """Return a number as it is, and anything else as a tracer."""
    if isinstance(x, Tracer) or is_number(x):
        return x
    if isinstance(x, (list, tuple)) and find_builder(list(_leaves([x]))) is not None:
        from .manipulation import stack

        return stack([lift(builder, item) for item in x])
    return Tracer(builder, builder.constant(x))


def array(builder: Builder, x: Any) -> Tracer:
    """Return ``x`` as a tracer, a number as a constant without axes."""
    x = lift(builder, x)
    if isinstance(x, Tracer):
        return x
    return ops.full(builder, (), x, number_dtype(builder, x))


def number_dtype(builder: Builder, x: Any) -> DType:
    """Return the element type of a number that stands alone."""
    if isinstance(x, (bool, np.bool_)):
        return BOOL
    return I32 if isinstance(x, (int, np.integer)) else builder.float_dtype


def result_dtype(builder: Builder, items: Sequence[Any], *, floating: bool = False) -> DType:
    """Return the common element type; numbers only raise the kind, never the width."""
    arrays = [x.dtype for x in items if isinstance(x, Tracer)]
    numbers = [number_dtype(builder, x) for x in items if not isinstance(x, Tracer)]
    dtype = reduce(promote, arrays) if arrays else reduce(promote, numbers)
    for other in numbers:
        if _KINDS.index(other.kind) > _KINDS.index(dtype.kind):
            dtype = other
    return builder.float_dtype if floating and not dtype.is_float else dtype


_KINDS = ("bool", "uint", "int", "float")


def cast(x: Any, dtype: DType) -> Any:
    """Return a tracer in an element type, or a number as a literal of it."""
    if not isinstance(x, Tracer):
        return literal(x, dtype)
    return x if x.dtype is dtype else ops.cast(x, dtype)


def expand(x: Any, shape: tuple[int, ...]) -> Any:
    """Return a tracer repeated to a shape it broadcasts to; literals fit as they are."""
    if isinstance(x, Literal) or x.shape == shape:
        return x
    lead = len(shape) - x.ndim
    kept = [i for i, n in enumerate(x.shape) if n == shape[lead + i]]
    if len(kept) < x.ndim:
        x = ops.reshape(x, [x.shape[i] for i in kept])
    return ops.broadcast(x, shape, [lead + i for i in kept]) if x.shape != shape else x


def common_shape(name: str, items: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape the items broadcast to.

    Raises
    ------
    ShapeError
        If they do not fit together.
    """
    try:
        return np.broadcast_shapes(*(x.type.shape for x in items))
    except ValueError:
        shown = " and ".join(str(x.type) for x in items if not isinstance(x, Literal))
        raise failure(
            ShapeError, f"`{name}` cannot broadcast {shown}",
            how="make the sizes equal, or 1; aligned from the last axis", operands=items,
            operation=name,
        ) from None  # fmt: skip


def align(name: str, *items: Any, floating: bool = False) -> list[Any]:
    """Return the items in one element type and one shape, numbers as literals."""
    builder = builder_of(*items)
    lifted = [lift(builder, x) for x in items]
    dtype = result_dtype(builder, lifted, floating=floating)
    typed = [cast(x, dtype) for x in lifted]
    shape = common_shape(name, typed)
    return [expand(x, shape) for x in typed]


def alike(*items: Any, floating: bool = False) -> list[Any]:
    """Return the items as arrays of one element type, each of its own shape."""
    builder = builder_of(*items)
    lifted = [array(builder, x) for x in items]
    dtype = result_dtype(builder, lifted, floating=floating)
    return [cast(x, dtype) for x in lifted]


def builder_of(*items: Any) -> Builder:
    """Return the builder of the traced items, of which there must be one."""
    builder = find_builder(list(_leaves(items)))
    assert builder is not None, "dispatch happens before operands are fitted"
    return builder


# -- axes and errors -----------------------------------------------------------------------
def axis_index(name: str, axis: Any, rank: int) -> int:
    """Return an axis counted from the front.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    index = int(axis)
    if not -rank <= index < rank:
        raise failure(
            ShapeError, f"`{name}` along axis {index} of an array of {rank} axes",
            how=f"use an axis from {-rank} to {rank - 1}" if rank else "a scalar has no axes",
        )  # fmt: skip
    return index % rank


def axis_tuple(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Return axes counted from the front, all of them for None."""
    if axis is None:
        return tuple(range(rank))
    listed = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(sorted({axis_index(name, a, rank) for a in listed}))


def failure(
    error: type[ETPError],
    what: str,
    *,
    how: str = "",
    operation: str = "",
    operands: Sequence[Any] = (),
) -> ETPError:
    """Return an error that names the operands and the user's line."""
    shown = ", ".join(
        f"%{x.value.hint}: {x.type}" if isinstance(x, Tracer) and x.value.hint else
        repr(x.value) if isinstance(x, Literal) else str(x.type)
        for x in operands
    )  # fmt: skip
    where = [f"in `{operation} {shown}`"] if operation else []
    source = user_source()
    if source is not None:
        where.append(f"traced at {source}")
    return error(compose(what, where="\n".join(where), how=how))
