"""Nested tuples, lists and dicts of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import frozen

from etp_ir.tracer import unwrap


@frozen
class Tree:
    """The leaves of a nested structure, and what it takes to build it again.

    Attributes
    ----------
    leaves
        Arrays and numbers, in order; parameters and states stand for their current values.
    structure
        Text of the structure with ``*`` for leaves; equal for equal structures.
    """

    leaves: tuple[Any, ...]
    structure: str
    _build: Callable[[Iterator[Any]], Any]

    def build(self, leaves: Sequence[Any]) -> Any:
        """Return the same structure with other leaves."""
        return self._build(iter(leaves))


def flatten(item: Any) -> Tree:
    """Return the leaves of nested tuples, lists and dicts; None has none."""
    if item is None:
        return Tree((), "None", lambda leaves: None)
    if isinstance(item, dict):
        keys = list(item)
        parts = [flatten(item[key]) for key in keys]
        shown = ", ".join(f"{k!r}: {p.structure}" for k, p in zip(keys, parts, strict=True))
        return Tree(
            _leaves(parts), f"{{{shown}}}",
            lambda leaves: {k: p._build(leaves) for k, p in zip(keys, parts, strict=True)},
        )  # fmt: skip
    if isinstance(item, (tuple, list)):
        parts = [flatten(x) for x in item]
        shown = ", ".join(p.structure for p in parts)
        kind = type(item)
        text = f"[{shown}]" if kind is list else f"({shown})"

        def build(leaves: Iterator[Any]) -> Any:
            made = [p._build(leaves) for p in parts]
            return kind(*made) if hasattr(kind, "_fields") else kind(made)

        return Tree(_leaves(parts), text, build)
    return Tree((unwrap(item),), "*", next)


def _leaves(parts: Sequence[Tree]) -> tuple[Any, ...]:
    return tuple(x for part in parts for x in part.leaves)
