"""Forward mode: tangents pushed through nodes. A tangent of None is zero."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .. import ops
from ..builder import Builder
from ..core import Literal, Node, Operand, Program, Role, Value
from ..tracer import Tracer, copy_nodes, wrap

Edge = tuple[Node, int]


def push(
    builder: Builder,
    nodes: Sequence[Node],
    tangents: Mapping[Value, Any],
    *,
    perturb: Mapping[Value, Tracer] | None = None,
    detach: Collection[Edge] = (),
    env: Mapping[Operand, Operand] | None = None,
    split: bool = False,
) -> dict[Value, Tracer]:
    """Push tangents through nodes whose primal values the builder already holds.

    Parameters
    ----------
    builder
        Receives the tangent nodes.
    nodes
        Nodes in order of execution; their values stand for themselves, or for ``env[value]``.
    tangents
        Tangents of inputs or of intermediate values. One given for an intermediate value
        replaces what would flow into it, so it also cuts the paths from before.
    perturb
        Tangents added to what flows into an intermediate value, cutting nothing.
    detach
        Operands, as pairs of node and position, through which nothing flows.
    split
        Use the ``linearize`` rule of primitives that have one.

    Returns
    -------
    dict
        The non-zero tangents of all values.
    """
    known: dict[Value, Tracer] = {v: t for v, t in tangents.items() if t is not None}
    names = env or {}
    extra = dict(perturb or {})
    cut = set(detach)
    for node in nodes:
        incoming = [
            None if isinstance(x, Literal) or (node, i) in cut else known.get(x)
            for i, x in enumerate(node.inputs)
        ]
        if node.primitive.jvp is not None and any(t is not None for t in incoming):
            with builder.at(node.source):
                primals = [wrap(builder, names.get(x, x)) for x in node.inputs]
                outs = [wrap(builder, names.get(v, v)) for v in node.outputs]
                rule = (node.primitive.linearize if split else None) or node.primitive.jvp
                results = rule(primals, incoming, outs, **node.attrs)
        else:
            results = [None] * len(node.outputs)
        for value, tangent in zip(node.outputs, results, strict=True):
            if value in extra:
                tangent = extra[value] if tangent is None else ops.add(tangent, extra[value])
            if tangent is not None and value not in tangents:
                known[value] = tangent
    return known


def fresh(name: str, taken: Collection[str]) -> str:
    """Return the name, with underscores after it until it is not taken."""
    while name in taken:
        name += "_"
    return name


def jvp(program: Program, wrt: Sequence[str]) -> Program:
    """Return the program that also maps tangents of the named inputs to tangents of the outputs.

    Inputs are those of ``program`` followed by ``d_name`` for each name; outputs are those of
    ``program`` followed by one tangent each. A name that is taken gets an underscore.
    """
    builder = Builder(f"{program.name}.jvp", share=True)
    arguments = [Tracer(builder, builder.input(p.name, p.type, p.role)) for p in program.inputs]
    env: dict[Operand, Operand] = {
        p.value: a.value for p, a in zip(program.inputs, arguments, strict=True)
    }
    copy_nodes(program.nodes, builder, env)
    tangents = {
        program.input(name).value: Tracer(
            builder,
            builder.input(
                fresh(f"d_{name}", program.input_names), program.input(name).type, "input"
            ),
        )
        for name in wrt
    }
    known = push(builder, program.nodes, tangents, env=env)
    pairs: list[Any] = [(env.get(o.value, o.value), o.role) for o in program.outputs]
    for out in program.outputs:
        tangent = known.get(out.value) if isinstance(out.value, Value) else None
        if tangent is None:
            tangent = ops.full(builder, out.type.shape, 0, out.type.dtype)
        pairs.append((tangent.value, Role("output", (f"d_{out.key}",))))
    return builder.finish(pairs)
