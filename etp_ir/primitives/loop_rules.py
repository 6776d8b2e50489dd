"""Derivatives of `scan`.

Forward mode runs tangents through one loop together with the values they need. For reverse mode
the loop is split: the loop of values also stacks the coefficients of the linear part, a linear
loop reads them, and its transpose is the transposed body run the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from attrs import evolve

from .. import ops
from ..builder import Builder
from ..core import Literal, Node, Operand, Program, Value
from ..errors import IRError
from ..loop import Loop, filled, kinds
from ..primitive import Hole
from ..tracer import Tracer, copy_nodes, wrap

Key = tuple[str, int] | None


def _collect(done: dict[tuple[str, int], Any], keys: Iterable[Key]) -> list[Any]:
    return [None if key is None else done[key] for key in keys]


# -- forward mode --------------------------------------------------------------------------
def scan_jvp(
    primals: Any, tangents: Any, outs: Any, *,
    body: Program, length: int, consts: int, carries: int, reverse: bool,
) -> list[Any]:  # fmt: skip
    """Return the tangents of the results, by one loop over values and tangents."""
    from ..transforms.jvp import push

    active = active_inputs(body, consts, carries, [t is not None for t in tangents])
    loop = Loop(outs[0].builder, body.name, length, reverse)
    env: dict[Operand, Operand] = {}
    seeds: dict[Value, Tracer] = {}
    for kind, port, x, dx, moves in zip(
        kinds(body, consts, carries), body.inputs, primals, tangents, active, strict=True
    ):
        env[port.value] = loop.add(kind, x, port.type, port.name).value
        if moves:
            seeds[port.value] = loop.add(kind, _or_zero(dx), port.type, f"d_{port.name}")
    copy_nodes(body.nodes, loop.builder, env)
    known = push(loop.builder, body.nodes, seeds, env=env)
    keys: list[Key] = []
    for i, out in enumerate(body.outputs):
        tangent = None if isinstance(out.value, Literal) else known.get(out.value)
        if i >= carries:
            keys.append(None if tangent is None else loop.stack(tangent))
            continue
        carry = body.inputs[consts + i].value
        loop.hand(wrap(loop.builder, env[carry]), wrap(loop.builder, env.get(out.value, out.value)))
        moves = carry in seeds
        keys.append(loop.hand(seeds[carry], _or_zeros(loop, tangent, out)) if moves else None)
    return _collect(loop.run(), keys)


def _or_zero(x: Any) -> Any:
    return 0 if x is None else x


def _or_zeros(loop: Loop, x: Any, like: Any) -> Any:
    return filled(loop.builder, 0, like.type) if x is None else x


def active_inputs(body: Program, consts: int, carries: int, given: Sequence[bool]) -> list[bool]:
    """Return which inputs have a tangent, carries that receive one on the way included."""
    from ..transforms.jvp import push

    active = list(given)
    while True:
        scratch = Builder(body.name)
        scratch.nodes = list(body.nodes)
        seeds = {
            port.value: Tracer(scratch, Value(port.type))
            for port, flag in zip(body.inputs, active, strict=True) if flag
        }  # fmt: skip
        known = push(scratch, body.nodes, seeds)
        grown = list(active)
        for i, out in enumerate(body.outputs[:carries]):
            grown[consts + i] |= out.value in known
        if grown == active:
            return active
        active = grown


# -- the linear part -----------------------------------------------------------------------
def scan_linearize(
    primals: Any, tangents: Any, outs: Any, *,
    body: Program, length: int, consts: int, carries: int, reverse: bool,
) -> list[Any]:  # fmt: skip
    """Return the tangents of the results, by a loop that is linear.

    The loop of values is extended in place: it also stacks the coefficients.
    """
    from ..transforms.linearize import linearize

    outer: Builder = outs[0].builder
    place = next(i for i, n in enumerate(outer.nodes) if outs[0].value in n.outputs)
    body = outer.nodes[place].attrs["body"]
    active = active_inputs(body, consts, carries, [t is not None for t in tangents])
    what = kinds(body, consts, carries)
    inner = Builder(body.name, share=True)
    env: dict[Operand, Operand] = {
        port.value: inner.input(port.name, port.type, port.role) for port in body.inputs
    }
    copy_nodes(body.nodes, inner, env)
    wrt = [port.value for port, moves in zip(body.inputs, active, strict=True) if moves]
    linear = linearize(inner, body.nodes, wrt, [o.value for o in body.outputs], env=env)

    loop = Loop(outer, f"{body.name}.linear", length, reverse)
    names: dict[Operand, Operand] = {}
    for kind, port, dx in zip(what, body.inputs, tangents, strict=True):
        seed = linear.seeds.get(port.value)
        if seed is not None:
            names[seed] = loop.add(kind, _or_zero(dx), port.type, f"d_{port.name}").value
    results = [(env.get(o.value, o.value), o.role) for o in body.outputs]
    _provide(loop, names, inner, what, linear.nodes, place, results)
    copy_nodes(linear.nodes, loop.builder, names)

    keys: list[Key] = []
    for i, out in enumerate(body.outputs[: len(outs)]):
        found = None if isinstance(out.value, Literal) else linear.tangents.get(out.value)
        tangent = None if found is None else wrap(loop.builder, names[found])
        if i >= carries:
            keys.append(None if tangent is None else loop.stack(tangent))
            continue
        seed = linear.seeds.get(body.inputs[consts + i].value)
        if seed is None:
            keys.append(None)
        else:
            carry = wrap(loop.builder, names[seed])
            keys.append(loop.hand(carry, _or_zeros(loop, tangent, out)))
    return _collect(loop.run(), keys)


def _provide(
    loop: Loop, names: dict[Operand, Operand], inner: Builder, what: Sequence[str],
    linear: Sequence[Node], place: int, results: list[Any],
) -> None:  # fmt: skip
    """Make what the linear nodes read of the body of values available in the linear loop.

    Constants and slices are read again; what depends on constants only is computed once, before
    the loop; what depends on nothing is computed where it is read; the rest is stacked by the
    loop of values, node ``place`` of the outer builder.
    """
    from ..passes.dce import dce

    outer, node = loop.outer, loop.outer.nodes[place]
    origin: dict[Operand, tuple[str, Operand]] = {
        p.value: given
        for p, given in zip(inner.inputs, zip(what, node.inputs, strict=True), strict=True)
    }
    level: dict[Operand, int] = {v: 1 if kind == "const" else 2 for v, (kind, _) in origin.items()}
    for n in inner.nodes:
        depth = max((level[x] for x in n.inputs if isinstance(x, Value)), default=0)
        level.update(dict.fromkeys(n.outputs, depth))
    read = [x for n in linear for x in n.inputs if x in level]
    read = [x for x in dict.fromkeys(read) if x not in names]

    copy_nodes(ancestors(inner.nodes, [x for x in read if level[x] == 0]), loop.builder, names)
    steady = [x for x in read if level[x] == 1]
    once: dict[Operand, Operand] = {v: x for v, (kind, x) in origin.items() if kind == "const"}
    copy_nodes(ancestors(inner.nodes, steady), outer, once)
    for x in steady:
        names[x] = loop.add("const", wrap(outer, once[x]), x.type, "k").value

    # An earlier derivative of the same loop may have stacked it already.
    carries = what.count("carry")
    held = {x: v for (x, _), v in zip(results[carries:], node.outputs[carries:], strict=True)}
    stacked: dict[Operand, Value] = {}
    again: dict[Operand, Value] = {}
    for x in (x for x in read if level[x] == 2):
        if x in origin and origin[x][0] == "slot":
            names[x] = loop.add("slot", wrap(outer, origin[x][1]), x.type, "x").value
        elif x in held:
            again[x] = held[x]
        else:
            stacked[x] = Value(x.type.with_shape((loop.length, *x.type.shape)))
    extended = inner.finish([*results, *((x, "stack") for x in stacked)])
    outer.nodes[place] = evolve(
        node, outputs=(*node.outputs, *stacked.values()),
        attrs={**node.attrs, "body": dce(extended)},
    )  # fmt: skip
    for x, rows in {**again, **stacked}.items():
        names[x] = loop.add("slot", Tracer(outer, rows), x.type, "r").value


def ancestors(nodes: Sequence[Node], values: Iterable[Operand]) -> list[Node]:
    """Return the nodes on which the values depend, in order."""
    wanted = set(values)
    kept: list[Node] = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]


# -- reverse mode --------------------------------------------------------------------------
def scan_transpose(
    cotangents: Any, operands: Any, *,
    body: Program, length: int, consts: int, carries: int, reverse: bool,
) -> list[Any]:  # fmt: skip
    """Return the cotangents of the linear operands, by a loop that runs the other way round."""
    from ..transforms.transpose import pull

    outer = next(ct.builder for ct in cotangents if ct is not None)
    what = kinds(body, consts, carries)
    linear = _linear_inputs(body, consts, carries, [isinstance(x, Hole) for x in operands])
    ports = [port for port, flag in zip(body.inputs, linear, strict=True) if flag]
    moved = dependents(body.nodes, [port.value for port in ports])
    loop = Loop(outer, f"{body.name}.transpose", length, not reverse)
    env: dict[Operand, Operand] = {}
    for kind, port, x, flag in zip(what, body.inputs, operands, linear, strict=True):
        if not flag and kind == "carry":
            raise IRError(f"`scan` is not linear: its carry %{port.name} has a value of its own")
        if not flag:
            env[port.value] = loop.add(kind, x, port.type, port.name).value
    copy_nodes([n for n in body.nodes if moved.isdisjoint(n.outputs)], loop.builder, env)

    given: dict[Value, Any] = {}
    carried: list[Tracer] = []
    for i, (out, ct) in enumerate(zip(body.outputs, cotangents, strict=True)):
        if i < carries:
            name = f"ct_{body.inputs[consts + i].name}"
            arriving = loop.add("carry", _or_zero(ct), out.type, name)
            carried.append(arriving)
        elif ct is None:
            continue
        else:
            arriving = loop.add("slot", ct, out.type, f"ct_{i}")
        if isinstance(out.value, Value) and out.value in moved:
            held = given.get(out.value)
            given[out.value] = arriving if held is None else ops.add(held, arriving)
    nodes = [n for n in body.nodes if not moved.isdisjoint(n.outputs)]
    pulled = pull(loop.builder, nodes, [port.value for port in ports], given, env=env)

    keys: list[Key] = []
    for i, (kind, port, x) in enumerate(zip(what, body.inputs, operands, strict=True)):
        ct = pulled.get(port.value)
        key: Key = None
        if kind == "carry":
            key = loop.hand(carried[i - consts], _or_zeros(loop, ct, port))
        elif ct is not None and kind == "const":
            total = loop.add("carry", 0, port.type, f"ct_{port.name}")
            key = loop.hand(total, ops.add(total, ct))
        elif ct is not None:
            key = loop.stack(ct)
        keys.append(key if isinstance(x, Hole) else None)
    return _collect(loop.run(), keys)


def _linear_inputs(body: Program, consts: int, carries: int, given: Sequence[bool]) -> list[bool]:
    """Return in which inputs the body is linear: those given, and carries they flow into."""
    linear = list(given)
    while True:
        moved = dependents(
            body.nodes, [port.value for port, flag in zip(body.inputs, linear, strict=True) if flag]
        )
        grown = list(linear)
        for i, out in enumerate(body.outputs[:carries]):
            grown[consts + i] |= out.value in moved
        if grown == linear:
            return linear
        linear = grown


def dependents(nodes: Sequence[Node], values: Collection[Operand]) -> set[Operand]:
    """Return the values that depend on the given ones, and these."""
    moved = set(values)
    for node in nodes:
        if not moved.isdisjoint(node.inputs):
            moved.update(node.outputs)
    return moved
