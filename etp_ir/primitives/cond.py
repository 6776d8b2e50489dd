"""Choice between two computations: ``cond`` runs one of two regions.

Operands are a predicate and what the regions read. Where examples of a batch choose differently
both regions run for all of them, and each result is selected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve

from .. import ops
from ..builder import Builder
from ..core import Literal, Node, Operand, Program, Role, Value
from ..errors import TypeRuleError
from ..fork import Fork
from ..primitive import Hole, Primitive, get, register
from ..tracer import Tracer, bind, copy_nodes, replay, wrap
from ..types import BOOL, TensorType
from .base import fronted, narrowed
from .loop_rules import ancestors, dependents


def _infer(
    predicate: Operand, *operands: Operand, then: Program, otherwise: Program
) -> tuple[TensorType, ...]:
    if predicate.type != TensorType(BOOL):
        raise TypeRuleError(f"`cond` needs a bool[] predicate, got {predicate.type}")
    for region in (then, otherwise):
        if len(operands) != len(region.inputs):
            raise TypeRuleError(
                f"`cond` got {len(operands)} operands for a region of {len(region.inputs)} inputs"
            )
        for i, (x, port) in enumerate(zip(operands, region.inputs, strict=True)):
            if x.type != port.type:
                raise TypeRuleError(
                    f"`cond` operand {i} is {x.type}, its region input %{port.name} needs "
                    f"{port.type}"
                )
    types = tuple(tuple(out.type for out in region.outputs) for region in (then, otherwise))
    if types[0] != types[1]:
        first, second = (", ".join(map(str, row)) or "nothing" for row in types)
        raise TypeRuleError(f"the regions of `cond` return different types: {first} and {second}")
    return types[0]


def _reference(predicate: Any, *arrays: Any, then: Program, otherwise: Program) -> Any:
    from ..interpreter import run

    return tuple(run(then if predicate else otherwise, arrays))


# -- derivatives ---------------------------------------------------------------------------
def _jvp(primals: Any, tangents: Any, outs: Any, *, then: Program, otherwise: Program) -> list[Any]:
    from ..transforms.jvp import push

    fork = Fork(outs[0].builder, primals[0], (then.name, otherwise.name))
    ports = then.inputs
    values = [fork.add(x, p.type, p.name) for p, x in zip(ports, primals[1:], strict=True)]
    moving = [
        None if dx is None else fork.add(dx, p.type, f"d_{p.name}")
        for p, dx in zip(ports, tangents[1:], strict=True)
    ]
    found = []
    for which, region in enumerate((then, otherwise)):
        builder = fork.builders[which]
        env: dict[Operand, Operand] = {
            p.value: pair[which].value for p, pair in zip(region.inputs, values, strict=True)
        }
        seeds = {
            p.value: pair[which]
            for p, pair in zip(region.inputs, moving, strict=True) if pair is not None
        }  # fmt: skip
        copy_nodes(region.nodes, builder, env)
        found.append(_tangents(region, push(builder, region.nodes, seeds, env=env)))
    return fork.run(list(zip(*found, strict=True)))


def _tangents(region: Program, known: Any) -> list[Any]:
    return [
        None if isinstance(out.value, Literal) else known.get(out.value) for out in region.outputs
    ]


def _linearize(
    primals: Any, tangents: Any, outs: Any, *, then: Program, otherwise: Program
) -> list[Any]:
    """Return the tangents of the results, by a `cond` that is linear.

    The `cond` of values is extended in place: it also returns the coefficients of both regions,
    zero for those of the region that is not taken.
    """
    from ..passes.dce import dce
    from ..transforms.linearize import linearize

    outer: Builder = outs[0].builder
    place = next(i for i, n in enumerate(outer.nodes) if outs[0].value in n.outputs)
    node = outer.nodes[place]
    regions: list[Program] = [node.attrs["then"], node.attrs["otherwise"]]
    fork = Fork(outer, primals[0], [f"{region.name}.linear" for region in regions])
    ports = regions[0].inputs
    seeds = {
        j: fork.add(dx, ports[j].type, f"d_{ports[j].name}")
        for j, dx in enumerate(tangents[1:]) if dx is not None
    }  # fmt: skip
    inners: list[Builder] = []
    results: list[list[Any]] = []
    residues: list[dict[Operand, Value]] = []
    found: list[list[Any]] = []
    for which, region in enumerate(regions):
        inner = Builder(region.name, share=True)
        env: dict[Operand, Operand] = {
            p.value: inner.input(p.name, p.type, p.role) for p in region.inputs
        }
        copy_nodes(region.nodes, inner, env)
        wrt = [region.inputs[j].value for j in seeds]
        linear = linearize(inner, region.nodes, wrt, [o.value for o in region.outputs], env=env)
        names: dict[Operand, Operand] = {
            linear.seeds[region.inputs[j].value]: pair[which].value for j, pair in seeds.items()
        }
        results.append([(env.get(o.value, o.value), o.role) for o in region.outputs])
        n = len(outs)
        held = {x: v for (x, _), v in zip(results[-1][n:], node.outputs[n:], strict=True)}
        residues.append(_provide(fork, which, names, inner, linear.nodes, node.inputs[1:], held))
        copy_nodes(linear.nodes, fork.builders[which], names)
        row: list[Any] = []
        for out in region.outputs[: len(outs)]:
            tangent = None if isinstance(out.value, Literal) else linear.tangents.get(out.value)
            row.append(None if tangent is None else wrap(fork.builders[which], names[tangent]))
        found.append(row)
        inners.append(inner)
    # Coefficients of a region are zero where the other is taken: whatever they are multiplied
    # with there, in whatever order a batch is summed, gives zero and no NaN.
    count = len(node.outputs)
    for which, residue in enumerate(residues):
        for x in residue:
            zero = ops.full(inners[1 - which], x.type.shape, 0, x.type.dtype).value
            for side, value in ((which, x), (1 - which, zero)):
                results[side].append((value, Role("output", (str(count),))))
            count += 1
    extended = [dce(inner.finish(row)) for inner, row in zip(inners, results, strict=True)]
    outer.nodes[place] = evolve(
        node, outputs=(*node.outputs, *(v for residue in residues for v in residue.values())),
        attrs={"then": extended[0], "otherwise": extended[1]},
    )  # fmt: skip
    return fork.run(list(zip(*found, strict=True)))


def _provide(
    fork: Fork, which: int, names: dict[Operand, Operand], inner: Builder, linear: Any,
    given: Any, held: Mapping[Operand, Value],
) -> dict[Operand, Value]:  # fmt: skip
    """Make what the linear nodes of a region read of its values available to them.

    Operands are read again, what depends on nothing is computed again, and what the `cond` of
    values returns already (``held``) is taken from there. The rest is returned, with the values
    that the `cond` is going to give it as.
    """
    origin = {p.value: x for p, x in zip(inner.inputs, given, strict=True)}
    moved = dependents(inner.nodes, list(origin))
    made = {v for n in inner.nodes for v in n.outputs}
    read = dict.fromkeys(x for n in linear for x in n.inputs if x not in names)
    steady = [x for x in read if x in made and x not in moved]
    copy_nodes(ancestors(inner.nodes, steady), fork.builders[which], names)
    residue: dict[Operand, Value] = {}
    for x in read:
        if x in origin:
            source = wrap(fork.outer, origin[x])
        elif x in held:
            source = Tracer(fork.outer, held[x])
        elif x in made and x in moved:
            residue[x] = Value(x.type)
            source = Tracer(fork.outer, residue[x])
        else:
            continue
        names[x] = fork.add(source, x.type, "r")[which].value
    return residue


def _transpose(cotangents: Any, operands: Any, *, then: Program, otherwise: Program) -> list[Any]:
    from ..transforms.transpose import pull

    outer = next(ct.builder for ct in cotangents if ct is not None)
    fork = Fork(outer, operands[0], [f"{r.name}.transpose" for r in (then, otherwise)])
    ports, xs = then.inputs, operands[1:]
    fixed = [
        None if isinstance(x, Hole) else fork.add(x, p.type, p.name)
        for p, x in zip(ports, xs, strict=True)
    ]
    arriving = [
        None if ct is None else fork.add(ct, ct.type, f"ct_{i}") for i, ct in enumerate(cotangents)
    ]
    found = []
    for which, region in enumerate((then, otherwise)):
        builder = fork.builders[which]
        inputs = [p.value for p in region.inputs]
        env: dict[Operand, Operand] = {
            v: pair[which].value for v, pair in zip(inputs, fixed, strict=True) if pair is not None
        }
        holes = [v for v in inputs if v not in env]
        moved = dependents(region.nodes, holes)
        copy_nodes([n for n in region.nodes if moved.isdisjoint(n.outputs)], builder, env)
        given: dict[Value, Any] = {}
        for out, pair in zip(region.outputs, arriving, strict=True):
            if pair is not None and isinstance(out.value, Value) and out.value in moved:
                held = given.get(out.value)
                given[out.value] = pair[which] if held is None else ops.add(held, pair[which])
        nodes = [n for n in region.nodes if not moved.isdisjoint(n.outputs)]
        pulled = pull(builder, nodes, holes, given, env=env)
        found.append([pulled.get(v) for v in inputs])
    return [None, *fork.run(list(zip(*found, strict=True)))]


# -- batches and dead code -----------------------------------------------------------------
def _batch(operands: Any, axes: Any, size: int, *, then: Program, otherwise: Program) -> Any:
    from ..transforms.batch import batch_program
    from ..transforms.flatten import selected

    every = range(len(then.outputs))
    if axes[0] is not None:
        types = [
            x.type if a is None else x.type.with_shape((*x.shape[:a], *x.shape[a + 1 :]))
            for x, a in zip(operands[1:], axes[1:], strict=True)
        ]  # fmt: skip
        shared = [i for i, a in enumerate(axes[1:]) if a is None]
        one = selected(then, otherwise, shared=shared)
        assert [p.type for p in one.inputs[1:]] == types
        where = {p.name: a for p, a in zip(one.inputs, axes, strict=True) if a is not None}
        whole = batch_program(one, size, where, force=every)
        return replay(whole, operands[0].builder, operands), [0] * len(every)
    regions = []
    for region in (then, otherwise):
        given = {p.name: 0 for p, a in zip(region.inputs, axes[1:], strict=True) if a is not None}
        regions.append(batch_program(region, size, given, force=every))
    outs = bind(get("cond"), *fronted(operands, axes), then=regions[0], otherwise=regions[1])
    return list(outs) if isinstance(outs, tuple) else [outs], [0] * len(every)


def _prune(node: Node, live: Collection[Value]) -> Node:
    """Drop what no live result depends on: results, operands and nodes of the regions."""
    from ..passes.dce import dce
    from ..passes.rewrite import count_uses

    keep = [i for i, v in enumerate(node.outputs) if v in live]
    regions = [
        dce(evolve(node.attrs[key], outputs=tuple(node.attrs[key].outputs[i] for i in keep)))
        for key in ("then", "otherwise")
    ]
    uses = [count_uses(region) for region in regions]
    read = [
        j for j in range(len(node.inputs) - 1)
        if any(u[r.inputs[j].value] for u, r in zip(uses, regions, strict=True))
    ]  # fmt: skip
    first, second = (evolve(r, inputs=tuple(r.inputs[j] for j in read)) for r in regions)
    attrs = {"then": first, "otherwise": second}
    return narrowed(node, attrs, [0, *(j + 1 for j in read)], keep)


register(
    Primitive(
        name="cond",
        infer=_infer,
        reference=_reference,
        jvp=_jvp,
        linearize=_linearize,
        transpose=_transpose,
        batch=_batch,
        prune=_prune,
    )
)
