"""A model as text: its modules as a tree, with what each holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .variables import Buffer, Param, State, Variable

# What is no parameter is said to be so; parameters are what one looks for.
_KINDS = {Param: "", State: "state ", Buffer: "buffer "}


def outline(module: Any) -> str:
    """Return a module, its parameters, states and buffers with shapes, and its submodules.

    A line for each module, indented below the one that holds it; what stands in several places is
    shown at the first.
    """
    return "\n".join(_lines(module, "", 0, {id(module)}))


def _lines(module: Any, name: str, depth: int, seen: set[int]) -> Iterator[str]:
    parts = list(_parts(vars(module), "", seen))
    title = f"{name}: {type(module).__name__}" if name else type(module).__name__
    held = ", ".join(_variable(path, item) for path, item in parts if isinstance(item, Variable))
    yield "  " * depth + title + (f"  {held}" if held else "")
    for path, item in parts:
        if not isinstance(item, Variable):
            yield from _lines(item, path, depth + 1, seen)


def _parts(items: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield variables and modules that were not seen before, also in lists, tuples and dicts."""
    for key, part in items.items() if isinstance(items, dict) else enumerate(items):
        name = f"{path}.{key}" if path else str(key)
        holds = isinstance(part, (dict, list, tuple))
        module = hasattr(type(part), "named_params")
        if not (holds or module or isinstance(part, Variable)) or id(part) in seen:
            continue
        seen.add(id(part))
        if holds:
            yield from _parts(part, name, seen)
            continue
        yield name, part
        if isinstance(part, State) and part.initial is not None:
            yield from _parts({"init": part.initial}, name, seen)


def _variable(name: str, variable: Variable) -> str:
    kind = next(word for cls, word in _KINDS.items() if isinstance(variable, cls))
    frozen = isinstance(variable, Param) and not variable.trainable
    return f"{kind}{name} {variable.shape}{' frozen' if frozen else ''}"
