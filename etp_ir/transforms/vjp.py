"""Reverse mode of a computation: linearize, then transpose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .. import ops
from ..builder import Builder
from ..core import Node, Operand, Program, Role, Value
from ..tracer import Tracer, copy_nodes
from .dataflow import needed
from .jvp import Edge, fresh
from .linearize import linearize
from .transpose import pull


def pullback(
    builder: Builder,
    nodes: Sequence[Node],
    wrt: Sequence[Value],
    cotangents: Mapping[Value, Any],
    *,
    taps: Sequence[Value] = (),
    detach: Collection[Edge] = (),
    env: Mapping[Operand, Operand] | None = None,
) -> dict[Value, Tracer]:
    """Return the cotangents of ``wrt`` and ``taps`` for given cotangents of results of the nodes.

    A value in ``wrt`` that is itself computed by the nodes cuts the paths through it: its
    cotangent counts what comes after it, and what comes before it is not reached through it.
    A value in ``taps`` reports its cotangent and cuts nothing.
    Values with no path to a result are absent from the answer.
    """
    seeded = [v for v in cotangents if isinstance(v, Value)]
    nodes = list(needed(nodes, seeded))
    linear = linearize(builder, nodes, wrt, seeded, taps=taps, detach=detach, env=env)
    start: dict[Value, Any] = {}
    for value in seeded:
        tangent = linear.tangents.get(value)
        if tangent is None:
            continue
        # Two results may share one tangent, for example a value returned twice.
        ct = cotangents[value]
        start[tangent] = ops.add(start[tangent], ct) if tangent in start else ct
    pulled = pull(builder, linear.nodes, list(linear.seeds.values()), start)
    return {v: pulled[s] for v, s in linear.seeds.items() if s in pulled}


def vjp(program: Program, wrt: Sequence[str]) -> Program:
    """Return the program from inputs and cotangents of its outputs to cotangents of ``wrt``.

    Inputs are those of ``program`` followed by ``ct_i`` for each floating-point output i;
    outputs are those of ``program`` followed by ``grad(name)`` for each name. A name that is
    taken, as when a gradient is differentiated again, gets an underscore.
    """
    builder = Builder(f"{program.name}.vjp", share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in program.inputs
    }
    copy_nodes(program.nodes, builder, env)
    cotangents: dict[Value, Any] = {}
    for i, out in enumerate(program.outputs):
        if out.type.dtype.is_float:
            name = fresh(f"ct_{i}", program.input_names)
            ct = Tracer(builder, builder.input(name, out.type, "input"))
            if isinstance(out.value, Value):
                held = cotangents.get(out.value)
                cotangents[out.value] = ct if held is None else ops.add(held, ct)
    values = [program.input(name).value for name in wrt]
    pulled = pullback(builder, program.nodes, values, cotangents, env=env)
    pairs: list[Any] = [(env.get(o.value, o.value), o.role) for o in program.outputs]
    taken = {o.role.of[0] for o in program.outputs_of("grad")}
    for name, value in zip(wrt, values, strict=True):
        grad = pulled.get(value)
        if grad is None:
            grad = ops.full(builder, value.type.shape, 0, value.type.dtype)
        pairs.append((grad.value, Role("grad", (fresh(name, taken),))))
    return builder.finish(pairs)
