"""Repetition of unknown length: ``while`` runs a region as long as a test of its values holds.

Operands are `consts` values that all rounds share, then what is handed from round to round; both
regions get all of them. Results are what the last round hands on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import evolve

from .. import ops
from ..builder import Builder
from ..core import Node, Operand, Program, Role, Value
from ..errors import NotSupportedError, TypeRuleError, compose
from ..primitive import Primitive, get, register
from ..source import Source
from ..tracer import Tracer, bind, copy_nodes, operand, replay, wrap
from ..types import BOOL, F32, I32, TensorType
from .base import axis_to_front, narrowed
from .loop_rules import active_inputs

# A Jacobian of more elements than this is refused: it would fill the memory without a word.
LARGEST = 1 << 27


def _infer(*operands: Operand, test: Program, body: Program, consts: int) -> tuple[TensorType, ...]:
    for key, region in (("test", test), ("body", body)):
        if len(operands) != len(region.inputs):
            raise TypeRuleError(
                f"`while` got {len(operands)} operands for a {key} of {len(region.inputs)} inputs"
            )
        for i, (x, port) in enumerate(zip(operands, region.inputs, strict=True)):
            if x.type != port.type:
                raise TypeRuleError(
                    f"`while` operand {i} is {x.type}, the input %{port.name} of its {key} needs "
                    f"{port.type}"
                )
    if [out.type for out in test.outputs] != [TensorType(BOOL)]:
        listed = ", ".join(str(out.type) for out in test.outputs) or "nothing"
        raise TypeRuleError(f"the test of `while` must return bool[], it returns {listed}")
    before = tuple(port.type for port in body.inputs[consts:])
    after = tuple(out.type for out in body.outputs)
    if before != after:
        first, second = (", ".join(map(str, row)) or "nothing" for row in (before, after))
        raise TypeRuleError(f"`while` starts with {first} and its body returns {second}")
    return after


def _reference(*arrays: Any, test: Program, body: Program, consts: int) -> Any:
    from ..interpreter import run

    fixed, carry = arrays[:consts], list(arrays[consts:])
    while run(test, [*fixed, *carry])[0]:
        carry = list(run(body, [*fixed, *carry]))
    return tuple(carry)


# -- derivatives ---------------------------------------------------------------------------
def _jvp(
    primals: Any, tangents: Any, outs: Any, *, test: Program, body: Program, consts: int
) -> list[Any]:
    """Return the tangents of the results, by one loop over values and tangents."""
    active = active_inputs(body, consts, len(body.outputs), [t is not None for t in tangents])
    if not any(active[consts:]):
        return [None] * len(outs)
    pushed, ports = _pushed(body, consts, active)
    given = [
        ops.full(outs[0].builder, p.type.shape, 0, p.type.dtype) if dx is None else dx
        for p, dx, moves in zip(body.inputs, tangents, active, strict=True) if moves
    ]  # fmt: skip
    fixed = sum(active[:consts])
    operands = [*given[:fixed], *primals[:consts], *given[fixed:], *primals[consts:]]
    regions = [_reordered(p, ports, consts, fixed) for p in (_wider(test, ports), pushed)]
    outer: Builder = outs[0].builder
    values = outer.emit(
        get("while"), [operand(outer, x, p.type.dtype)
                       for x, p in zip(operands, regions[0].inputs, strict=True)],
        {"test": regions[0], "body": regions[1], "consts": consts + fixed},
    )  # fmt: skip
    found = iter(values)
    return [Tracer(outer, next(found)) if moves else None for moves in active[consts:]]


def _pushed(body: Program, consts: int, active: Sequence[bool]) -> tuple[Program, list[Any]]:
    """Return the body with tangents of the active inputs after its own, and these inputs."""
    from ..transforms.jvp import fresh, push

    builder = Builder(body.name, share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in body.inputs
    }
    seeds: dict[Value, Any] = {}
    for port, moves in zip(body.inputs, active, strict=True):
        if moves:
            name = fresh(f"d_{port.name}", [p.name for p in builder.inputs])
            seeds[port.value] = Tracer(builder, builder.input(name, port.type, port.role))
    ports = builder.inputs[len(body.inputs) :]
    copy_nodes(body.nodes, builder, env)
    known = push(builder, body.nodes, seeds, env=env)
    results: list[Any] = []
    for out, moves in zip(body.outputs, active[consts:], strict=True):
        if moves:
            tangent = known.get(out.value) if isinstance(out.value, Value) else None
            if tangent is None:
                tangent = ops.full(builder, out.type.shape, 0, out.type.dtype)
            results.append((tangent.value, out.role))
    results += [(env.get(o.value, o.value), o.role) for o in body.outputs]
    return builder.finish(results), ports


def _wider(test: Program, ports: Sequence[Any]) -> Program:
    """Return the test with inputs more, which it does not read."""
    more = tuple(evolve(port, value=Value(port.type)) for port in ports)
    return evolve(test, inputs=(*test.inputs, *more))


def _reordered(region: Program, ports: Sequence[Any], consts: int, fixed: int) -> Program:
    """Return the region with tangents of constants first, and those of carries before carries."""
    own = region.inputs[: len(region.inputs) - len(ports)]
    more = region.inputs[len(own) :]
    order = (*more[:fixed], *own[:consts], *more[fixed:], *own[consts:])
    return evolve(region, inputs=order)


def _linearize(
    primals: Any, tangents: Any, outs: Any, *, test: Program, body: Program, consts: int
) -> list[Any]:
    """Return the tangents of the results, by products with the Jacobian of the whole loop.

    How often the loop turns is not known, so its rounds cannot be kept and run backwards. The
    Jacobian is found in forward mode, from all directions at once.
    """
    from ..transforms.batch import batch_program

    outer: Builder = outs[0].builder
    given = [i for i, t in enumerate(tangents) if t is not None]
    sizes = [body.inputs[i].type.size for i in given]
    total = sum(sizes)
    active = active_inputs(body, consts, len(body.outputs), [t is not None for t in tangents])
    moving = [k for k, moves in enumerate(active[consts:]) if moves]
    if not moving or not total:
        return [None] * len(outs)
    source = next(n.source for n in outer.nodes if outs[0].value in n.outputs)
    _check_size(total, [body.outputs[k].type for k in moving], source)

    one = Builder(f"{body.name}.forward", share=True)
    values = [Tracer(one, one.input(f"x{i}", p.type, "value")) for i, p in enumerate(body.inputs)]
    seeds = {i: Tracer(one, one.input(f"d{i}", body.inputs[i].type, "value")) for i in given}
    results = [Tracer(one, Value(out.type)) for out in body.outputs]
    found = _jvp(
        values, [seeds.get(i) for i in range(len(values))], results,
        test=test, body=body, consts=consts,
    )  # fmt: skip
    pairs: list[Any] = [(found[k].value, Role("output", (str(k),))) for k in moving]
    whole = batch_program(
        one.finish(pairs), total, {f"d{i}": 0 for i in given}, force=range(len(moving))
    )
    directions = []
    row = 0
    for i, n in zip(given, sizes, strict=True):
        directions.append(_one_hot(outer, total, row, body.inputs[i].type))
        row += n
    columns = replay(whole, outer, [*primals, *directions])
    answer: list[Any] = [None] * len(outs)
    row = 0
    for i, n in zip(given, sizes, strict=True):
        dx = ops.reshape(tangents[i], (n,))
        for k, column in zip(moving, columns, strict=True):
            out = body.outputs[k].type
            matrix = ops.reshape(column, (total, out.size))
            matrix = ops.slice_(matrix, (row, 0), (row + n, out.size), (1, 1))
            term = ops.reshape(ops.contract(dx, matrix, "i,io->o"), out.shape)
            answer[k] = term if answer[k] is None else ops.add(answer[k], term)
        row += n
    return answer


def _one_hot(builder: Builder, total: int, row: int, type: TensorType) -> Any:
    """Return unit tangents of one operand: row ``row + j`` has its element j set."""
    shape = (total, type.size)
    at, place = (
        Tracer(builder, builder.emit(get("iota"), [], {"shape": shape, "axis": a, "dtype": I32})[0])
        for a in (0, 1)
    )
    hot = ops.cast(ops.eq(at, ops.add(place, row)), type.dtype)
    return ops.reshape(hot, (total, *type.shape))


def _check_size(total: int, outs: Sequence[TensorType], source: Source | None) -> None:
    elements = total * sum(out.size for out in outs)
    if elements > LARGEST:
        raise NotSupportedError(
            compose(
                f"the Jacobian of a while loop by {total} numbers would have {elements} elements",
                where=f"traced at {source}" if source else "",
                how="detach large arrays with etp.stop_gradient before the loop, or use "
                    "etp.fori_loop with a fixed number of rounds",
            )
        )  # fmt: skip


# -- batches and dead code -----------------------------------------------------------------
def _batch(
    operands: Any, axes: Any, size: int, *, test: Program, body: Program, consts: int
) -> Any:
    """Run the loop until the last example is done; one that is done keeps its values."""
    from ..transforms.batch import batch_program

    flags = [a is not None for a in axes]
    while True:
        given = {p.name: 0 for p, f in zip(body.inputs, flags, strict=True) if f}
        where = {p.name: 0 for p, f in zip(test.inputs, flags, strict=True) if f}
        _, (differs,) = batch_program(test, size, where, which_outputs=True)
        _, moved = batch_program(body, size, given, which_outputs=True)
        grown = [f or (i >= consts and (differs or moved[i - consts])) for i, f in enumerate(flags)]
        if grown == flags:
            break
        flags = grown
    operands = [
        _lengthened(operands, x, size, p.type) if a is None and f else
        x if a is None else axis_to_front(x, a)
        for x, a, f, p in zip(operands, axes, flags, body.inputs, strict=True)
    ]  # fmt: skip
    out_axes = [0 if f else None for f in flags[consts:]]
    if differs:
        return _until_all_are_done(operands, given, test, body, consts, size), out_axes
    batched = batch_program(
        body, size, given, force={i for i in range(len(body.outputs)) if flags[consts + i]}
    )
    tested = batch_program(test, size, where)
    outs = bind(get("while"), *operands, test=tested, body=batched, consts=consts)
    return list(outs) if isinstance(outs, tuple) else [outs], out_axes


def _lengthened(operands: Sequence[Any], x: Any, size: int, type: TensorType) -> Any:
    """Return a carry that is the same for all examples as one row for each."""
    from ..transforms.batch import spread

    if not isinstance(x, Tracer):
        x = ops.full(_builder(operands), (), x, type.dtype)
    return spread(x, size)


def _builder(operands: Sequence[Any]) -> Builder:
    builder: Builder = next(x.builder for x in operands if isinstance(x, Tracer))
    return builder


def _until_all_are_done(
    operands: Sequence[Any], axes: Mapping[str, int], test: Program, body: Program, consts: int,
    size: int,
) -> list[Any]:  # fmt: skip
    """Return the results of a loop that turns differently often for different examples.

    The first carry says which examples go on.
    """
    from ..transforms.batch import batch_program
    from ..transforms.jvp import fresh

    outer = _builder(operands)
    name = fresh("live", body.input_names)
    start = replay(
        batch_program(test, size, dict.fromkeys(_renamed(test, body, axes), 0)), outer, operands
    )[0]
    step = batch_program(
        _masked(test, body, consts, name), size, {**axes, name: 0},
        force=range(len(body.outputs) + 1),
    )  # fmt: skip
    whether = Builder(test.name, share=True)
    given = [Tracer(whether, whether.input(p.name, p.type, p.role)) for p in step.inputs]
    count = ops.reduce_max(ops.cast(given[consts], F32), (0,))
    outs = bind(
        get("while"), *operands[:consts], start, *operands[consts:],
        test=whether.finish([(ops.gt(count, 0.0).value, "output")]), body=step, consts=consts,
    )  # fmt: skip
    return list(outs[1:])


def _renamed(test: Program, body: Program, axes: Mapping[str, int]) -> list[str]:
    """Return the inputs of the test at the places of some inputs of the body."""
    pairs = zip(test.inputs, body.inputs, strict=True)
    return [port.name for port, other in pairs if other.name in axes]


def _masked(test: Program, body: Program, consts: int, name: str) -> Program:
    """Return the body with a carry that says whether it counts; else values stay as they are."""
    from ..transforms.flatten import Flattener

    builder = Builder(body.name, share=True)
    given = [Tracer(builder, builder.input(p.name, p.type, p.role)) for p in body.inputs]
    live = Tracer(builder, builder.input(name, TensorType(BOOL), "carry"))
    builder.inputs.insert(consts, builder.inputs.pop())
    env: dict[Operand, Operand] = {
        p.value: x.value for p, x in zip(body.inputs, given, strict=True)
    }
    Flattener(builder, lambda n: n.primitive.name == "cond", finite=False).run(
        body.nodes, env, live
    )
    following: list[Any] = []
    for out, old in zip(body.outputs, given[consts:], strict=True):
        new = wrap(builder, env.get(out.value, out.value))
        mask = ops.broadcast(live, old.shape, ()) if old.ndim else live
        following.append(ops.select(mask, new, old))
    go_on = ops.and_(live, replay(test, builder, [*given[:consts], *following])[0])
    return builder.finish([(x.value, "carry") for x in (go_on, *following)])


def _prune(node: Node, live: Collection[Value]) -> Node:
    """Drop what neither the test nor a live result depends on."""
    from ..passes.dce import dce
    from ..passes.rewrite import count_uses

    test, body, consts = node.attrs["test"], node.attrs["body"], node.attrs["consts"]
    keep = {i for i, v in enumerate(node.outputs) if v in live}
    tested = count_uses(dce(test))
    while True:
        slim = dce(evolve(body, outputs=tuple(o for i, o in enumerate(body.outputs) if i in keep)))
        read = count_uses(slim)
        grown = keep | {
            i for i in range(len(body.outputs))
            if read[body.inputs[consts + i].value] or tested[test.inputs[consts + i].value]
        }  # fmt: skip
        if grown == keep:
            break
        keep = grown
    kept = [
        i for i in range(len(node.inputs))
        if (i - consts in keep if i >= consts
            else read[body.inputs[i].value] or tested[test.inputs[i].value])
    ]  # fmt: skip
    attrs = {
        "test": evolve(dce(test), inputs=tuple(test.inputs[i] for i in kept)),
        "body": evolve(slim, inputs=tuple(body.inputs[i] for i in kept)),
        "consts": sum(i < consts for i in kept),
    }
    return narrowed(node, attrs, kept, keep)


register(
    Primitive(
        name="while",
        infer=_infer,
        reference=_reference,
        jvp=_jvp,
        linearize=_linearize,
        batch=_batch,
        prune=_prune,
    )
)
