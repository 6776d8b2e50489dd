"""Sums moved into the loops that accumulate what is summed."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..builder import Builder
from ..core import Node, Operand, Program, Value
from ..tracer import Tracer, copy_nodes, wrap
from .rewrite import count_uses


def accumulate_sums(program: Program) -> Program:
    """Return the program in which a carry read only by a sum carries the sum.

    A carry qualifies when the body does nothing with it but add to it, as a gradient does; a
    loop over a batch then holds one gradient instead of one per example.
    """
    uses = count_uses(program)
    sums: dict[Node, dict[int, Node]] = {}
    for node in program.nodes:
        x = node.inputs[0] if node.primitive.name == "reduce_sum" else None
        if not isinstance(x, Value) or uses[x] != 1:
            continue
        loop = program.producers.get(x)
        if loop is None or loop.primitive.name != "scan":
            continue
        place = loop.outputs.index(x)
        if _accumulates(loop, place):
            sums.setdefault(loop, {})[place] = node
    if not sums:
        return program
    absorbed = {node for places in sums.values() for node in places.values()}
    builder = Builder(program.name, share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in program.inputs
    }
    for node in program.nodes:
        if node in sums:
            _emit(builder, env, node, sums[node])
        elif node not in absorbed:
            copy_nodes([node], builder, env)
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])


def _accumulates(loop: Node, place: int) -> bool:
    """Whether result ``place`` is a carry to which the body only adds."""
    body = loop.attrs["body"]
    if place >= loop.attrs["carries"]:
        return False
    carry, result = body.inputs[loop.attrs["consts"] + place].value, body.outputs[place].value
    update = body.producers.get(result) if isinstance(result, Value) else None
    uses = count_uses(body)
    return (
        update is not None and update.primitive.name == "add" and carry in update.inputs
        and uses[carry] == 1 and uses[result] == 1
    )  # fmt: skip


def _emit(
    builder: Builder, env: dict[Operand, Operand], loop: Node, sums: dict[int, Node]
) -> None:
    """Append the loop with its carries ``sums`` summed, and record what its results became."""
    body, consts = loop.attrs["body"], loop.attrs["consts"]
    operands = [env.get(x, x) for x in loop.inputs]
    for place, node in sums.items():
        initial = wrap(builder, operands[consts + place])
        operands[consts + place] = ops.reduce_sum(initial, node.attrs["axes"]).value
    attrs = {**loop.attrs, "body": _body(body, consts, sums)}
    with builder.at(loop.source):
        outputs = builder.emit(loop.primitive, operands, attrs)
    for i, (old, new) in enumerate(zip(loop.outputs, outputs, strict=True)):
        env[sums[i].output if i in sums else old] = new


def _body(body: Program, consts: int, sums: dict[int, Node]) -> Program:
    builder = Builder(body.name, share=True)
    env: dict[Operand, Operand] = {}
    for i, port in enumerate(body.inputs):
        summed = sums.get(i - consts)
        type = summed.output.type if summed else port.type
        env[port.value] = builder.input(port.name, type, port.role)
    updates = {
        node: i for i in sums for node in body.nodes if body.outputs[i].value in node.outputs
    }
    for node in body.nodes:
        if node not in updates:
            copy_nodes([node], builder, env)
            continue
        place = updates[node]
        carry = body.inputs[consts + place].value
        axes = sums[place].attrs["axes"]
        terms: list[Any] = []
        for x in node.inputs:
            term = wrap(builder, env.get(x, x))
            if x is not carry:
                if not isinstance(term, Tracer):
                    term = ops.full(builder, carry.type.shape, term, carry.type.dtype)
                term = ops.reduce_sum(term, axes)
            terms.append(term)
        env[node.output] = ops.add(*terms).value
    return builder.finish([(env.get(o.value, o.value), o.role) for o in body.outputs])



