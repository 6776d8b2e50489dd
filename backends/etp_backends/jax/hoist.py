"""Constants of a loop laid out for its products once, before the loop."""

from __future__ import annotations

from math import prod
from typing import Any

from attrs import evolve

from etp_ir.core import Input, Node, Operand, Program, Role, Value
from etp_ir.primitive import get
from etp_ir.primitives.contract import Spec, parse_spec


def hoist(program: Program) -> Program:
    """Return the program whose scans multiply by constants that lie as matrices ``[in, out]``.

    A product with a transposed weight, as every backward recurrence has it, makes Eigen
    transpose the weight in each step, which takes 3 times as long as the product (n = 256 and
    512, 16 examples). XLA folds a transpose inside the loop back into the product; one before
    the loop stays.
    """
    nodes: list[Node] = []
    for node in program.nodes:
        if node.primitive.name == "scan":
            attrs = {**node.attrs, "body": hoist(node.attrs["body"])}
            before, node = _split(evolve(node, attrs=attrs))
            nodes.extend(before)
        nodes.append(node)
    return evolve(program, nodes=tuple(nodes))


def _split(scan: Node) -> tuple[list[Node], Node]:
    """Return the nodes to run before a scan, and the scan without them."""
    if scan.attrs["length"] < 2:
        return [], scan
    consts: int = scan.attrs["consts"]
    body, moving = _oriented(scan.attrs["body"], consts)
    outer: dict[Operand, Operand] = {
        port.value: x for port, x in zip(body.inputs[:consts], scan.inputs[:consts], strict=True)
    }
    before: list[Node] = []
    kept: list[Node] = []
    for node in body.nodes:
        if node not in moving:
            kept.append(node)
            continue
        outputs = tuple(Value(v.type, v.hint) for v in node.outputs)
        inputs = tuple(outer.get(x, x) for x in node.inputs)
        before.append(evolve(node, inputs=inputs, outputs=outputs))
        outer.update(zip(node.outputs, outputs, strict=True))
    read = {x for node in kept for x in node.inputs} | {out.value for out in body.outputs}
    added = [v for node in moving for v in node.outputs if v in read]
    ports = [Input(f"hoisted{i}", Role("const"), v) for i, v in enumerate(added)]
    body = evolve(
        body, inputs=(*body.inputs[:consts], *ports, *body.inputs[consts:]), nodes=tuple(kept)
    )
    operands = (*scan.inputs[:consts], *(outer[v] for v in added), *scan.inputs[consts:])
    attrs = {**scan.attrs, "body": body, "consts": consts + len(added)}
    return before, evolve(scan, inputs=operands, attrs=attrs)


def _oriented(body: Program, consts: int) -> tuple[Program, dict[Node, None]]:
    """Return a region with constants permuted for its products, and what to move before it."""
    fixed: dict[Value, Node | None] = {port.value: None for port in body.inputs[:consts]}
    nodes: list[Node] = []
    moving: dict[Node, None] = {}
    made: dict[tuple[Value, tuple[int, ...]], Value] = {}

    def move(value: Value) -> None:
        node = fixed[value]
        if node is not None and node not in moving:
            for x in node.inputs:
                if isinstance(x, Value):
                    move(x)
            moving[node] = None

    for node in body.nodes:
        values = [x for x in node.inputs if isinstance(x, Value)]
        still = [x for x in values if x in fixed]
        if node.primitive.name == "contract" and len(values) == 2 and len(still) == 1:
            (w,) = still
            order = _order(node, node.inputs.index(w))
            if order is not None:
                if (w, order) not in made:
                    type = w.type.with_shape(tuple(w.type.shape[i] for i in order))
                    made[w, order] = Value(type, w.hint)
                    permute = Node(get("permute"), (w,), (made[w, order],), {"order": order})
                    fixed[made[w, order]] = permute
                    nodes.append(permute)
                    move(made[w, order])
                node = _with(node, node.inputs.index(w), made[w, order], order)
        elif values and len(still) == len(values) and _no_larger(node, values):
            fixed.update(dict.fromkeys(node.outputs, node))
            if node.primitive.name == "permute":
                move(node.output)
        nodes.append(node)
    return evolve(body, nodes=tuple(nodes)), moving


def _no_larger(node: Node, values: list[Value]) -> bool:
    """Whether the results of a node take no more memory than its operands."""
    return sum(v.type.nbytes for v in node.outputs) <= sum(v.type.nbytes for v in values)


def _order(node: Node, place: int) -> tuple[int, ...] | None:
    """Return the order of axes a constant operand of a matrix product should have, if not its own.

    Batch axes lead, summed ones follow, those of the output come last.
    """
    spec = parse_spec(node.attrs["spec"])
    w, v = (spec.x, spec.y) if place == 0 else (spec.y, spec.x)
    sizes: dict[str, int] = {}
    for term, x in zip((spec.x, spec.y), node.inputs, strict=True):
        sizes.update(zip(term, x.type.shape, strict=True))
    summed = [c for c in v if c in w and c not in spec.out]
    rows = prod(sizes[c] for c in v if c not in w and c in spec.out)
    if not summed or rows < 2 or any(c not in spec.out and c not in v for c in w):
        return None
    wanted = [c for c in v if c in w and c in spec.out] + summed
    wanted += [c for c in spec.out if c in w and c not in v]
    order = tuple(w.index(c) for c in wanted)
    return None if order == tuple(range(len(w))) else order


def _with(node: Node, place: int, operand: Value, order: tuple[int, ...]) -> Node:
    """Return a contraction with one operand replaced by its permuted form."""
    spec = parse_spec(node.attrs["spec"])
    terms: list[Any] = [spec.x, spec.y]
    terms[place] = "".join(terms[place][i] for i in order)
    inputs = list(node.inputs)
    inputs[place] = operand
    attrs = {"spec": str(Spec(terms[0], terms[1], spec.out))}
    return evolve(node, inputs=tuple(inputs), attrs=attrs)
