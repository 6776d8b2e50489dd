"""Programs that train: gradient, optimiser and recurrence in one loop over the sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program, Role
from etp_ir.passes import dce
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, operand
from etp_ir.transforms.roll import roll
from etp_ir.types import TensorType

from .sequence import SLICED, SUMMED, Plan, Sequences, call


class Optimizer(Protocol):
    """What a training program needs of an optimiser; see `etp.optim`."""

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """Return new parameters and a new state, as flat dicts."""


def gradient_program(
    sequences: Sequences, plan: Plan, length: int, *, entering: bool = False,
    leaving: bool = False, outputs: bool = False,
) -> Program:  # fmt: skip
    """Return the program from a sequence to gradients of parameters, loss and final states."""
    program = sequences.stretch(plan, length, entering=entering, leaving=leaving, outputs=outputs)
    b = Builder(f"{program.name}.gradient", share=True)
    given = {p.name: Tracer(b, b.input(p.name, p.type, p.role)) for p in program.inputs}
    out = call(b, program, given)
    pairs = _gradients(b, sequences, program, given, out)
    pairs += [
        (operand(b, out[o.key]), o.role) for o in program.outputs if o.role.kind != "grad"
    ]
    return tidy(b.finish(pairs))


def _gradients(
    b: Builder, sequences: Sequences, program: Program, given: Mapping[str, Tracer],
    out: Mapping[str, Any],
) -> list[Any]:  # fmt: skip
    weights = {o.role.of[0]: out[o.key] for o in program.outputs if o.role.kind == "grad"}
    grads = sequences.parameter_gradients(b, given, weights)
    return [(x.value, Role("grad", (name,))) for name, x in grads.items()]


def training_program(
    sequences: Sequences, optimizer: Optimizer, state_types: Mapping[str, TensorType],
    plan: Plan, rest_plan: Plan | None, length: int, period: int,
) -> Program:  # fmt: skip
    """Return the program that reads a sequence and updates parameters every ``period`` steps.

    Inputs are parameters, ``optimizer.*``, initial states and the sequence; outputs are the new
    parameters ``param(name)``, ``state(optimizer.*)``, final states and summed losses.
    """
    n, rest = divmod(length, period)
    single = n + (rest > 0) == 1
    width = period if n else rest
    first = plan if n else (rest_plan or plan)
    block = _block(sequences, optimizer, state_types, first, width, carrying=not single)
    b = Builder(f"{block.name}", share=True)
    varying = {p.name for p in block.inputs if p.role.kind in SLICED}
    given: dict[str, Tracer] = {}
    for port in block.inputs:
        type = port.type
        if port.name in varying:
            type = type.with_shape((length, *type.shape[1:]))
        if port.role.kind == "trace":
            given[port.name] = ops.full(b, type.shape, 0, type.dtype)
        else:
            given[port.name] = Tracer(b, b.input(port.name, type, port.role))
    if single:
        out = call(b, block, given)
    else:
        out = _loop(b, sequences, optimizer, state_types, block, rest_plan, given, n, period, rest)
    pairs = [
        (operand(b, out[o.key]), o.role) for o in block.outputs if o.role.kind != "trace"
    ]
    return tidy(b.finish(pairs))


def _loop(
    b: Builder, sequences: Sequences, optimizer: Optimizer, state_types: Mapping[str, TensorType],
    block: Program, rest_plan: Plan | None, given: dict[str, Tracer], n: int, period: int, rest: int,
) -> dict[str, Any]:  # fmt: skip
    keys = {o.key for o in block.outputs}
    carried = {}
    for port in block.inputs:
        key = {"param": f"param({port.name})", "state": f"state({port.name})",
               "trace": str(port.role)}.get(port.role.kind)  # fmt: skip
        if key in keys and key is not None:
            carried[port.name] = key
    varying = [p.name for p in block.inputs if p.role.kind in SLICED]
    looped = roll(block, n, forward=carried, sliced=varying, total=SUMMED, hoist=False)
    arguments = dict(given)
    for name in varying:
        head = _part(given[name], 0, n * period)
        arguments[name] = ops.reshape(head, (n, period, *head.shape[1:]))
    out = call(b, looped, arguments)
    if rest:
        ending = _block(sequences, optimizer, state_types, rest_plan or Plan("scan", rest), rest,
                        carrying=True)  # fmt: skip
        arguments = {**given, **{name: out[key] for name, key in carried.items()}}
        for name in varying:
            arguments[name] = _part(given[name], n * period, n * period + rest)
        last = call(b, ending, arguments)
        for o in ending.outputs:
            out[o.key] = ops.add(out[o.key], last[o.key]) if o.role.kind in SUMMED else last[o.key]
    return out


def _part(x: Tracer, start: int, stop: int) -> Tracer:
    return ops.slice_(x, (start, *[0] * (x.ndim - 1)), (stop, *x.shape[1:]), [1] * x.ndim)  # type: ignore[no-any-return]


def _block(
    sequences: Sequences, optimizer: Optimizer, state_types: Mapping[str, TensorType],
    plan: Plan, length: int, *, carrying: bool,
) -> Program:  # fmt: skip
    """Return the program of one update: a stretch of steps, then the optimiser."""
    stretch = sequences.stretch(plan, length, entering=carrying, leaving=carrying, outputs=False)
    b = Builder(f"{sequences.steps.name}.training", share=True)
    given = {p.name: Tracer(b, b.input(p.name, p.type, p.role)) for p in stretch.inputs}
    held = {n: Tracer(b, b.input(f"optimizer.{n}", t, "state")) for n, t in state_types.items()}
    out = call(b, stretch, given)
    weights = {o.role.of[0]: out[o.key] for o in stretch.outputs if o.role.kind == "grad"}
    grads = sequences.parameter_gradients(b, given, weights)
    params = {n: given[n] for n in grads}
    new_params, new_state = optimizer.update(grads, held, params)
    pairs: list[Any] = [
        (operand(b, x, params[n].dtype), Role("param", (n,))) for n, x in new_params.items()
    ]
    pairs += [
        (operand(b, x, state_types[n].dtype), Role("state", (f"optimizer.{n}",)))
        for n, x in new_state.items()
    ]
    pairs += [(operand(b, out[o.key]), o.role) for o in stretch.outputs if o.role.kind != "grad"]
    return dce(b.finish(pairs))


def tidy(program: Program) -> Program:
    """Return the program simplified and without dead nodes."""
    return dce(simplify(program))
