"""Nodes that cost nothing: rearrangements that are views, and constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etp_ir.core import Literal, Node
from etp_ir.types import TensorType

from .refs import Strides, reshaped_strides

# An expression over ``{x}`` and the strides of what it gives, or None where it has to copy.
View = tuple[str, Strides]


def indexed(terms: list[str]) -> str:
    """Return ``{x}`` indexed by one term per axis, without an index that takes everything."""
    return "{x}" if all(t == ":" for t in terms) else f"{{x}}[{', '.join(terms)}]"


def _slice(x: TensorType, strides: Strides, *, start: Any, stop: Any, step: Any) -> View:
    terms = []
    for extent, a, b, s in zip(x.shape, start, stop, step, strict=True):
        head, tail = str(a) if a else "", str(b) if b != extent else ""
        terms.append(f"{head}:{tail}" + (f":{s}" if s != 1 else ""))
    return indexed(terms), tuple(n * s for n, s in zip(strides, step, strict=True))


def _reverse(x: TensorType, strides: Strides, *, axes: Any) -> View:
    terms = ["::-1" if i in axes else ":" for i in range(x.rank)]
    return indexed(terms), tuple(-s if i in axes else s for i, s in enumerate(strides))


def _permute(x: TensorType, strides: Strides, *, order: Any) -> View:
    if list(order) == sorted(order):
        return "{x}", strides
    return f"{{x}}.transpose{tuple(order)}", tuple(strides[i] for i in order)


def _reshape(x: TensorType, strides: Strides, *, shape: Any) -> View | None:
    found = reshaped_strides(x.shape, strides, shape)
    return None if found is None else (f"{{x}}.reshape({tuple(shape)})", found)


def _broadcast(x: TensorType, strides: Strides, *, shape: Any, axes: Any) -> View:
    lead = axes[0] if axes else len(shape)
    terms = [":" if i in axes else "None" for i in range(lead, len(shape))] if axes else []
    spread = [0] * len(shape)
    for axis, stride in zip(axes, strides, strict=True):
        spread[axis] = stride
    return f"xp.broadcast_to({indexed(terms)}, {tuple(shape)})", tuple(spread)


def _cast(x: TensorType, strides: Strides, *, dtype: Any) -> View | None:
    return ("{x}", strides) if dtype is x.dtype else None


RULES: dict[str, Callable[..., View | None]] = {
    "slice": _slice, "reverse": _reverse, "permute": _permute, "reshape": _reshape,
    "broadcast": _broadcast, "cast": _cast,
}  # fmt: skip


def view_of(node: Node, strides: Strides) -> View | None:
    """Return the node as a view of its first operand, or None where it computes."""
    rule = RULES.get(node.primitive.name)
    return None if rule is None else rule(node.inputs[0].type, strides, **node.attrs)


def uniform_of(node: Node) -> Literal | None:
    """Return the number with which a node fills its result, or None."""
    if node.primitive.name == "broadcast" and isinstance(node.inputs[0], Literal):
        return node.inputs[0]
    return None
