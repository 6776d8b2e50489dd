"""Structured control flow inside a step: choices and loops that are nodes of the program.

Python's own ``if`` and ``for`` decide and unroll while the model is traced; these decide and turn
while it runs. On concrete arrays they compute at once. Functions given to them may read whatever
the step has computed, parameters and states, and may assign states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir import namespace as xp
from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.namespace.dispatch import array
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, find_builder, is_number, operand, replay, unwrap
from etp_ir.transforms.flatten import row_of, stacked
from etp_ir.types import I32, TensorType

from .control_checks import (
    Function,
    check_bounds,
    check_carry,
    check_function,
    check_pair,
    check_predicate,
    check_structure,
    common_type,
    count,
    count_steps,
    mistaken,
    whole,
)
from .recording import (
    Recording,
    assign,
    captured,
    current,
    filled,
    lifted,
    looping,
    record,
    record_loop,
    region,
    symbols,
)
from .trees import Tree, flatten
from .variables import current_trace

__all__ = ["cond", "fori_loop", "scan", "while_loop"]


# -- choice --------------------------------------------------------------------------------
def cond(pred: Any, then: Function, otherwise: Function, *operands: Any) -> Any:
    """Return ``then(*operands)`` if the predicate holds, else ``otherwise(*operands)``.

    Only the function that is chosen contributes values and gradients: what the other would
    compute, be it infinite or NaN, is not seen. In a batch each example chooses for itself.
    To choose element by element, use ``xp.where``.

    Parameters
    ----------
    pred
        A single truth value, for example ``xp.sum(h) > 1``.
    then, otherwise
        Functions that return arrays of equal types, also in tuples, lists and dicts.
    operands
        What both are called with.

    Raises
    ------
    etp.ModelError
        If the predicate is no single truth value or the results differ in type, with the
        user's line.
    """
    pred = unwrap(pred)
    check_predicate("cond", pred)
    names = [f"operand {k + 1}" for k in range(len(operands))]
    check_function("etp.cond", "first branch", then, *names)
    check_function("etp.cond", "second branch", otherwise, *names)
    if not isinstance(pred, Tracer):
        return then(*operands) if bool(pred) else otherwise(*operands)
    b: Builder = pred.builder
    sides = [record(b, f, operands, {}) for f in (then, otherwise)]
    shapes = [side.result.structure for side in sides]
    if shapes[0] != shapes[1]:
        raise mistaken(
            f"the branches of etp.cond return {shapes[0]} and {shapes[1]} (* is an array)",
            "return the same structure from both", then, otherwise,
        )  # fmt: skip
    states = list(dict.fromkeys((*sides[0].states, *sides[1].states)))
    rows = [lifted(side, side.result.leaves) for side in sides]
    types = [common_type(b, x, y, then, otherwise) for x, y in zip(*rows, strict=True)]
    for side, row in zip(sides, rows, strict=True):
        row[:] = filled(side, row, types)
        row += [side.states[k] if k in side.states else current(b, k) for k in states]
    if not rows[0]:
        return sides[0].result.build([])
    read = captured(sides, [*rows[0], *rows[1]], [])
    regions = {
        key: region(side, [(v, "value") for v in read], [(x, "output") for x in row])
        for key, side, row in zip(("then", "otherwise"), sides, rows, strict=True)
    }
    made = [Tracer(b, v) for v in b.emit(get("cond"), [pred.value, *read], regions)]
    assign(b, dict(zip(states, made[len(types) :], strict=True)))
    return sides[0].result.build(made[: len(types)])


# -- loops ---------------------------------------------------------------------------------
@frozen
class _Slices:
    """What each step of a loop is given: the type of it, all of it, and that of one step."""

    type: TensorType
    whole: Callable[[], Tracer]
    row: Callable[[int], Any]


def scan(
    f: Function, carry: Any, xs: Any = None, length: int | None = None, reverse: bool = False,
    unroll: int = 16,
) -> tuple[Any, Any]:  # fmt: skip
    """Return the last carry and the stacked results of ``carry, y = f(carry, x)``, step by step.

    Parameters
    ----------
    f
        One step; what it returns first has the types of the carry.
    carry
        What the first step starts from: arrays, also in tuples, lists and dicts.
    xs
        Arrays that are sliced along their first axis, one slice for each step; or None.
    length
        Number of steps; needed where there is no ``xs``.
    reverse
        Take the last slice first.
    unroll
        A loop of at most so many steps is written out, as Python's would be.

    Raises
    ------
    etp.ModelError
        If types change from step to step or lengths differ, with the user's line.
    """
    check_function("etp.scan", "body", f, "carry", "x")
    unroll, given = count("unroll", unroll), flatten(xs)
    steps = count_steps(given.leaves, length)
    b = _builder((*flatten(carry).leaves, *given.leaves))
    if b is None:
        return _eager_scan(f, carry, given, steps, reverse)
    arrays = [array(b, x) for x in given.leaves]
    slices = [
        _Slices(x.type.with_shape(x.shape[1:]), partial(_itself, x), partial(row_of, x))
        for x in arrays
    ]

    def step(c: Any, rows: Sequence[Any]) -> Any:
        return f(c, given.build(rows))

    return _traced_scan(b, "etp.scan", f, step, carry, slices, steps, reverse, unroll)


def _itself(x: Tracer) -> Tracer:
    return x


def fori_loop(lower: Any, upper: Any, body: Function, value: Any, unroll: int = 16) -> Any:
    """Return ``value`` after ``value = body(i, value)`` for i from ``lower`` to ``upper - 1``.

    Parameters
    ----------
    lower, upper
        Integers. If one of them is computed by the model, the loop is a `while_loop`: results
        and gradients are the same, at its cost.
    body
        Returns arrays of the types of ``value``.
    value
        Arrays, also in tuples, lists and dicts.
    unroll
        A loop of at most so many steps is written out.

    Raises
    ------
    etp.ModelError
        If a bound is no integer or types change from step to step, with the user's line.
    """
    check_function("etp.fori_loop", "body", body, "i", "value")
    unroll = count("unroll", unroll)
    lower, upper = unwrap(lower), unwrap(upper)
    if isinstance(lower, Tracer) or isinstance(upper, Tracer):
        check_bounds(lower, upper)
        return while_loop(
            lambda held: held[0] < upper, lambda held: (held[0] + 1, body(held[0], held[1])),
            (lower if isinstance(lower, Tracer) else np.asarray(lower, np.int32), value),
        )[1]  # fmt: skip
    first, last = whole("lower", lower), whole("upper", upper)
    steps = max(last - first, 0)
    b = _builder(flatten(value).leaves)
    if b is None:
        for i in range(first, last):
            value = body(i, value)
        return value

    def indices() -> Tracer:
        count = b.emit(get("iota"), [], {"shape": (steps,), "axis": 0, "dtype": I32})[0]
        return ops.add(Tracer(b, count), first) if first else Tracer(b, count)

    return _traced_scan(
        b, "etp.fori_loop", body, lambda c, rows: (body(rows[0], c), None), value,
        [_Slices(TensorType(I32), indices, lambda t: first + t)], steps, False, unroll,
    )[0]  # fmt: skip


def _traced_scan(
    b: Builder, what: str, f: Function, step: Function, carry: Any, slices: Sequence[_Slices],
    steps: int, reverse: bool, unroll: int,
) -> tuple[Any, Any]:  # fmt: skip
    start = flatten(carry)
    held = [array(b, x) for x in start.leaves]
    types = [x.type for x in held]
    inside = symbols(b, types, _parameter(f, 1 if what == "etp.fori_loop" else 0, "carry"))
    rows = symbols(b, [s.type for s in slices], _parameter(f, 0 if len(types) else 1, "x"))

    def call(states: dict[int, Tracer]) -> Recording:
        return record(b, step, (start.build(inside), rows), states)

    body, states = record_loop(b, call)
    pair = body.result.build(body.result.leaves)
    check_pair(what, f, pair)
    result, made = map(flatten, pair)
    following = _next(what, f, body, start, types, result)
    stacks = body.computing(lambda: [array(b, x) for x in made.leaves])
    before = [*inside, *states.values()]
    after = [*following, *(body.states[k] for k in states)]
    read = captured([body], [*after, *stacks], [*before, *rows])
    program = region(
        body, [*((v, "const") for v in read), *((x.value, "carry") for x in before),
               *((x.value, "slot") for x in rows)],
        [*((x, "carry") for x in after), *((x, "stack") for x in stacks)],
    )  # fmt: skip
    first = [*held, *(current(b, k) for k in states)]
    consts = [Tracer(b, v) for v in read]
    n = len(first)
    if steps <= unroll:
        found: list[list[Any]] = [[] for _ in range(steps)]
        for t in range(steps - 1, -1, -1) if reverse else range(steps):
            outs = replay(program, b, [*consts, *first, *(s.row(t) for s in slices)])
            first, found[t] = outs[:n], outs[n:]
        final = first
        columns = [
            stacked(b, [operand(b, row[k], x.dtype) for row in found], x.type)
            for k, x in enumerate(stacks)
        ]
    else:
        operands = [*consts, *first, *(s.whole() for s in slices)]
        values = b.emit(get("scan"), [x.value for x in operands], {
            "body": program, "length": steps, "consts": len(consts), "carries": n,
            "reverse": reverse,
        })  # fmt: skip
        final, columns = ([Tracer(b, v) for v in part] for part in (values[:n], values[n:]))
    final = [
        x if isinstance(x, Tracer) else ops.full(b, old.shape, x, old.dtype)
        for x, old in zip(final, before, strict=True)
    ]
    assign(b, dict(zip(states, final[len(types) :], strict=True)))
    return start.build(final[: len(types)]), made.build(columns)


def while_loop(test: Function, body: Function, value: Any) -> Any:
    """Return ``value`` after ``value = body(value)`` for as long as ``test(value)`` holds.

    How often it turns may depend on what the model computes, and differ between the examples of
    a batch. Gradients are exact; they are computed in forward mode, from the Jacobian of the
    whole loop, whose size is what ``body`` reads times what it returns.

    Parameters
    ----------
    test
        Returns a single truth value.
    body
        Returns arrays of the types of ``value``.
    value
        Arrays, also in tuples, lists and dicts.
    """
    check_function("etp.while_loop", "test", test, "value")
    check_function("etp.while_loop", "body", body, "value")
    start = flatten(value)
    b = _builder(start.leaves)
    while b is None:
        go_on = unwrap(test(value))
        check_predicate("while_loop", go_on, test)
        if isinstance(go_on, Tracer):
            b = go_on.builder
        elif not bool(go_on):
            return value
        else:
            value = body(value)
    start = flatten(value)
    held = [array(b, x) for x in start.leaves]
    types = [x.type for x in held]
    inside = symbols(b, types, _parameter(body, 0, "carry"))
    turn, states = record_loop(b, lambda s: record(b, body, (start.build(inside),), s))
    following = _next("etp.while_loop", body, turn, start, types, turn.result)
    with looping(b):
        ask = record(b, test, (start.build(inside),), states)
    if ask.states:
        raise mistaken("the test of etp.while_loop assigns a state", "assign it in the body", test)
    verdicts = ask.result.leaves if ask.result.structure == "*" else (None,)
    check_predicate("while_loop", verdicts[0], test)
    asked = ask.computing(lambda: [array(b, verdicts[0])])
    before = [*inside, *states.values()]
    after = [*following, *(turn.states[k] for k in states)]
    read = captured([turn, ask], [*after, *asked], before)
    inputs = [*((v, "const") for v in read), *((x.value, "carry") for x in before)]
    first = [*held, *(current(b, k) for k in states)]
    made = [
        Tracer(b, v) for v in b.emit(get("while"), [*read, *(x.value for x in first)], {
            "test": region(ask, inputs, [(x, "value") for x in asked]),
            "body": region(turn, inputs, [(x, "carry") for x in after]), "consts": len(read),
        })
    ]  # fmt: skip
    assign(b, dict(zip(states, made[len(types) :], strict=True)))
    return start.build(made[: len(types)])


def _eager_scan(f: Function, carry: Any, given: Tree, steps: int, reverse: bool) -> tuple[Any, Any]:
    rows: list[Any] = [None] * steps
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        result = f(carry, given.build([x[t] for x in given.leaves]))
        check_pair("etp.scan", f, result)
        carry, rows[t] = result
    if not rows:
        return carry, None
    trees = [flatten(row) for row in rows]
    columns = zip(*(tree.leaves for tree in trees), strict=True)
    return carry, trees[0].build([xp.stack([_concrete(x) for x in c]) for c in columns])


def _concrete(x: Any) -> Any:
    return np.asarray(x) if is_number(x) else x


# -- pieces --------------------------------------------------------------------------------
def _builder(leaves: Sequence[Any]) -> Builder | None:
    """Return where to trace, or None to compute at once."""
    found = find_builder(list(leaves))
    trace = current_trace()
    return trace.builder if found is None and trace is not None else found


def _next(
    what: str, f: Function, body: Recording, start: Tree, types: Sequence[TensorType], result: Tree
) -> list[Tracer]:
    """Return what a step hands on, of the types it was given."""
    check_structure(what, start.structure, result.structure, f)
    leaves = lifted(body, result.leaves)
    for x, type in zip(leaves, types, strict=True):
        check_carry(what, body.builder, type, x, f)
    return filled(body, leaves, types)


def _parameter(f: Function, place: int, default: str) -> str:
    """Return the name of a parameter of the user's function."""
    code = getattr(f, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return names[place] if place < len(names) and names[place] != "_" else default
