"""What a composite operation computes, as a program of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from .builder import Builder
from .core import Node, Program, freeze
from .errors import TypeRuleError
from .tracer import Tracer
from .types import F32, TensorType


@frozen
class _Function:
    """A function with its attributes; equal to one of equal attributes."""

    call: Callable[..., Any]
    key: Any
    attrs: Mapping[str, Any] = field(eq=False)


def meaning(
    name: str, function: Callable[..., Any], types: Sequence[TensorType], attrs: Mapping[str, Any]
) -> Program:
    """Return ``function(*arrays, **attrs)`` as a program, its inputs in the order of the arrays.

    Raises
    ------
    TypeRuleError
        If the function uses other arrays too, or does not return one array.
    """
    return _traced(name, _Function(function, freeze(attrs), attrs), tuple(types))


@lru_cache(maxsize=1024)
def _traced(name: str, function: _Function, types: tuple[TensorType, ...]) -> Program:
    floats = [t.dtype for t in types if t.dtype.is_float]
    builder = Builder(name, share=True, float_dtype=(*floats, F32)[0])
    given = [Tracer(builder, builder.input(f"x{i}", t, "value")) for i, t in enumerate(types)]
    result = function.call(*given, **function.attrs)
    if builder.bindings:
        what = f"`{name}` uses arrays that are not among its operands"
        raise TypeRuleError(f"{what}\ngive them as arguments")
    if not isinstance(result, Tracer):
        what = f"`{name}` returns {result!r}, and not one array"
        raise TypeRuleError(f"{what}\nreturn one array; join several with concat")
    return builder.finish([(result.value, "value")])


def meaning_of(node: Node) -> Program | None:
    """Return what a composite node computes; None for a core primitive."""
    primitive = node.primitive
    if primitive.lower is None:
        return None
    return meaning(primitive.name, primitive.lower, [x.type for x in node.inputs], node.attrs)
