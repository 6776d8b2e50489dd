"""What all step programs of one compiled model share: inputs, direct derivatives, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Operand, Program, Role, Value
from etp_ir.errors import ModelError
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, operand
from etp_ir.types import DType, TensorType

from ..compiler.axes import float_dtype
from ..compiler.pieces import Pieces, Signals
from ..compiler.places import at_places
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..compiler.uses import Use
from ..rules.algebra import Vec
from ..rules.base import LearningRule
from .memory import Gradients, Memory, SignalOf, memory_of, signals_on, zeros
from .traces import TraceArray

SEED = "loss_weight"
BOUNDARY = "boundary"
# First parts of the names of what is handed backwards in time, see `adjoint`.
RESERVED = ("later.", "ahead.", "exact.", "product.", "source.", "optimizer.")


@define
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

    def __attrs_post_init__(self) -> None:
        self.dtype = float_dtype(self.structure.program)
        self.memory = memory_of(self.structure, self.rule, self.dtype, self.trace_dtype)
        taken = {SEED, BOUNDARY, *(a.name for a in self.traces)}
        for port in self.structure.program.inputs:
            if port.name in taken or port.name.startswith(RESERVED):
                raise ModelError(
                    f"{port.name!r} is a name that compiled programs use for something else\n"
                    f"rename this {port.role.kind}, or put it into a submodule"
                )

    @property
    def traces(self) -> list[TraceArray]:
        """The arrays that the rule keeps."""
        return self.memory.arrays

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

    def seed(self, p: Pieces) -> Tracer:
        """Return the weight of this step's loss."""
        return Tracer(p.builder, p.builder.input(SEED, TensorType(self.dtype), "weight"))

    def trace_inputs(self, p: Pieces) -> dict[str, Tracer]:
        """Return the traces at entry, by name."""
        b = p.builder
        return {a.name: Tracer(b, b.input(a.name, a.type, a.role)) for a in self.traces}

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

    def entry_signals(self, p: Pieces, seed: Tracer, signals: Signals) -> SignalOf:
        """Return the signals on old states that the traces at entry are read with.

        With window 0 they are those that the traces' own transition hands back from the boundary
        of the step, and what the loss reads of the old states directly.
        """
        if self.window > 0:
            return signals_on(signals.states)

        def textbook(relation: HiddenParamOpRelation) -> Vec:
            new, old = p.boundary_signals(seed, relation.states)
            back = p.view(relation).D.T @ at_places(relation, new)
            return back + at_places(relation, old)

        return textbook

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
