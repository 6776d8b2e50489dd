"""What depends on what among nodes in order of execution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core import Node, Operand


def reached(nodes: Sequence[Node], start: Iterable[Operand]) -> dict[Node, None]:
    """Return the nodes that depend on operands, in order."""
    values, found = set(start), dict[Node, None]()
    for node in nodes:
        if not values.isdisjoint(node.inputs):
            found[node] = None
            values.update(node.outputs)
    return found


def needed(nodes: Sequence[Node], results: Iterable[Operand]) -> dict[Node, None]:
    """Return the nodes on which operands depend, in order."""
    values, found = set(results), []
    for node in reversed(nodes):
        if not values.isdisjoint(node.outputs):
            found.append(node)
            values.update(node.inputs)
    return dict.fromkeys(reversed(found))
