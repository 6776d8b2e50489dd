"""Loop-invariant code motion: what a loop computes from its constants is computed before it."""

from __future__ import annotations

from attrs import evolve

from etp_ir.core import Input, Node, Program, Role, Value


def hoist(program: Program) -> Program:
    """Return the program with invariant nodes moved out of the bodies of its scans."""
    nodes: list[Node] = []
    for node in program.nodes:
        if node.primitive.name == "scan":
            before, node = _hoisted(node)
            nodes.extend(before)
        nodes.append(node)
    return evolve(program, nodes=tuple(nodes))


def _hoisted(node: Node) -> tuple[list[Node], Node]:
    """Return the nodes to run before a scan, and the scan without them."""
    body: Program = hoist(node.attrs["body"])
    consts: int = node.attrs["consts"]
    outer = {
        port.value: operand
        for port, operand in zip(body.inputs[:consts], node.inputs[:consts], strict=True)
    }
    moved: list[Node] = []
    kept: list[Node] = []
    results: list[Value] = []
    for inner in body.nodes:
        if all(x in outer for x in inner.inputs if isinstance(x, Value)):
            inputs = tuple(outer[x] if isinstance(x, Value) else x for x in inner.inputs)
            outputs = tuple(Value(v.type, v.hint) for v in inner.outputs)
            moved.append(evolve(inner, inputs=inputs, outputs=outputs))
            outer.update(zip(inner.outputs, outputs, strict=True))
            results.extend(inner.outputs)
        else:
            kept.append(inner)
    read = {x for inner in kept for x in inner.inputs if isinstance(x, Value)}
    read.update(out.value for out in body.outputs if isinstance(out.value, Value))
    added = [v for v in results if v in read]
    ports = tuple(Input(f"hoisted_{i}", Role("const"), v) for i, v in enumerate(added))
    body = evolve(
        body,
        inputs=(*body.inputs[:consts], *ports, *body.inputs[consts:]),
        nodes=tuple(kept),
    )
    operands = (*node.inputs[:consts], *(outer[v] for v in added), *node.inputs[consts:])
    attrs = {**node.attrs, "body": body, "consts": consts + len(added)}
    return moved, evolve(node, inputs=operands, attrs=attrs)
