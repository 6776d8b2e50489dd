"""Removal of what nobody reads: nodes, and inside loops carries, results and operands."""

from __future__ import annotations

from attrs import evolve

from ..core import Node, Operand, Program


def dce(program: Program) -> Program:
    """Return the program without dead nodes; its inputs and outputs stay."""
    live: set[Operand] = {out.value for out in program.outputs}
    kept: list[Node] = []
    for node in reversed(program.nodes):
        if live.isdisjoint(node.outputs):
            continue
        node = pruned(node, live)
        kept.append(node)
        live.update(node.inputs)
    return evolve(program, nodes=tuple(reversed(kept)))


def pruned(node: Node, live: set[Operand]) -> Node:
    """Return the node with dead code removed from its regions."""
    if node.primitive.prune is not None:
        result: Node = node.primitive.prune(node, live)
        return result
    return node.with_regions(dce)
