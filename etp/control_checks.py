"""What is checked of functions given to control flow; every error has the user's line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from etp_ir.builder import Builder
from etp_ir.errors import ETPError, ModelError, compose
from etp_ir.namespace.dispatch import result_dtype
from etp_ir.source import user_source
from etp_ir.tracer import Tracer, is_number, unwrap
from etp_ir.types import BOOL, TensorType, type_of

from .place import place_of

Function = Callable[..., Any]


def check_function(what: str, part: str, f: Any, *arguments: str) -> None:
    """Check that something can be called with as many arguments as control flow gives it.

    Parameters
    ----------
    what
        The function of control flow, for example ``"etp.scan"``.
    part
        What it is there: ``"body"``, ``"first branch"``.
    arguments
        What it is called with, in words.
    """
    if not callable(f):
        shown = type(f).__name__ if isinstance(f, Tracer) or hasattr(f, "shape") else repr(f)
        how = "give a function; `lambda: value` returns what is there already"
        raise mistaken(f"the {part} of {what} is no function, got {shown}", how)
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # some functions that are not written in Python
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        given = f"with {_count(len(arguments))}" + (f" ({', '.join(arguments)})" * bool(arguments))
        raise mistaken(
            f"the {part} of {what} is called {given}, and it takes {signature}",
            f"write it as a function of {_count(len(arguments))}", f,
        ) from None  # fmt: skip


def _count(n: int) -> str:
    return {0: "no argument", 1: "one argument"}.get(n, f"{n} arguments")


def check_bounds(lower: Any, upper: Any) -> None:
    """Check that bounds which are known only while the model runs are single integers."""
    for name, x in (("lower", lower), ("upper", upper)):
        if not isinstance(x, Tracer):
            whole(name, x)
        elif x.shape or x.dtype.kind not in ("int", "uint"):
            raise mistaken(
                f"{name} must be an integer, got {x.type}",
                "convert it with xp.astype(n, xp.int32)" if not x.shape else "give one number",
            )  # fmt: skip


def common_type(
    builder: Builder, x: Any, y: Any, then: Function, otherwise: Function
) -> TensorType:
    """Return the type of two results; a number takes the type of an array."""
    types = [item.type for item in (x, y) if isinstance(item, Tracer)]
    if not types:
        return TensorType(result_dtype(builder, [x, y]))
    if types[0] != types[-1]:
        what = f"the branches of etp.cond return different types: {types[0]} and {types[-1]}"
        raise mistaken(what, _conversion(*types), then, otherwise)
    return types[0]


def count_steps(leaves: Sequence[Any], length: int | None) -> int:
    """Return the number of steps of a scan."""
    shapes = [tuple(np.shape(x) if is_number(x) else x.shape) for x in map(_arrayed, leaves)]
    if any(not shape for shape in shapes):
        raise mistaken(
            "etp.scan got a scalar among xs", "give arrays; their first axis is the one of steps"
        )
    extents = list(dict.fromkeys(shape[0] for shape in shapes))
    if length is not None:
        extents = list(dict.fromkeys((*extents, count("length", length))))
    if len(extents) > 1:
        listed = " and ".join(map(str, extents))
        raise mistaken(f"etp.scan got steps of different numbers: {listed}",
                       "make the first axes of xs, and length, equal")  # fmt: skip
    if not extents:
        raise mistaken("etp.scan got neither xs nor length", "give the number of steps as length")
    return extents[0]


def _arrayed(x: Any) -> Any:
    return x if hasattr(x, "shape") else np.asarray(x)


def whole(what: str, x: Any) -> int:
    """Return a whole number that is known while tracing."""
    if isinstance(x, (bool, np.bool_)) or not hasattr(x, "__index__") or np.ndim(x):
        raise mistaken(f"{what} must be an integer, got {x!r}", "give a whole number")
    return int(x)


def count(what: str, x: Any) -> int:
    """Return a whole number that is not negative."""
    n = whole(what, unwrap(x))
    if n < 0:
        raise mistaken(f"{what} must not be negative, got {n}", "give 0 or more")
    return n


def check_pair(what: str, f: Function, result: Any) -> None:
    """Check that a step of a scan returned a carry and a result."""
    if not (isinstance(result, tuple) and len(result) == 2):
        got = f"a {type(result).__name__}" + (
            f" of {len(result)}" if isinstance(result, (tuple, list)) else ""
        )
        raise mistaken(f"the function of {what} returned {got}", "return (carry, y)", f)


def check_predicate(what: str, pred: Any, *functions: Function) -> None:
    """Check that a predicate is one truth value."""
    if isinstance(pred, (bool, np.bool_)):
        return
    try:
        found = pred.type if isinstance(pred, Tracer) else type_of(_arrayed(pred))
    except ETPError:
        found = None
    if found == TensorType(BOOL):
        return
    how = "compare numbers, for example x > 0"
    if found is not None and found.dtype is BOOL:
        how = "reduce it with xp.any or xp.all, or choose element by element with xp.where"
    shown = found if found is not None else type(pred).__name__
    subject = "predicate" if what == "cond" else "test"
    raise mistaken(f"the {subject} of etp.{what} must be one truth value, got {shown}", how,
                   *functions)  # fmt: skip


def mistaken(what: str, how: str, *functions: Function) -> ModelError:
    """Return an error with the user's line, and where the functions given are defined."""
    source = user_source()
    where = [f"at {source}"] if source else []
    for f in functions:
        if place := place_of(f):
            where.append(f"{getattr(f, '__name__', 'function').strip('<>')} is {place}")
    return ModelError(compose(what, where="\n".join(where), how=how))


def check_structure(what: str, before: str, after: str, f: Function) -> None:
    """Check that a step hands on the structure it was given."""
    if before != after:
        raise mistaken(
            f"the carry of {what} starts as {before} and comes back as {after} (* is an array)",
            "return the structure that it starts with", f,
        )  # fmt: skip


def check_carry(what: str, builder: Builder, type: TensorType, x: Any, f: Function) -> None:
    """Check that a step hands on the type it was given; a number fits every shape."""
    if isinstance(x, Tracer):
        found = x.type
        fits = found == type
    else:
        found = TensorType(result_dtype(builder, [x]))
        kinds = ("bool", "uint", "int", "float")
        fits = kinds.index(found.dtype.kind) <= kinds.index(type.dtype.kind)
    if not fits:
        raise mistaken(
            f"the carry of {what} starts as {type} and comes back as {found}",
            f"start with an array of type {found}, or {_conversion(type, found)}", f,
        )  # fmt: skip


def _conversion(a: TensorType, b: TensorType) -> str:
    if a.shape == b.shape:
        return "convert one with xp.astype"
    return "make the shapes equal, for example with xp.broadcast_to"
