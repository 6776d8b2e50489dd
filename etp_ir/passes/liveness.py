"""When values die."""

from __future__ import annotations

from ..core import Node, Program, Value


def last_uses(program: Program) -> dict[Node, tuple[Value, ...]]:
    """Return, for each node, the values nobody reads after it.

    Values the node defines and nobody reads are among them; inputs and outputs of the program
    never are.
    """
    kept = {port.value for port in program.inputs}
    kept.update(out.value for out in program.outputs if isinstance(out.value, Value))
    seen: set[Value] = set()
    found: dict[Node, tuple[Value, ...]] = {}
    for node in reversed(program.nodes):
        touched = dict.fromkeys((*node.inputs, *node.outputs))
        dying = [
            v for v in touched if isinstance(v, Value) and v not in seen and v not in kept
        ]
        seen.update(dying)
        found[node] = tuple(dying)
    return {node: found[node] for node in program.nodes}
