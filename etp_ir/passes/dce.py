"""Removal of nodes whose results nobody reads."""

from __future__ import annotations

from attrs import evolve

from ..core import Node, Program, Value


def dce(program: Program) -> Program:
    """Return the program without dead nodes; inputs and outputs stay."""
    live: set[Value] = {o.value for o in program.outputs if isinstance(o.value, Value)}
    kept: list[Node] = []
    for node in reversed(program.nodes):
        if any(v in live for v in node.outputs):
            kept.append(node)
            live.update(x for x in node.inputs if isinstance(x, Value))
    return evolve(program, nodes=tuple(reversed(kept)))
