"""Sums moved into the loops that accumulate what is summed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import ops
from ..builder import Builder
from ..core import Node, Operand, Program, Value
from ..loop import Loop, filled, kinds
from ..tracer import copy_nodes, wrap
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
    builder: Builder, env: dict[Operand, Operand], node: Node, sums: Mapping[int, Node]
) -> None:
    """Append the loop with its carries ``sums`` summed, and record what its results became."""
    body, consts, carries = node.attrs["body"], node.attrs["consts"], node.attrs["carries"]
    loop = Loop(builder, body.name, node.attrs["length"], node.attrs["reverse"])
    inner: dict[Operand, Operand] = {}
    for i, (kind, port) in enumerate(zip(kinds(body, consts, carries), body.inputs, strict=True)):
        x, type = wrap(builder, env.get(node.inputs[i], node.inputs[i])), port.type
        if kind == "carry" and i - consts in sums:
            total = sums[i - consts]
            x, type = ops.reduce_sum(x, total.attrs["axes"]), total.output.type
        inner[port.value] = loop.add(kind, x, type, port.name).value
    totals = {body.outputs[i].value: total for i, total in sums.items()}
    for n in body.nodes:
        total_of = totals.get(n.outputs[0])
        if total_of is None:
            copy_nodes([n], loop.builder, inner)
        else:
            carry = body.inputs[consts + node.outputs.index(total_of.inputs[0])].value
            terms = [
                wrap(loop.builder, inner[x]) if x is carry
                else ops.reduce_sum(_spread(loop, inner.get(x, x), carry), total_of.attrs["axes"])
                for x in n.inputs
            ]  # fmt: skip
            inner[n.output] = ops.add(*terms).value
    keys = []
    for i, out in enumerate(body.outputs):
        value = inner.get(out.value, out.value)
        if i < carries:
            keys.append(loop.hand(wrap(loop.builder, inner[body.inputs[consts + i].value]), value))
        else:
            keys.append(loop.stack(value))
    with builder.at(node.source):
        done = loop.run()
    for i, (old, key) in enumerate(zip(node.outputs, keys, strict=True)):
        env[sums[i].output if i in sums else old] = done[key].value


def _spread(loop: Loop, x: Operand, like: Value) -> Any:
    """Return an operand as an array of the type of ``like``, also where it is a literal."""
    term = wrap(loop.builder, x)
    return term if isinstance(x, Value) else filled(loop.builder, term, like.type)
