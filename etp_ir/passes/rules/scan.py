"""Rules of `scan`: what does not change from step to step is not handed from step to step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from ... import ops
from ...core import Literal, Node, Operand, Program, Value
from ...loop import Loop, filled, kinds
from ...tracer import Tracer, copy_nodes, wrap
from ..rewrite import Match, rule


@frozen
class Same:
    """Stands for an input of the body that is always equal to an earlier one."""

    index: int


@rule("scan")
def resolved_inputs(m: Match) -> Any:
    """Drop operands that are constant, given twice, or carried unchanged."""
    body = m.attrs["body"]
    known: dict[int, Any] = {}
    first: dict[tuple[Operand, str], int] = {}
    for i, (kind, port) in enumerate(zip(_kinds(m), body.inputs, strict=True)):
        x = m.args[i]
        if kind == "carry":
            if body.outputs[i - m.attrs["consts"]].value is port.value:
                known[i] = _array(m, i)
        elif (number := m.constant(x)) is not None:
            known[i] = number
        elif (m.operands[i], kind) in first:
            known[i] = Same(first[m.operands[i], kind])
        else:
            first[m.operands[i], kind] = i
            spread = m.definition(x, "broadcast") if kind == "slot" else None
            if spread and 0 not in spread.attrs["axes"]:
                axes = [a - 1 for a in spread.attrs["axes"]]
                known[i] = ops.broadcast(m.inputs(spread)[0], port.type.shape, axes)
    return _rebuilt(m, inputs=known) if known else None


@rule("scan")
def invariant_nodes(m: Match) -> Any:
    """Run nodes that depend on constants only once, before the loop."""
    body, consts = m.attrs["body"], m.attrs["consts"]
    outer: dict[Operand, Operand] = {
        port.value: _array(m, i).value for i, port in enumerate(body.inputs[:consts])
    }
    steady = set(outer)
    hoisted: list[Node] = []
    for node in body.nodes:
        read = [x for x in node.inputs if isinstance(x, Value)]
        if read and steady.issuperset(read):
            hoisted.append(node)
            steady.update(node.outputs)
    # A broadcast is free where it is read and costs memory where it is kept: it stays inside.
    gone = {node for node in hoisted if node.primitive.name != "broadcast"}
    if not gone:
        return None
    copy_nodes(hoisted, m.builder, outer)
    inside = [node for node in body.nodes if node not in gone]
    read_inside = {x for n in inside for x in n.inputs} | {o.value for o in body.outputs}
    ready = [v for n in hoisted if n in gone for v in n.outputs if v in read_inside]
    return _rebuilt(m, nodes=inside, ready={v: wrap(m.builder, outer[v]) for v in ready})


@rule("scan")
def invariant_results(m: Match) -> Any:
    """Spread a stacked result that is the same at each step outside of the loop."""
    body, consts, carries = m.attrs["body"], m.attrs["consts"], m.attrs["carries"]
    place = {port.value: i for i, port in enumerate(body.inputs[:consts])}
    known: dict[int, Any] = {}
    for i, out in enumerate(body.outputs[carries:], start=carries):
        shape = (m.attrs["length"], *out.type.shape)
        number = _number(body, out.value)
        if number is not None:
            known[i] = filled(m.builder, number, out.type.with_shape(shape))
        elif out.value in place:
            known[i] = ops.broadcast(_array(m, place[out.value]), shape, range(1, len(shape)))
    return _rebuilt(m, results=known) if known else None


def _kinds(m: Match) -> list[str]:
    return kinds(m.attrs["body"], m.attrs["consts"], m.attrs["carries"])


def _array(m: Match, i: int) -> Any:
    """Return operand ``i`` as an array, also where it is a literal."""
    x = m.args[i]
    return x if isinstance(x, Tracer) else filled(m.builder, x, m.operands[i].type)


def _number(body: Program, x: Operand) -> bool | int | float | None:
    """Return the number that a result of the body is filled with, or None."""
    if isinstance(x, Literal):
        return x.value
    node = body.producers.get(x)
    source = node.inputs[0] if node is not None and node.primitive.name == "broadcast" else None
    return source.value if isinstance(source, Literal) else None


def _rebuilt(
    m: Match, *,
    inputs: Mapping[int, Any] = {}, nodes: Sequence[Node] | None = None,
    ready: Mapping[Value, Any] = {}, results: Mapping[int, Any] = {},
) -> tuple[Any, ...]:  # fmt: skip
    """Return the results of the loop of a match, some of its parts replaced.

    Parameters
    ----------
    inputs
        What is known of an input of the body: a number that fills it, `Same`, or the array that
        it is at every step. A carry that is known is also the result.
    nodes
        Nodes of the body that remain.
    ready
        Values of the body that are arrays outside of the loop.
    results
        Results known without the loop.
    """
    from ..simplify import simplify

    body, consts, carries = m.attrs["body"], m.attrs["consts"], m.attrs["carries"]
    loop = Loop(m.builder, body.name, m.attrs["length"], m.attrs["reverse"])
    env: dict[Operand, Operand] = {}
    for i, (kind, port) in enumerate(zip(_kinds(m), body.inputs, strict=True)):
        known = inputs.get(i)
        if isinstance(known, Same):
            env[port.value] = env[body.inputs[known.index].value]
        elif isinstance(known, Tracer):
            env[port.value] = loop.add("const", known, port.type, port.name).value
        elif known is not None:
            env[port.value] = filled(loop.builder, known, port.type).value
        else:
            env[port.value] = loop.add(kind, _array(m, i), port.type, port.name).value
    for value, x in ready.items():
        env[value] = loop.add("const", x, value.type, value.hint or "k").value
    copy_nodes(body.nodes if nodes is None else nodes, loop.builder, env)
    answer: dict[int, Any] = dict(results)
    keys: dict[int, Any] = {}
    for i, out in enumerate(body.outputs):
        value = env.get(out.value, out.value)
        if i < carries and consts + i in inputs:
            answer[i] = inputs[consts + i]
        elif i < carries:
            keys[i] = loop.hand(wrap(loop.builder, env[body.inputs[consts + i].value]), value)
        elif i not in answer:
            keys[i] = loop.stack(value)
    done = loop.run(simplify)
    return tuple(answer[i] if i in answer else done[keys[i]] for i in range(len(body.outputs)))
