"""Programs that train: gradient, optimiser and recurrence in one loop over the sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program, Role
from etp_ir.passes import dce
from etp_ir.passes.chains import cheapest_order
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, operand
from etp_ir.transforms.roll import roll
from etp_ir.types import TensorType

from ..compiler.past import pushed
from .sequence import CARRIED, SLICED, SUMMED, Plan, Sequences, call, part
from .steps import ENDS

# Output of a training program: the largest magnitude among the new parameters.
LARGEST = "largest parameter"


class Optimizer(Protocol):
    """What a training program needs of an optimiser; see `etp.optim`."""

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """Return new parameters and a new state, as flat dicts."""


def gradient_program(
    sequences: Sequences,
    plan: Plan,
    length: int,
    *,
    entering: bool = False,
    leaving: bool = False,
    outputs: bool = False,
) -> Program:
    """Return the program from a sequence to gradients of parameters, loss and final states."""
    program = sequences.stretch(plan, length, entering=entering, leaving=leaving, outputs=outputs)
    b = Builder(f"{program.name}.gradient", share=True)
    given = {
        p.name: _ending(b, p.type, not leaving) if p.name == ENDS
        else Tracer(b, b.input(p.name, p.type, p.role))
        for p in program.inputs
    }  # fmt: skip
    out = call(b, program, given)
    grads = sequences.parameter_gradients(b, given, _weights(program, out))
    pairs: list[Any] = [(x.value, Role("grad", (name,))) for name, x in grads.items()]
    kept = [o for o in program.outputs if o.role.kind != "grad"]
    pairs += [(operand(b, out[o.key]), o.role) for o in kept]
    return cheapest_order(simplify(b.finish(pairs)))


def _ending(b: Builder, type: TensorType, known: bool) -> Tracer:
    """Return 1 in the last step of a sequence, where it is known to be that, and 0 elsewhere."""
    none: Tracer = ops.full(b, type.shape, 0.0, type.dtype)
    return pushed(none, ops.full(b, (), 1.0, type.dtype)) if known else none


def _weights(program: Program, out: Mapping[str, Any]) -> dict[str, Tracer]:
    """Return the gradients of weights by name."""
    return {o.role.of[0]: out[o.key] for o in program.outputs if o.role.kind == "grad"}


@frozen
class Training:
    """How a sequence is cut into updates.

    Attributes
    ----------
    plan, rest_plan
        How the steps between two updates are computed, and those after the last whole period.
    length, period
        Steps of the sequence, and steps between two updates.
    state_types
        Type of each array of the optimiser's state.
    """

    sequences: Sequences
    optimizer: Optimizer
    state_types: Mapping[str, TensorType]
    plan: Plan
    rest_plan: Plan | None
    length: int
    period: int

    def program(self) -> Program:
        """Return the program that reads a sequence and updates parameters every period.

        Inputs are parameters, ``optimizer.*``, initial states and the sequence; outputs are the
        new parameters ``param(name)``, ``state(optimizer.*)``, final states and summed losses.
        """
        n, rest = divmod(self.length, self.period)
        single = n == 1 and not rest
        block = self._block(self.plan, self.period, carrying=not single)
        b = Builder(block.name, share=True)
        given: dict[str, Tracer] = {}
        for port in block.inputs:
            type = port.type
            if port.role.kind in SLICED:
                type = type.with_shape((self.length, *type.shape[1:]))
            if port.role.kind == "trace":
                given[port.name] = ops.full(b, type.shape, 0, type.dtype)
            elif port.name == ENDS:
                given[port.name] = _ending(b, type, True)
            else:
                given[port.name] = Tracer(b, b.input(port.name, type, port.role))
        out = call(b, block, given) if single else self._loop(b, block, given, n, rest)
        kept = [o for o in block.outputs if o.role.kind != "trace"]
        pairs = [(operand(b, out[o.key]), o.role) for o in kept]
        largest = _largest([out[o.key] for o in kept if o.role.kind == "param"])
        pairs.append((largest.value, Role("value", (LARGEST,))))
        return cheapest_order(simplify(b.finish(pairs)))

    def _loop(
        self, b: Builder, block: Program, given: dict[str, Tracer], n: int, rest: int
    ) -> dict[str, Any]:
        """Repeat the block ``n`` times, then read what is left of the sequence."""
        keys = {o.key for o in block.outputs}
        carried = {p.name: k for p in block.inputs if (k := _handed_on(p)) in keys}
        varying = [p.name for p in block.inputs if p.role.kind in SLICED]
        looped = roll(block, n, forward=carried, sliced=varying, total=SUMMED, hoist=False)
        arguments = dict(given)
        for name in varying:
            head = part(given[name], 0, n * self.period)
            arguments[name] = ops.reshape(head, (n, self.period, *head.shape[1:]))
        out = call(b, looped, arguments)
        if not rest:
            return out
        ending = self._block(self.rest_plan or Plan("scan", rest), rest, carrying=True)
        arguments = {**given, **{name: out[key] for name, key in carried.items()}}
        for name in varying:
            arguments[name] = part(given[name], n * self.period, self.length)
        last = call(b, ending, arguments)
        for o in ending.outputs:
            out[o.key] = ops.add(out[o.key], last[o.key]) if o.role.kind in SUMMED else last[o.key]
        return out

    def _block(self, plan: Plan, length: int, *, carrying: bool) -> Program:
        """Return the program of one update: a stretch of steps, then the optimiser."""
        stretch = self.sequences.stretch(
            plan, length, entering=carrying, leaving=carrying, outputs=False
        )
        b = Builder(f"{self.sequences.steps.name}.training", share=True)
        given = {p.name: Tracer(b, b.input(p.name, p.type, p.role)) for p in stretch.inputs}
        held = {
            n: Tracer(b, b.input(f"optimizer.{n}", t, "state")) for n, t in self.state_types.items()
        }
        out = call(b, stretch, given)
        grads = self.sequences.parameter_gradients(b, given, _weights(stretch, out))
        params = {n: given[n] for n in grads}
        new_params, new_state = self.optimizer.update(grads, held, params)
        pairs: list[Any] = [
            (operand(b, x, params[n].dtype), Role("param", (n,))) for n, x in new_params.items()
        ]
        pairs += [
            (operand(b, x, self.state_types[n].dtype), Role("state", (f"optimizer.{n}",)))
            for n, x in new_state.items()
        ]
        kept = [o for o in stretch.outputs if o.role.kind != "grad"]
        pairs += [(operand(b, out[o.key]), o.role) for o in kept]
        return dce(b.finish(pairs))


def _largest(params: Sequence[Tracer]) -> Tracer:
    """Return the largest magnitude among parameters, which is not finite if one of them is not."""
    found: Any = None
    for x in params:
        top = ops.reduce_max(ops.abs_(x), tuple(range(x.ndim)))
        found = top if found is None else ops.maximum(found, top)
    return found


def _handed_on(port: Any) -> str:
    """Return the key under which a block hands on what it was given as an input."""
    if port.role.kind in ("param", *CARRIED):
        return f"{port.role.kind}({port.name})"
    return str(port.role) if port.role.kind == "trace" else ""
