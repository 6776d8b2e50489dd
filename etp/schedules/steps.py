"""What all step programs of one compiled model share: inputs, direct derivatives, outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import define, field

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Operand, Program, Role, Value
from etp_ir.errors import ModelError, NotSupportedError
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, operand
from etp_ir.types import U32, DType, TensorType

from ..compiler.axes import float_dtype
from ..compiler.boundary import MODULATOR, Boundary
from ..compiler.numbers import StepNumbers
from ..compiler.pieces import Pieces, Signals
from ..compiler.places import at_places, together
from ..compiler.step_view import ModelView, StepView
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..compiler.uses import Use
from ..compiler.view import apart
from ..keys import SEQUENCE, STEP
from ..rules.algebra import Vec
from ..rules.base import LearningRule, OnlineRule, StepRule
from ..rules.linear import Recurrence
from ..signals.base import Shared
from .memory import Entering, Gradients, Memory, StepMemory, TraceMemory, memory_of, zeros
from .traces import STEPS, TraceArray

SEED = "loss_weight"
BOUNDARY = "boundary"
ENDS = "rule_ends"
# First parts of the names of what is handed backwards in time, see `adjoint`.
RESERVED = ("later.", "ahead.", "exact.", "product.", "source.", "optimizer.", "rule_")


@define(slots=False)
class Opened:
    """A step program under construction, and what enters it.

    Attributes
    ----------
    pieces
        The program so far: the traced step.
    seed
        Weight of this step's loss.
    held
        Traces at entry, by name.
    shared
        Arrays of the rule and its signal that all examples share.
    modulator
        What was given beside the data.
    numbers
        Counter and random numbers.
    """

    steps: Steps
    pieces: Pieces
    seed: Tracer
    held: dict[str, Tracer]
    shared: dict[str, Tracer]
    modulator: Tracer | None
    numbers: StepNumbers
    _at: dict[tuple[str, ...], Boundary] = field(init=False, factory=dict)

    def at(self, states: Sequence[str]) -> Boundary:
        """Return the boundary of the step for some states."""
        key = tuple(states)
        if key not in self._at:
            kept = {n: self.held[a.name] for n, a in self.steps.kept.items() if a.name in self.held}
            self._at[key] = Boundary(self.pieces, self.seed, key, self.shared, self.modulator, kept)
        return self._at[key]

    def arriving(self, states: Sequence[str]) -> tuple[Mapping[str, Tracer], Mapping[str, Tracer]]:
        """Return the signals of the rule on new values of states, and on old ones past them."""
        return self.steps.rule.signal.arriving(self.at(states))

    def advance(self) -> dict[str, Tracer]:
        """Return what the rule keeps after the step, by name."""
        memory = self.steps.memory
        if isinstance(memory, StepMemory):
            return memory.advance_step(self.step, self.held)
        return memory.advance(self.pieces, self.held, self.numbers)

    @cached_property
    def recurrences(self) -> dict[HiddenParamOpRelation, Recurrence]:
        """The linear recurrence of every relation."""
        memory = self.steps.memory
        assert isinstance(memory, TraceMemory)
        return memory.recurrences(self.pieces)

    def entering(self, signals: Signals) -> Entering:
        """Return the vectors that linear traces at entry are multiplied with.

        With window 0 they are what the traces' own transition hands back of the signals at the
        boundary, and what the loss reads of the old states directly.
        """
        if self.steps.window > 0:
            return lambda relation: self.recurrences[relation].read(
                at_places(relation, signals.states)
            )

        def textbook(relation: HiddenParamOpRelation) -> Mapping[str, Vec]:
            new, old = self.arriving(together(self.steps.structure, relation))
            moved = self.recurrences[relation]
            back = moved.back(moved.read(at_places(relation, new)))
            for slot, vector in moved.read(at_places(relation, old)).items():
                back[slot] = back[slot] + vector if slot in back else vector
            return back

        return textbook

    @cached_property
    def step(self) -> StepView:
        """The whole step, for rules that are written on it."""
        structure = self.steps.structure
        at = self.at(tuple(ModelView(structure).states))
        return StepView(structure, self.pieces, self.numbers, at)

    def past_all_states(self) -> Signals:
        """Return the derivatives of this step's loss along paths that meet no new state.

        That is none of those through which weights act on later losses.
        """
        live = tuple(ModelView(self.steps.structure).states)
        return self.pieces.signals(self.seed, past=self.at(live).new)

    def credits(self, signals: Signals) -> dict[Use, Tracer]:
        """Return the derivative at every product that linear traces leave to this step.

        With window 0 that is what the step adds to the traces, read by the rule's own signal, and
        what leads to the loss past the states.
        """
        if self.steps.window > 0:
            return signals.products
        symmetric = self.steps.rule.signal.symmetric
        if symmetric and all(r.is_influence for r in self.recurrences.values()):
            return signals.products
        credits = self.past_states(signals)
        for relation, moved in self.recurrences.items():
            new, _ = self.arriving(together(self.steps.structure, relation))
            found = moved.at_result(moved.read(at_places(relation, new)), relation.axes.y)
            for use, x in apart(relation, found.laid(relation.axes.y)).items() if found else ():
                credits[use] = ops.add(credits[use], x) if use in credits else x
        return credits

    def past_states(self, signals: Signals) -> dict[Use, Tracer]:
        """Return the derivative at every product along paths that traces do not count.

        What a trace counts of the present step is ``u`` times the boundary signal; paths past
        the states, or through mixing tails, stay direct.
        """
        structure = self.steps.structure
        rest: dict[Use, Tracer] = dict(signals.products)
        for relation in structure.relations:
            boundary, _ = self.at(together(structure, relation)).pull()
            ell = at_places(relation, boundary)
            counted = self.pieces.view(relation).u.dot(ell, relation.axes.y)
            parts = apart(relation, counted.laid(relation.axes.y)) if counted else {}
            for use, x in parts.items():
                alone = sum(use in r.uses for r in structure.relations) == 1
                if alone and wholly_counted(structure, relation, use.output):
                    rest.pop(use, None)
                elif use in rest:
                    rest[use] = ops.sub(rest[use], x)
        return rest

    def close(
        self, traces: Mapping[str, Tracer], grads: Gradients,
        extra: list[tuple[Any, Role]] | None = None,
    ) -> Program:  # fmt: skip
        """Finish the program: outputs, traces, gradients, extras, and what the signal learns."""
        steps = self.steps
        extra = list(extra or [])
        found: Mapping[str, Tracer] = {}
        if steps.kept or any(x.learned for x in steps.shared.values()):
            found = steps.rule.signal.advance(self.at(tuple(steps.structure.states)))
        kept = {a.name: found.get(n, self.held[a.name]) for n, a in steps.kept.items() if self.held}
        for n, x in steps.shared.items():
            if x.learned:
                extra.append((found.get(n, traces.get(n, self.shared[n])), Role("buffer", (n,))))
        own = {n: x for n, x in traces.items() if n not in steps.shared}
        own |= self._delay(grads)
        return steps.close(self.pieces, {**own, **kept}, grads, extra)

    def _delay(self, grads: Gradients) -> dict[str, Tracer]:
        """Keep gradients in traces, and replace them by what the modulator releases of those."""
        kept: dict[str, Tracer] = {}
        if not self.held or self.modulator is None:
            return kept
        for name, a in self.steps.delayed.items():
            z = ops.mul(self.steps.rule.reward, self.held[a.name])
            kept[a.name] = z = ops.add(z, grads[name]) if name in grads else z
            grads[name] = ops.mul(ops.broadcast(self.modulator, z.shape, ()), z)
        return kept


def wholly_counted(structure: Structure, relation: HiddenParamOpRelation, y: Value) -> bool:
    """Whether every path from ``y`` to this step's loss is in ``u`` times the signal."""
    loss = structure.program.output("loss").value
    for state, place in relation.places.items():
        if not place.everywhere and structure.influence.cut(y, state) is not None:
            return False
    states = (structure.states[n][1] for n in relation.states)
    boundary = {v for v in states if isinstance(v, Value)}
    return not structure.dependence.leads_avoiding(y, loss, boundary)


@define(slots=False)
class Steps:
    """A compiled model as its step programs see it.

    Parameters
    ----------
    structure
        Analysis of the traced step.
    rule
        The learning rule.
    window
        Steps differentiated exactly: 0 for the textbook contraction of signal and trace.
    name
        Prefix of the programs' names.
    trace_dtype
        Element type in which traces are kept; that of the model by default.
    """

    structure: Structure
    rule: LearningRule
    window: int
    name: str
    trace_dtype: DType | None = None
    dtype: DType = field(init=False)
    memory: Memory = field(init=False)
    shared: dict[str, Shared] = field(init=False)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.rule, StepRule) and self.rule.whole and self.window > 0:
            raise NotSupportedError(
                f"{self.rule.name} decides for itself how far credit goes back\nuse window=0"
            )
        if self.rule.reward is not None and self.window > 1:
            raise NotSupportedError(
                f"{self.rule.name} keeps the gradient of each step until a reward comes, and a "
                f"window of {self.window} steps is differentiated as a whole\nuse window=0 or "
                "window=1"
            )
        self.dtype = float_dtype(self.structure.program)
        self.memory = memory_of(self.structure, self.rule, self.dtype, self.trace_dtype)
        self.shared = {**self.memory.shared, **self.rule.signal.shared(self.structure)}
        taken = {SEED, BOUNDARY, MODULATOR, *self.shared, *(a.name for a in self.traces)}
        for port in self.structure.program.inputs:
            if port.name in taken or port.name.startswith(RESERVED):
                raise ModelError(
                    f"{port.name!r} is a name that compiled programs use for something else\n"
                    f"rename this {port.role.kind}, or put it into a submodule"
                )

    @property
    def modulator_shape(self) -> tuple[int, ...]:
        """Shape of the modulator of one step of one example."""
        return self.rule.signal.modulators(self.structure)

    @cached_property
    def delayed(self) -> dict[str, TraceArray]:
        """What a rule with ``reward`` keeps of the gradient of each weight, by its name."""
        if self.rule.reward is None:
            return {}
        return {
            n: TraceArray(f"reward.{n}", Role("trace", ("reward", n)), type)
            for n, type in self.gradient_types().items()
        }

    @cached_property
    def kept(self) -> dict[str, TraceArray]:
        """The arrays that the learning signal keeps for each example."""
        shapes = self.rule.signal.kept(self.structure)
        return {
            n: TraceArray(
                f"signal.{n}", Role("trace", ("signal", n)), TensorType(self.dtype, shape)
            )
            for n, shape in shapes.items()
        }

    @cached_property
    def traces(self) -> list[TraceArray]:
        """The arrays that the rule and its signal keep."""
        return [*self.memory.arrays, *self.kept.values(), *self.delayed.values()]

    @cached_property
    def linear(self) -> bool:
        """Whether all that is kept is a linear recurrence."""
        return self.memory.linear and not self.kept and not self.delayed

    def pieces(self, form: str = "") -> Pieces:
        """Return a builder that starts as the traced step."""
        return Pieces(self.structure, ".".join(filter(None, (self.name, self.rule.name, form))))

    def beside(self, form: str) -> Builder:
        """Return a builder for what is computed beside the step, from the tables of products."""
        b = Builder(f"{self.name}.{form}", share=True, float_dtype=self.dtype)
        tables = {
            join.index for r in self.structure.relations for join in r.axes.joins.values()
            if isinstance(join.index, Value)
        }  # fmt: skip
        b.inputs += [p for p in self.structure.program.inputs if p.value in tables]
        return b

    def open(self, form: str = "", *, traces: bool = True) -> Opened:
        """Return a step program under construction, with everything that enters it."""
        p = self.pieces(form)
        b = p.builder

        def port(name: str, type: TensorType, role: Role | str) -> Tracer:
            return Tracer(b, b.input(name, type, role))

        seed = port(SEED, TensorType(self.dtype), "weight")
        held = {a.name: port(a.name, a.type, a.role) for a in self.traces if traces}
        shared = {
            n: port(n, TensorType(self.dtype, x.shape), "buffer" if x.learned else "const")
            for n, x in self.shared.items()
        }
        modulator = None
        if self.rule.modulated:
            modulator = port(MODULATOR, TensorType(self.dtype, self.modulator_shape), "input")
        numbers = StepNumbers(self.dtype, self.structure, b, held.get(STEPS), loss_weight=seed)
        if isinstance(self.rule, OnlineRule) and self.rule.draws:
            numbers.key, numbers.sequence_key = (
                port(f"rule_{per}", TensorType(U32, (2,)), Role("noise", (per,)))
                for per in (STEP, SEQUENCE)
            )
        if isinstance(self.rule, StepRule) and self.rule.sees_end:
            numbers.last = port(ENDS, TensorType(self.dtype), "weight")
        return Opened(self, p, seed, held, shared, modulator, numbers)

    def later_inputs(self, p: Pieces) -> dict[str, Tracer]:
        """Return what later steps report on the new states."""
        b = p.builder
        return {
            n: Tracer(b, b.input(f"later.{n}", old.type, Role("signal", (n,))))
            for n, (old, _) in self.structure.states.items()
        }

    def later_outputs(self, p: Pieces, signals: Signals) -> list[tuple[Any, Role]]:
        """Return what this step reports on the old states."""
        out: list[tuple[Any, Role]] = []
        for n, (old, _) in self.structure.states.items():
            x = signals.states.get(n)
            out.append((zeros(p.builder, old.type) if x is None else x, Role("signal", (n,))))
        return out

    def add_direct(
        self, p: Pieces, credits: Mapping[Use, Tracer], signals: Signals, grads: Gradients
    ) -> None:
        """Add the derivatives of this step: through products, and through plain uses."""
        for use, weight in self.structure.weights.items():
            if use in credits:
                grads.add(weight.name, p.credit(use, credits[use]))
        for name, x in signals.params.items():
            grads.add(name, x)

    def gradient_types(self) -> dict[str, TensorType]:
        """Return the type of every gradient of a step: weights first, then other parameters."""
        s = self.structure
        found = {w.name: w.value.type for w in s.weights.values()}
        for port in s.program.inputs_of("param"):
            found.setdefault(port.name, port.type)
        return found

    def close(
        self, p: Pieces, traces: Mapping[str, Tracer], grads: Gradients,
        extra: list[tuple[Any, Role]] | None = None,
    ) -> Program:  # fmt: skip
        """Finish a step program: the model's outputs, traces, gradients, then extras."""
        b = p.builder
        seed = Tracer(b, next(port.value for port in b.inputs if port.name == SEED))
        pairs: list[tuple[Operand, Role]] = []
        for out in self.structure.program.outputs:
            value = out.value
            if out.role.kind in ("loss", "metric"):
                x = Tracer(b, value) if isinstance(value, Value) else value.value
                value = ops.mul(seed, x).value
            pairs.append((value, out.role))
        roles = {a.name: a.role for a in self.traces}
        pairs += [(x.value, roles[n]) for n, x in traces.items()]
        for name, type in self.gradient_types().items():
            grad = grads.get(name)
            grad = zeros(b, type) if grad is None else grad
            pairs.append((grad.value, Role("grad", (name,))))
        pairs += [(operand(b, x), role) for x, role in extra or []]
        return simplify(b.finish(pairs))

    def finish_reading(self, b: Builder, grads: Gradients) -> Program:
        """Finish a program that only reads traces."""
        return simplify(b.finish([(x.value, Role("grad", (n,))) for n, x in grads.items()]))
