"""Programs for whole sequences, put together from step programs.

A chunk is a stretch of steps with fixed weights. What runs inside it is one of

* ``scan``: the online step, one after the other, in memory independent of the length;
* ``roll``: the same, with everything that is no recurrence computed for the whole chunk at once;
* ``window``: exact derivatives inside the chunk, traces read at its entry;
* ``adjoint``: linear traces carried backwards as adjoints instead of forwards as arrays.

All of them give the same gradient. Chunks are then repeated over the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Input, Output, Program, Role, Value
from etp_ir.passes import dce
from etp_ir.tracer import Tracer, copy_nodes, operand, replay
from etp_ir.transforms.roll import roll
from etp_ir.transforms.vjp import pullback
from etp_ir.types import I32, TensorType

from ..compiler.places import unit
from .adjoint import EXACT, AdjointStep, read_entry
from .batching import batch_step
from .forms import Forms
from .lanes import Lane
from .steps import BOUNDARY, ENDS
from .traces import STEPS

SUMMED = ("grad", "loss", "metric")
# What a step hands on to the next beside traces.
CARRIED = ("state", "buffer")
SLICED = ("input", "target", "weight", "noise")


@frozen
class Plan:
    """How a stretch of steps is computed.

    Attributes
    ----------
    mode
        ``"scan"``, ``"roll"``, ``"window"`` or ``"adjoint"``.
    length
        Steps in one chunk.
    """

    mode: str
    length: int


class Sequences:
    """Builds the programs of one compiled model for a batch size."""

    def __init__(self, forms: Forms, batch: int) -> None:
        self.forms = forms
        self.steps = forms.steps
        self.batch = batch
        self._batched: dict[str, Program] = {}

    # -- batching ---------------------------------------------------------------------------
    def batched(self, program: Program, total: tuple[str, ...] = SUMMED) -> Program:
        """Return a step program for the batch; gradients and losses are summed over it."""
        return batch_step(program, self.batch, shared=(STEPS, BOUNDARY, ENDS), total=total)

    def _once(self, key: str, make: Any) -> Program:
        if key not in self._batched:
            self._batched[key] = self.batched(make())
        return self._batched[key]

    # -- chunks -----------------------------------------------------------------------------
    def chunk(self, plan: Plan, *, entering: bool, leaving: bool, outputs: bool) -> Program:
        """Return the program of one chunk.

        Parameters
        ----------
        entering
            Traces come in; otherwise they start from zero.
        leaving
            Traces go out.
        outputs
            Keep the model's outputs of every step.
        """
        if plan.mode in ("scan", "roll"):
            step = self._once("online", lambda: self.forms.online)
            step = _without(step, () if outputs else ("output",))
            return self._forward_chunk(step, plan, entering, leaving)
        if plan.mode == "window":
            step = self._once("exact", lambda: self.forms.exact)
            step = _without(step, () if outputs else ("output",))
            return self._window_chunk(step, plan, entering, leaving)
        drop = ("output",) if not outputs else ()
        if not leaving:
            drop = (*drop, "trace", "value")
        form = self.forms.adjoint_leaving if leaving else self.forms.adjoint
        step = self._once(f"adjoint:{leaving}", lambda: form.program)
        step = dce(_without(step, drop))
        return self._adjoint_chunk(step, form, plan, entering, leaving)

    def _forward_chunk(self, step: Program, plan: Plan, entering: bool, leaving: bool) -> Program:
        frame = _Frame(self, step, plan.length, entering)
        out = frame.roll(step, hoist=plan.mode == "roll")
        return frame.finish(out, leaving)

    def _window_chunk(self, step: Program, plan: Plan, entering: bool, leaving: bool) -> Program:
        frame = _Frame(self, step, plan.length, entering)
        backward = {p.name: str(p.role) for p in step.inputs if p.name.startswith("later.")}
        start = {n: frame.zeros(step.input(n).type) for n in backward}
        out = frame.roll(step, backward=backward, start=start)
        if entering:
            arriving = {n: out[key] for n, key in backward.items()}
            frame.read_entry(out, self._once("entry", lambda: self.forms.entry), arriving)
        return frame.finish(out, leaving)

    def _adjoint_chunk(
        self, step: Program, form: AdjointStep, plan: Plan, entering: bool, leaving: bool
    ) -> Program:
        frame = _Frame(self, step, plan.length, entering)
        backward, start = {}, {}
        keys = {o.key for o in step.outputs}
        for port in step.inputs:
            if str(port.role) in keys and port.role.kind in ("signal", "value"):
                backward[port.name] = str(port.role)
                start[port.name] = _start(frame.builder, port, form.leaving)
        sliced = {}
        if BOUNDARY in step.input_names:
            sliced[BOUNDARY] = frame.boundaries(plan.length, self.steps.window)
        out = frame.roll(step, backward=backward, start=start, sliced=sliced, total=("trace",))
        if entering:
            handed = ("ahead.", f"{EXACT}.")
            arriving = {n: out[key] for n, key in backward.items() if n.startswith(handed)}
            entry = self._once("entry:adjoint", lambda: read_entry(self.steps, form))
            frame.read_entry(out, entry, arriving)
        if leaving:
            ending = self._once("leave", lambda: self.forms.leave)
            given = {**frame.given, **frame.traces}
            given.update({n: out[key] for n, key in backward.items() if n.startswith("product.")})
            for a in self.steps.traces:
                given[f"source.{a.name}"] = out[str(a.role)]
            out.update(frame.call(ending, given))
        return frame.finish(out, leaving)

    # -- stretches of chunks ----------------------------------------------------------------
    def stretch(
        self, plan: Plan, length: int, *, entering: bool, leaving: bool, outputs: bool
    ) -> Program:
        """Return the program of ``length`` steps with fixed weights."""
        if plan.mode == "scan" or plan.length >= length:
            whole = Plan(plan.mode, length)
            return self.chunk(whole, entering=entering, leaving=leaving, outputs=outputs)
        n, rest = divmod(length, plan.length)
        chunk = self.chunk(plan, entering=True, leaving=True, outputs=outputs)
        last = None
        if rest:
            last = self.chunk(
                Plan(plan.mode, rest), entering=True, leaving=leaving, outputs=outputs
            )
        return self._repeat(chunk, n, plan.length, last, rest, entering, leaving)

    def _repeat(
        self, chunk: Program, n: int, width: int, last: Program | None, rest: int,
        entering: bool, leaving: bool,
    ) -> Program:  # fmt: skip
        b = Builder(chunk.name, share=True)
        varying = [p.name for p in chunk.inputs if p.role.kind in SLICED]
        given: dict[str, Tracer] = {}
        for port in chunk.inputs:
            type = port.type
            if port.name in varying:
                type = type.with_shape((n * width + rest, *type.shape[1:]))
            if port.role.kind == "trace" and not entering:
                given[port.name] = ops.full(b, type.shape, 0, type.dtype)
            else:
                given[port.name] = Tracer(b, b.input(port.name, type, port.role))
        carried = {
            p.name: (f"{p.role.kind}({p.name})" if p.role.kind in CARRIED else str(p.role))
            for p in chunk.inputs if p.role.kind in (*CARRIED, "trace")
        }  # fmt: skip
        looped = roll(chunk, n, forward=carried, sliced=varying, total=SUMMED, hoist=False)

        arguments = dict(given)
        for name in varying:
            head = part(given[name], 0, n * width)
            arguments[name] = ops.reshape(head, (n, width, *head.shape[1:]))
        out = call(b, looped, arguments)
        stacked = [o.key for o in chunk.outputs if o.role.kind == "output"]
        for key in stacked:
            x = out[key]
            out[key] = ops.reshape(x, (n * width, *x.shape[2:]))
        if last is not None:
            arguments = dict(given)
            arguments.update({name: out[key] for name, key in carried.items()})
            for name in varying:
                arguments[name] = part(given[name], n * width, n * width + rest)
            ending = call(b, last, arguments)
            for o in last.outputs:
                if o.role.kind in SUMMED:
                    out[o.key] = ops.add(out[o.key], ending[o.key])
                elif o.role.kind == "output":
                    out[o.key] = ops.concat([out[o.key], ending[o.key]], 0)
                else:
                    out[o.key] = ending[o.key]
        pairs = [
            (operand(b, out[o.key]), o.role) for o in chunk.outputs
            if leaving or o.role.kind != "trace"
        ]  # fmt: skip
        return b.finish(pairs)

    # -- parameters -------------------------------------------------------------------------
    def parameter_gradients(
        self, b: Builder, given: Mapping[str, Tracer], grads: Mapping[str, Tracer]
    ) -> dict[str, Tracer]:
        """Return gradients of parameters from those of the weights that are made of them."""
        structure = self.steps.structure
        params = {p.name: p.value for p in structure.program.inputs_of("param")}
        total = {n: grads[n] for n in params if n in grads}
        expressions = {w.name: w.value for w in structure.weights.values() if w.name not in params}
        if not expressions:
            return {n: total[n] for n in params}
        env: Any = {
            p.value: given[p.name].value
            for p in structure.program.inputs if p.role.kind in ("param", "const")
        }  # fmt: skip
        nodes = []
        for node in structure.program.nodes:
            if all(not isinstance(x, Value) or x in env for x in node.inputs):
                copy_nodes([node], b, env)
                nodes.append(node)
        pulled = pullback(
            b, nodes, list(params.values()), {v: grads[n] for n, v in expressions.items()}, env=env
        )
        for name, value in params.items():
            if value in pulled:
                total[name] = (
                    ops.add(total[name], pulled[value]) if name in total else pulled[value]
                )
        return {n: total[n] for n in params}


class _Frame:
    """The program of a chunk under construction."""

    def __init__(self, owner: Sequences, step: Program, length: int, entering: bool) -> None:
        self.owner, self.length = owner, length
        self.builder = Builder(owner.steps.name, share=True)
        self.given: dict[str, Tracer] = {}
        self.traces: dict[str, Tracer] = {}
        for port in step.inputs:
            if port.role.kind in ("trace", "signal", "value") or port.name == BOUNDARY:
                continue
            type = port.type
            if port.role.kind in SLICED:
                type = type.with_shape((length, *type.shape))
            self.given[port.name] = self._input(port.name, type, port.role)
        for a in owner.steps.traces:
            type = a.type if a.shared else a.type.with_shape((owner.batch, *a.type.shape))
            if entering:
                self.traces[a.name] = self._input(a.name, type, a.role)
            else:
                self.traces[a.name] = self.full(type, 0.0)

    def _input(self, name: str, type: TensorType, role: Role) -> Tracer:
        return Tracer(self.builder, self.builder.input(name, type, role))

    def full(self, type: TensorType, number: float) -> Tracer:
        return ops.full(self.builder, type.shape, number, type.dtype)

    def zeros(self, type: TensorType) -> Tracer:
        return self.full(type, 0.0)

    def boundaries(self, length: int, window: int) -> Tracer:
        """Return 1 at the first step of every window and 0 elsewhere."""
        from etp_ir.primitive import get

        attrs = {"shape": (length,), "axis": 0, "dtype": I32}
        t = Tracer(self.builder, self.builder.emit(get("iota"), [], attrs)[0])
        return ops.cast(ops.eq(ops.rem(t, window), 0), self.owner.steps.dtype)

    def roll(
        self, step: Program, *, backward: Mapping[str, str] | None = None,
        start: Mapping[str, Tracer] | None = None, sliced: Mapping[str, Tracer] | None = None,
        total: tuple[str, ...] = (), hoist: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        forward = {p.name: f"{p.role.kind}({p.name})" for p in step.inputs_of(*CARRIED)}
        forward.update({p.name: str(p.role) for p in step.inputs_of("trace")})
        varying = {p.name for p in step.inputs if p.role.kind in SLICED and p.name != BOUNDARY}
        rolled = roll(
            step, self.length, forward=forward, backward=backward,
            sliced=varying | set(sliced or {}), total=(*SUMMED, *total), hoist=hoist,
        )  # fmt: skip
        arguments = {**self.given, **self.traces, **(start or {}), **(sliced or {})}
        return self.call(rolled, arguments)

    def call(self, program: Program, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return call(self.builder, program, arguments)

    def read_entry(self, out: dict[str, Any], entry: Program, arriving: Mapping[str, Any]) -> None:
        found = self.call(entry, {**self.given, **self.traces, **arriving})
        for key, x in found.items():
            out[key] = ops.add(out[key], x)

    def finish(self, out: Mapping[str, Any], leaving: bool) -> Program:
        """Close the program: the model's outputs, gradients, and traces if they leave."""
        steps = self.owner.steps
        roles = [o.role for o in steps.structure.program.outputs]
        roles += [Role("buffer", (n,)) for n, x in steps.shared.items() if x.learned]
        roles += [a.role for a in steps.traces] if leaving else []
        roles += [Role("grad", (name,)) for name in steps.gradient_types()]
        pairs = [(operand(self.builder, out[str(r)]), r) for r in roles if str(r) in out]
        return self.builder.finish(pairs)


def part(x: Tracer, start: int, stop: int) -> Tracer:
    """Return the rows from ``start`` to ``stop``."""
    rest = [0] * (x.ndim - 1)
    return ops.slice_(x, (start, *rest), (stop, *x.shape[1:]), [1] * x.ndim)


def call(b: Builder, program: Program, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Append a program with arguments by name, and return its outputs by key."""
    results = replay(program, b, [arguments[p.name] for p in program.inputs])
    return {o.key: r for o, r in zip(program.outputs, results, strict=True)}


def _without(program: Program, kinds: tuple[str, ...]) -> Program:
    """Return the program without its outputs of some kinds."""
    kept: tuple[Output, ...] = tuple(o for o in program.outputs if o.role.kind not in kinds)
    inputs = tuple(p for p in program.inputs if p.role.kind not in kinds or p.role.kind == "trace")
    return dce(Program(program.name, inputs, program.nodes, kept))


def _start(b: Builder, port: Input, lanes: tuple[Lane, ...]) -> Tracer:
    """Return the adjoints and products after the last step: zero, and the identity."""
    type = port.type
    for lane in lanes:
        for s in lane.coordinates:
            if port.name == lane.product(s, s):
                if not lane.members[0].places[s[1]].wide:
                    return ops.full(b, type.shape, 1.0, type.dtype)
                n = type.shape[-1]
                one = ops.reshape(unit(b, TensorType(type.dtype, (n,))), (n, n))
                rank = len(type.shape)
                return ops.broadcast(one, type.shape, (rank - 2, rank - 1))
    return ops.full(b, type.shape, 0.0, type.dtype)
