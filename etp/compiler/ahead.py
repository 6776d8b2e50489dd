"""Weight products of a loop that do not wait for its rounds, computed before it for all rounds.

The product of every round with one weight becomes one product of stacked inputs, whose results
enter the loop slice by slice. So traces need nothing of the loop, however long it is.
"""

from __future__ import annotations

from attrs import evolve

from etp_ir.builder import Builder
from etp_ir.core import Input, Node, Operand, Output, Program, Role, Value
from etp_ir.loop import Loop, kinds
from etp_ir.primitives.loop_rules import ancestors, dependents
from etp_ir.tracer import Tracer, copy_nodes, operand, replay, wrap
from etp_ir.transforms.batch import batch_program

from .uses import uses_of


def ahead(program: Program) -> Program:
    """Return the program with such products before their loops, also inside regions."""
    builder = Builder(program.name)
    builder.inputs = list(program.inputs)
    env: dict[Operand, Operand] = {}
    for node in program.nodes:
        if node.regions:
            attrs = {k: ahead(v) if isinstance(v, Program) else v for k, v in node.attrs.items()}
            node = evolve(node, attrs=attrs)
        moving = _moving(node) if node.primitive.name == "scan" else []
        if moving:
            with builder.at(node.source):
                _split(builder, env, node, moving)
        else:
            copy_nodes([node], builder, env)
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])


def _moving(node: Node) -> list[Node]:
    """Return the nodes of a loop's body that products before the loop need, and these."""
    body, consts, carries = node.attrs["body"], node.attrs["consts"], node.attrs["carries"]
    values = [port.value for port in body.inputs]
    waiting = dependents(body.nodes, values[consts : consts + carries])
    sliced = dependents(body.nodes, values[consts + carries :])
    products = [
        n.output for n in body.nodes
        if n.primitive.leading is not None and waiting.isdisjoint(n.inputs)
        and sliced.isdisjoint(use.weight for use in uses_of(n))
    ]  # fmt: skip
    return ancestors(body.nodes, products) if products else []


def _split(builder: Builder, env: dict[Operand, Operand], node: Node, moving: list[Node]) -> None:
    """Append a loop without the nodes that move, and these before it."""
    body, consts, carries = node.attrs["body"], node.attrs["consts"], node.attrs["carries"]
    length: int = node.attrs["length"]
    given = [env.get(x, x) for x in node.inputs]
    outer: dict[Operand, Operand] = {
        p.value: x for p, x in zip(body.inputs[:consts], given, strict=False)
    }
    rows = {
        p.value: x
        for p, x in zip(body.inputs[consts + carries :], given[consts + carries :], strict=True)
    }
    varying = dependents(moving, list(rows))
    copy_nodes([n for n in moving if varying.isdisjoint(n.outputs)], builder, outer)

    stay = [n for n in body.nodes if n not in set(moving)]
    read = {x for n in stay for x in n.inputs} | {o.value for o in body.outputs}
    ready = [v for n in moving for v in n.outputs if v in read]
    stacks = dict(rows)
    nodes = [n for n in moving if not varying.isdisjoint(n.outputs)]
    results = [v for v in ready if v in varying]
    if nodes:
        made = {v for n in nodes for v in n.outputs}
        used = [x for n in nodes for x in n.inputs if isinstance(x, Value) and x not in made]
        ports = [Input(f"i{k}", Role("value"), v) for k, v in enumerate(dict.fromkeys(used))]
        part = Program(
            "ahead", tuple(ports), tuple(nodes),
            tuple(Output(v, Role("value", (str(k),))) for k, v in enumerate(results)),
        )  # fmt: skip
        axes = {p.name: 0 for p in ports if p.value in rows}
        whole = batch_program(part, length, axes, force=range(len(results)))
        arguments = [wrap(builder, rows.get(p.value, outer.get(p.value, p.value))) for p in ports]
        found = replay(whole, builder, arguments)
        stacks |= {v: x.value for v, x in zip(results, found, strict=True)}

    loop = Loop(builder, body.name, length, node.attrs["reverse"])
    inner: dict[Operand, Operand] = {}
    for kind, port, x in zip(kinds(body, consts, carries), body.inputs, given, strict=True):
        inner[port.value] = loop.add(kind, wrap(builder, x), port.type, port.name).value
    for v in ready:
        kind, x = ("slot", stacks[v]) if v in stacks else ("const", outer[v])
        inner[v] = loop.add(kind, wrap(builder, x), v.type, v.hint or "y").value
    copy_nodes(stay, loop.builder, inner)
    keys = []
    for k, out in enumerate(body.outputs):
        value = inner.get(out.value, out.value)
        if k < carries:
            carry = Tracer(loop.builder, inner[body.inputs[consts + k].value])  # type: ignore[arg-type]
            keys.append(loop.hand(carry, value))
        else:
            keys.append(loop.stack(value))
    done = loop.run()
    for old, key in zip(node.outputs, keys, strict=True):
        env[old] = operand(builder, done[key])
