"""A model compiled for a rule and for the types of its data: programs, report, graph."""

from __future__ import annotations

from functools import cached_property

from attrs import define, field, frozen

from etp_ir.core import Program
from etp_ir.errors import NotSupportedError
from etp_ir.passes import lower, unmarked
from etp_ir.passes.chains import cheapest_order
from etp_ir.passes.simplify import simplify
from etp_ir.transforms.dataflow import reached
from etp_ir.transforms.roll import roll
from etp_ir.types import DType, TensorType

from .compiler.aliases import through_states
from .compiler.canonical import canonical
from .compiler.case import Case
from .compiler.diagnostics import CompilationRecord, diagnose
from .compiler.emission import with_emissions
from .compiler.report import Report, cost, parameter_reports
from .compiler.scope import Scope
from .compiler.status import Status, statuses
from .compiler.structure import Structure, analyse
from .model import TracedStep
from .rules.base import LearningRule, OnlineRule, TraceRule
from .schedules.batching import batch_step
from .schedules.forms import Forms
from .schedules.planner import Choice, choose
from .schedules.prices import ScopePrice, prices
from .schedules.probe import coinciding
from .schedules.sequence import CARRIED, Plan, Sequences
from .schedules.steps import Steps
from .schedules.training import Optimizer, Training, gradient_program
from .traced import TracedLoss


@frozen
class Options:
    """What `etp.compile` was asked for, beside model and loss."""

    rule: LearningRule
    window: int
    schedule: str | int
    trace_dtype: DType | None
    scope: Scope
    tail: str


@frozen
class Stages:
    """The programs of a compiled model, from the model's step to the whole sequence.

    Attributes
    ----------
    traced
        One step of the model with its loss, for one example.
    compiled
        The same with the rule's traces and gradients.
    batched
        The compiled step for a batch.
    scheduled
        The gradient of a whole sequence.
    """

    traced: Program
    compiled: Program
    batched: Program
    scheduled: Program


def predict_program(step: TracedStep, length: int, batch: int) -> Program:
    """Return the program of a model's outputs over a sequence."""
    batched = batch_step(simplify(unmarked(step.program)), batch)
    forward = {p.name: f"{p.role.kind}({p.name})" for p in batched.inputs_of(*CARRIED)}
    sliced = [p.name for p in batched.inputs_of("input", "noise")]
    return cheapest_order(simplify(roll(batched, length, forward=forward, sliced=sliced)))


@define
class Compiled:
    """Everything that follows from a model, a rule and the types of one step's data.

    Attributes
    ----------
    streamed
        Whether steps were asked for one at a time.
    """

    step: TracedStep
    loss: TracedLoss
    options: Options
    program: Program = field(init=False)
    structure: Structure = field(init=False)
    steps: Steps = field(init=False)
    forms: Forms = field(init=False)
    streamed: bool = field(init=False, default=False)
    _sequences: dict[int, Sequences] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        o = self.options
        self.program = through_states(canonical(self.loss.program))
        if o.rule.emits or not o.rule.signal.symmetric:
            self.program = with_emissions(self.program, every=o.rule.emits)
        self.structure = analyse(self.program, self.loss.constants, scope=o.scope, tail=o.tail)
        name = self.loss.program.name
        self.steps = Steps(self.structure, o.rule, o.window, name, o.trace_dtype)
        self.forms = Forms(self.steps)

    @property
    def offline(self) -> bool:
        """Whether the rule keeps nothing between steps, and needs whole sequences."""
        return not isinstance(self.options.rule, OnlineRule)

    @property
    def states(self) -> tuple[str, ...]:
        """Names of what is carried from step to step, what units emit included."""
        return tuple(p.name for p in self.program.inputs_of("state"))

    def statuses(self, stretch: int, length: int) -> dict[str, Status]:
        """Return the status of every parameter's gradient.

        Parameters
        ----------
        stretch, length
            Steps between two updates, and in a sequence.
        """
        o = self.options
        truncated = self._truncated(stretch, length)
        return statuses(self.structure, o.rule, o.window, truncated, lambda: self._coinciding)

    @cached_property
    def _coinciding(self) -> frozenset[str] | None:
        """The parameters whose gradient is that of the influence after all; None if not tried."""
        o = self.options
        return coinciding(self.structure, o.rule, o.window, self.loss.constants, self.step.params)

    def diagnostics(
        self, stretch: int, length: int, size: int | None,
        found: dict[str, Status] | None = None,
    ) -> tuple[CompilationRecord, ...]:  # fmt: skip
        """Return the records for batches of a size; ``found`` are the statuses."""
        o = self.options
        return diagnose(Case(
            self.structure, found or self.statuses(stretch, length), o.rule, o.window,
            truncated=self._truncated(stretch, length), trace_dtype=o.trace_dtype,
            places=self.step.places, streamed=self.streamed, size=size,
        ))  # fmt: skip

    def _truncated(self, stretch: int, length: int) -> int | None:
        return stretch if self.offline and stretch < length else None

    def sequences(self, batch: int) -> Sequences:
        """Return the builder of sequence programs for a batch size."""
        if batch not in self._sequences:
            self._sequences[batch] = Sequences(self.forms, batch)
        return self._sequences[batch]

    def choose(self, length: int, batch: int) -> Choice:
        """Return how ``length`` steps with fixed weights are computed."""
        o = self.options
        window = min(o.window, length)
        return choose(
            o.rule, self.steps.linear, window, o.schedule, length,
            lambda: self._kept(batch),
        )  # fmt: skip

    def _kept(self, batch: int) -> int:
        """Return the bytes that one step of a chunk keeps, an upper bound."""
        if self.offline:
            return 0
        linear = self.steps.linear
        program = self.forms.adjoint.program if linear else self.forms.online
        outputs = {o.value for o in program.outputs if o.role.kind in ("grad", "trace")}
        varying = [p.value for p in program.inputs if p.role.kind not in ("param", "const")]
        made = (v for n in reached(program.nodes, varying) for v in n.outputs if v not in outputs)
        return batch * sum(v.type.nbytes for v in made)

    # -- programs ---------------------------------------------------------------------------
    def gradient(self, length: int, batch: int, *, outputs: bool = False) -> Program:
        """Return the program of a sequence's gradient, from fresh states and traces."""
        plan = self.choose(length, batch).plan
        return gradient_program(self.sequences(batch), plan, length, outputs=outputs)

    def training(
        self, length: int, batch: int, period: int, optimizer: Optimizer,
        state_types: dict[str, TensorType],
    ) -> Program:  # fmt: skip
        """Return the program that trains on a sequence, updating every ``period`` steps."""
        period = min(period, length)
        rest = length % period
        plan = self.choose(period, batch).plan
        rest_plan = self.choose(rest, batch).plan if rest else None
        sequences = self.sequences(batch)
        return Training(
            sequences, optimizer, state_types, plan, rest_plan, length, period
        ).program()

    def online(self, batch: int) -> Program:
        """Return the program of one streamed step: gradients of parameters, states, traces.

        Raises
        ------
        etp.NotSupportedError
            If the rule needs whole sequences.
        """
        if self.offline:
            raise NotSupportedError(
                f"{self.options.rule.name} keeps nothing between steps, so it cannot stream "
                "(ETP606)\n"
                "call grad or fit on whole sequences, or choose an online rule"
            )
        self.streamed = True
        return gradient_program(
            self.sequences(batch), Plan("scan", 1), 1, entering=True, leaving=True, outputs=True
        )

    def stages(self, length: int, batch: int) -> Stages:
        """Return the programs of every stage."""
        sequences = self.sequences(batch)
        step = self.forms.exact if self.offline else self.forms.online
        batched = simplify(sequences.batched(step))
        return Stages(self.loss.program, step, batched, self.gradient(length, batch))

    def report(self, stretch: int, length: int, batch: int, backend: str) -> Report:
        """Return the compile report for updates every ``stretch`` steps of sequences."""
        o = self.options
        choice = self.choose(stretch, batch)
        stages = self.stages(length, batch)
        flops, moved = cost(simplify(lower(stages.batched)))
        found = self.statuses(stretch, length)
        return Report(
            o.rule.name, backend, batch, o.window, choice.label, choice.why,
            tuple(g.states for g in self.structure.groups),
            parameter_reports(self.structure, found, self.steps.traces, batch),
            self.diagnostics(stretch, length, batch, found), flops, moved,
            str(o.scope), o.tail, self._prices(batch) if isinstance(o.rule, TraceRule) else {},
        )  # fmt: skip

    def _prices(self, batch: int) -> dict[str, ScopePrice]:
        o = self.options
        return prices(
            self.program, self.loss.constants, self.step.params, o.rule, o.window, o.tail,
            o.trace_dtype, batch, inside=o.scope,
        )  # fmt: skip
