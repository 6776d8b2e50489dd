"""Rules of `scan`: what does not change from step to step is not handed from step to step."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...builder import Builder
from ...core import Literal, Node, Operand, Program, Value
from ...tracer import Tracer, copy_nodes, wrap
from ..rewrite import Match, rule


@rule("scan")
def resolved_inputs(m: Match) -> Any:
    """Drop operands that are constant, given twice, or carried unchanged."""
    body, consts, carries = m.attrs["body"], m.attrs["consts"], m.attrs["carries"]
    filled: dict[int, Any] = {}
    same: dict[int, int] = {}
    moved: dict[int, Any] = {}
    first: dict[tuple[Operand, bool], int] = {}
    for i, port in enumerate(body.inputs):
        sliced = i >= consts + carries
        if consts <= i < consts + carries:
            if body.outputs[i - consts].value is port.value:
                moved[i] = _array(m, i)
            continue
        number = m.constant(m.args[i])
        if number is not None:
            filled[i] = number
        elif (m.operands[i], sliced) in first:
            same[i] = first[m.operands[i], sliced]
        else:
            first[m.operands[i], sliced] = i
            spread = m.definition(m.args[i], "broadcast") if sliced else None
            if spread and 0 not in spread.attrs["axes"]:
                axes = [a - 1 for a in spread.attrs["axes"]]
                moved[i] = ops.broadcast(m.inputs(spread)[0], port.type.shape, axes)
    if not (filled or same or moved):
        return None
    return _with_inputs(m, filled, same, moved)


def _with_inputs(
    m: Match, filled: dict[int, Any], same: dict[int, int], moved: dict[int, Any]
) -> Any:
    """Return the results with some inputs filled, unified, or moved among the constants."""
    body, consts, carries = m.attrs["body"], m.attrs["consts"], m.attrs["carries"]
    own = [i for i in range(len(body.inputs)) if i not in filled and i not in same]
    groups = [
        [i for i in own if i < consts or i in moved],
        [i for i in own if consts <= i < consts + carries and i not in moved],
        [i for i in own if i >= consts + carries and i not in moved],
    ]
    order = [i for group in groups for i in group]
    builder, env = _region(body, order)
    for i, number in filled.items():
        type = body.inputs[i].type
        env[body.inputs[i].value] = ops.full(builder, type.shape, number, type.dtype).value
    for i, k in same.items():
        env[body.inputs[i].value] = env[body.inputs[k].value]
    copy_nodes(body.nodes, builder, env)
    fixed = {i - consts: x for i, x in moved.items() if consts <= i < consts + carries}
    slim = _close(builder, env, body, [i for i in range(len(body.outputs)) if i not in fixed])
    operands = [moved[i] if i in moved else _array(m, i) for i in order]
    return _results(m, slim, operands, len(groups[0]), len(groups[1]), fixed)


@rule("scan")
def invariant_nodes(m: Match) -> Any:
    """Run nodes that depend on constants only once, before the loop."""
    body, consts = m.attrs["body"], m.attrs["consts"]
    steady = {port.value for port in body.inputs[:consts]}
    hoisted: list[Node] = []
    for node in body.nodes:
        read = [x for x in node.inputs if isinstance(x, Value)]
        if read and all(x in steady for x in read):
            hoisted.append(node)
            steady.update(node.outputs)
    # A broadcast is free where it is read and costs memory where it is kept: it stays inside.
    stay = {node for node in hoisted if node.primitive.name == "broadcast"}
    if len(stay) == len(hoisted):
        return None
    outer: dict[Operand, Operand] = {
        port.value: _array(m, i).value for i, port in enumerate(body.inputs[:consts])
    }
    copy_nodes(hoisted, m.builder, outer)
    inside = [n for n in body.nodes if n in stay or n not in set(hoisted)]
    ready = [v for n in hoisted if n not in stay for v in n.outputs]
    read_inside = {x for n in inside for x in n.inputs} | {o.value for o in body.outputs}
    extra = [v for v in ready if v in read_inside]
    builder, env = _region(body, range(consts))
    for k, value in enumerate(extra):
        env[value] = builder.input(_fresh(body, f"k{k}"), value.type, "const")
    for port in body.inputs[consts:]:
        env[port.value] = builder.input(port.name, port.type, port.role)
    copy_nodes(inside, builder, env)
    region = _close(builder, env, body, range(len(body.outputs)))
    arrays = [_array(m, i) for i in range(len(body.inputs))]
    arrays[consts:consts] = [wrap(m.builder, outer[v]) for v in extra]
    return _results(m, region, arrays, consts + len(extra), m.attrs["carries"], {})


@rule("scan")
def invariant_results(m: Match) -> Any:
    """Spread a stacked result that is the same at each step outside of the loop."""
    body, consts, carries = m.attrs["body"], m.attrs["consts"], m.attrs["carries"]
    place = {port.value: i for i, port in enumerate(body.inputs[:consts])}
    fixed: dict[int, Any] = {}
    for i, out in enumerate(body.outputs[carries:], start=carries):
        shape = (m.attrs["length"], *out.type.shape)
        number = _number(body, out.value)
        if number is not None:
            fixed[i] = ops.full(m.builder, shape, number, out.type.dtype)
        elif out.value in place:
            fixed[i] = ops.broadcast(_array(m, place[out.value]), shape, range(1, len(shape)))
    if not fixed:
        return None
    left = [o for i, o in enumerate(body.outputs) if i not in fixed]
    slim = Program(body.name, body.inputs, body.nodes, tuple(left))
    arrays = [_array(m, i) for i in range(len(body.inputs))]
    return _results(m, slim, arrays, consts, carries, fixed)


def _array(m: Match, i: int) -> Tracer:
    """Return operand ``i`` as an array, also where it is a literal."""
    x = m.args[i]
    if isinstance(x, Tracer):
        return x
    return ops.full(m.builder, (), x, m.operands[i].type.dtype)


def _region(body: Program, order: Any) -> tuple[Builder, dict[Operand, Operand]]:
    """Return a builder with some of the inputs of the body, and where they went."""
    builder = Builder(body.name, share=True)
    ports = [body.inputs[i] for i in order]
    return builder, {p.value: builder.input(p.name, p.type, p.role) for p in ports}


def _close(builder: Builder, env: dict[Operand, Operand], body: Program, kept: Any) -> Program:
    outputs = [body.outputs[i] for i in kept]
    return builder.finish([(env.get(o.value, o.value), o.role) for o in outputs])


def _results(
    m: Match, body: Program, arrays: list[Tracer], consts: int, carries: int, fixed: dict[int, Any]
) -> tuple[Any, ...]:
    """Return the results of the loop with another body, those of ``fixed`` known beforehand."""
    from ..simplify import simplify

    rest: Any = iter(())
    if body.outputs:
        attrs = {**m.attrs, "body": simplify(body), "consts": consts, "carries": carries}
        values = m.builder.emit(m.primitive, [x.value for x in arrays], attrs)
        rest = (wrap(m.builder, v) for v in values)
    count = len(m.attrs["body"].outputs)
    return tuple(fixed[i] if i in fixed else next(rest) for i in range(count))


def _fresh(body: Program, name: str) -> str:
    while name in body.input_names:
        name += "_"
    return name


def _number(body: Program, x: Operand) -> bool | int | float | None:
    """Return the number that a result of the body is filled with, or None."""
    if isinstance(x, Literal):
        return x.value
    node = body.producers.get(x)
    if node is None or node.primitive.name != "broadcast":
        return None
    source = node.inputs[0]
    return source.value if isinstance(source, Literal) else None
