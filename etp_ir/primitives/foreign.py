"""A call of a function that is no program: one of the array library that runs the program.

The functions are kept in a table under names that are the same in every process, so that a
program with a call prints, parses and compares like any other. It runs where a function of that
name has been defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..builder import Builder
from ..core import Literal, Operand, Role
from ..errors import LoweringError, TypeRuleError, compose
from ..primitive import NoDerivative, Primitive, get, register
from ..tracer import bind
from ..types import TensorType, parse_type
from .base import fronted

Function = Callable[..., Sequence[Any]]

FUNCTIONS: dict[str, Function] = {}


def define(name: str, function: Function) -> None:
    """Let nodes call a function of arrays, which returns a sequence of arrays and has no effects.

    A name stands for one meaning: defined again, it keeps the first function.
    """
    FUNCTIONS.setdefault(name, function)


def call(*arrays: Any, name: str) -> tuple[Any, ...]:
    """Return what the function called ``name`` makes of arrays.

    Raises
    ------
    LoweringError
        If there is none of that name in this process.
    """
    if name not in FUNCTIONS:
        raise LoweringError(
            compose(f"no foreign function {name!r} is defined in this process",
                    how="define it with `etp_ir.primitives.foreign.define`; for an optimiser, pass "
                        "the same transformation to `fit` again")
        )  # fmt: skip
    return tuple(FUNCTIONS[name](*arrays))


def _infer(*operands: Operand, function: str, types: tuple[str, ...]) -> tuple[TensorType, ...]:
    if any(isinstance(x, Literal) for x in operands):
        raise TypeRuleError("`foreign` takes arrays, not literals")
    return tuple(parse_type(text) for text in types)


def _reference(*arrays: Any, function: str, types: tuple[str, ...]) -> Any:
    results = call(*arrays, name=function)
    return results[0] if len(results) == 1 else results


def _batch(operands: Any, axes: Any, size: int, *, function: str, types: tuple[str, ...]) -> Any:
    """One call for each example: what the function makes of a batch is not known."""
    moved = fronted(operands, axes)
    b = Builder(function)
    ports = [
        b.input(f"x{i}", x.type if a is None else x.type.with_shape(x.shape[1:]), "const")
        for i, (x, a) in enumerate(zip(moved, axes, strict=True))
    ]
    values = b.emit(get("foreign"), ports, {"function": function, "types": types})
    # A scan takes what stays the same first, then what is sliced.
    order = sorted(range(len(axes)), key=lambda i: axes[i] is not None)
    b.inputs = [b.inputs[i] for i in order]
    body = b.finish([(v, Role("stack", (str(k),))) for k, v in enumerate(values)])
    results = bind(
        get("scan"), *(moved[i] for i in order), body=body, length=size,
        consts=sum(a is None for a in axes), carries=0, reverse=False,
    )  # fmt: skip
    results = results if isinstance(results, tuple) else (results,)
    return list(results), [0] * len(results)


register(
    Primitive(
        name="foreign",
        infer=_infer,
        reference=_reference,
        jvp=NoDerivative(
            "the foreign function {function!r}",
            "write it on etp.xp, whose functions are differentiable",
        ),
        batch=_batch,
    )
)
