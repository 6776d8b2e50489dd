"""States that hold a rearrangement of a value which the rest of the step reads as it is."""

from __future__ import annotations

from collections.abc import Sequence

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Operand, Program, Value
from etp_ir.tracer import Tracer, copy_nodes

REARRANGED = ("reshape", "permute")


def through_states(program: Program) -> Program:
    """Return the step in which what a state holds rearranged is read from the state.

    Learning signals arrive at the new values of states. Of a value that is reshaped to be held, and
    read as it was, the state would be a branch that leads nowhere.
    """
    new = {o.value for o in program.outputs_of("state")}
    ways: dict[Value, list[Node]] = {}
    for value in new:
        way = _way(program, value)
        if way and way[0].inputs[0] in program.producers and way[0].inputs[0] not in new:
            start = way[0].inputs[0]
            assert isinstance(start, Value)
            ways.setdefault(start, way)
    if not ways:
        return program
    b = Builder(program.name)
    b.inputs = list(program.inputs)
    env: dict[Operand, Operand] = {}
    done: set[Node] = set()
    for node in program.nodes:
        if node in done:
            continue
        copy_nodes([node], b, env)
        for value in node.outputs:
            if value in ways:
                copy_nodes(ways[value], b, env)
                done.update(ways[value])
                env[value] = _back(Tracer(b, env[ways[value][-1].output]), ways[value])  # type: ignore[arg-type]
    return b.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])


def _way(program: Program, value: Operand) -> list[Node]:
    """Return the rearrangements that a value has come through."""
    found: list[Node] = []
    while isinstance(value, Value) and value in program.producers:
        node = program.producers[value]
        if node.primitive.name not in REARRANGED:
            break
        found.insert(0, node)
        value = node.inputs[0]
    return found


def _back(x: Tracer, way: Sequence[Node]) -> Value:
    """Return a value as it was before it was rearranged."""
    for node in reversed(way):
        if node.primitive.name == "reshape":
            x = ops.reshape(x, node.inputs[0].type.shape)
        else:
            order = node.attrs["order"]
            x = ops.permute(x, [order.index(k) for k in range(len(order))])
    return x.value
