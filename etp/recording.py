"""Functions recorded as regions: what they compute, what they capture, which states they assign."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import define

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Operand, Program, Role, Value
from etp_ir.namespace.dispatch import array
from etp_ir.tracer import Tracer, copy_nodes, is_number
from etp_ir.types import TensorType

from .trees import Tree, flatten
from .variables import StepTrace, current_trace


@define
class Recording:
    """What a function did, called on symbols.

    Attributes
    ----------
    name
        Name of the function.
    nodes
        What it computed; nothing of it is in the program being traced.
    result
        What it returned.
    states
        States it assigned, by identity, with their last values.
    """

    builder: Builder
    name: str
    nodes: list[Node]
    result: Tree
    states: dict[int, Any]

    def computing(self, function: Callable[[], Any]) -> Any:
        """Return what a function computes inside of the region."""
        with self.builder.apart() as more:
            found = function()
        self.nodes.extend(more)
        return found


def record(
    builder: Builder, function: Callable[..., Any], arguments: Sequence[Any],
    states: Mapping[int, Tracer],
) -> Recording:  # fmt: skip
    """Call a function and keep what it does out of the program.

    Parameters
    ----------
    states
        What states stand for inside of the function, by identity.
    """
    trace = step_of(builder)
    values = dict(trace.values) if trace else {}
    written = dict(trace.written) if trace else {}
    if trace:
        trace.values.update(states)
        trace.written.clear()
    try:
        with builder.apart() as nodes:
            result = flatten(function(*arguments))
    finally:
        changed: dict[int, Any] = dict(trace.written) if trace else {}
        if trace:
            trace.values.clear()
            trace.values.update(values)
            trace.written.clear()
            trace.written.update(written)
    name = getattr(function, "__name__", "")
    return Recording(builder, name.strip("<>") or "region", list(nodes), result, changed)


def step_of(builder: Builder) -> StepTrace | None:
    """Return the step being traced, if the builder is its."""
    trace = current_trace()
    return trace if trace is not None and trace.builder is builder else None


def assign(builder: Builder, states: Mapping[int, Tracer]) -> None:
    """Give states new values in the step being traced."""
    trace = step_of(builder)
    if trace is not None:
        trace.values.update(states)
        trace.written.update(states)


def symbols(builder: Builder, types: Sequence[TensorType], name: str) -> list[Tracer]:
    """Return fresh values of some types, to call a function with."""
    names = [name if len(types) == 1 else f"{name}_{i}" for i in range(len(types))]
    return [Tracer(builder, Value(t, n)) for t, n in zip(types, names, strict=True)]


def captured(
    recordings: Sequence[Recording], results: Sequence[Tracer], arguments: Sequence[Tracer]
) -> list[Value]:
    """Return what functions and their results read that is neither their own nor an argument."""
    nodes = [n for recording in recordings for n in recording.nodes]
    own = {*(x.value for x in arguments), *(v for n in nodes for v in n.outputs)}
    read = [x for n in nodes for x in n.inputs] + [x.value for x in results]
    return [x for x in dict.fromkeys(read) if isinstance(x, Value) and x not in own]


def region(
    recording: Recording, inputs: Sequence[tuple[Value, str]], outputs: Sequence[tuple[Tracer, str]]
) -> Program:
    """Return what a function did as a program; inputs and outputs come with kinds of roles."""
    builder = Builder(recording.name)
    env: dict[Operand, Operand] = {}
    taken: set[str] = set()
    for value, kind in inputs:
        base = name = value.hint or "x"
        k = 0
        while name in taken:
            k += 1
            name = f"{base}_{k}"
        taken.add(name)
        env[value] = builder.input(name, value.type, kind)
    copy_nodes(recording.nodes, builder, env)
    return builder.finish([
        (env[x.value], Role(kind, (str(i),))) for i, (x, kind) in enumerate(outputs)
    ])  # fmt: skip


def record_loop(
    b: Builder, call: Callable[[dict[int, Tracer]], Recording]
) -> tuple[Recording, dict[int, Tracer]]:
    """Record the body of a loop with the states it assigns as further carries."""
    states: dict[int, Tracer] = {}
    while True:
        with looping(b):
            body = call(states)
        trace = step_of(b)
        new = [k for k in body.states if k not in states]
        if trace is None or not new:
            break
        for k in new:
            states |= {k: symbols(b, [trace.types[k]], trace.paths[k])[0]}
    for k, inside in states.items():
        body.states.setdefault(k, inside)
    return body, states


@contextmanager
def looping(builder: Builder) -> Iterator[None]:
    """Let the step being traced know that a loop is recorded inside the block."""
    trace = step_of(builder)
    if trace is None:
        yield
        return
    trace.looping += 1
    try:
        yield
    finally:
        trace.looping -= 1


def current(builder: Builder, state: int) -> Tracer:
    """Return what a state stands for in the step being traced."""
    trace = step_of(builder)
    assert trace is not None, "states are assigned in a step only"
    found: Tracer = trace.values[state]
    return found


def lifted(recording: Recording, items: Sequence[Any]) -> list[Any]:
    """Return concrete arrays as values of a region; numbers stay numbers."""
    b = recording.builder
    return recording.computing(lambda: [x if is_number(x) else array(b, x) for x in items])


def filled(recording: Recording, items: Sequence[Any], types: Sequence[TensorType]) -> list[Any]:
    """Return numbers as arrays of a type, as values of a region."""
    b = recording.builder
    return recording.computing(
        lambda: [
            x if isinstance(x, Tracer) else ops.full(b, type.shape, x, type.dtype)
            for x, type in zip(items, types, strict=True)
        ]
    )
