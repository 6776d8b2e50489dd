"""What a rule keeps between steps: nothing, traces of relations, or arrays of the whole model.

Each answers the same three questions: which arrays there are, what they are after a step,
and what gradient they give for signals on the states they speak of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etp_ir import ops
from etp_ir.core import Role
from etp_ir.errors import NotSupportedError
from etp_ir.tracer import Tracer
from etp_ir.types import DType, TensorType

from ..compiler.numbers import StepNumbers
from ..compiler.pieces import Pieces
from ..compiler.places import at_places
from ..compiler.step_view import ModelView, StepView
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..rules.algebra import Vec
from ..rules.base import LearningRule, StepRule, TraceRule
from ..rules.bundle import Bundle
from ..rules.linear import Recurrence, recurrence
from ..rules.returned import advanced, gradient_of
from ..signals.base import Shared
from .traces import (
    STEPS,
    TraceArray,
    bare_view,
    cast,
    read,
    relation_traces,
    step_counter,
    write,
)

SignalOf = Callable[[HiddenParamOpRelation], Vec]
# What each trace of a relation is multiplied with.
Entering = Callable[[HiddenParamOpRelation], Mapping[str, Vec]]


class Gradients(dict[str, Tracer]):
    """Gradients by weight name; what is added to one name is summed."""

    def add(self, name: str, x: Tracer) -> None:
        """Add a contribution."""
        self[name] = ops.add(self[name], x) if name in self else x


class Memory(ABC):
    """What a rule keeps. ``arrays`` lists it; this base keeps nothing."""

    def __init__(self, structure: Structure, rule: LearningRule, dtype: DType) -> None:
        self.structure, self.rule, self.dtype = structure, rule, dtype
        self.arrays: list[TraceArray] = []
        self.shared: dict[str, Shared] = {}

    @property
    def linear(self) -> bool:
        """Whether all that is kept is a linear recurrence."""
        return False

    @abstractmethod
    def advance(
        self, p: Pieces, held: Mapping[str, Tracer], numbers: StepNumbers
    ) -> dict[str, Tracer]:
        """Return the arrays after the step, by name."""

    @abstractmethod
    def read(
        self, held: Mapping[str, Tracer], states: Mapping[str, Tracer], grads: Gradients
    ) -> None:
        """Add what the arrays give for signals on states."""


class NoMemory(Memory):
    """For rules that look at whole sequences only."""

    def advance(
        self, p: Pieces, held: Mapping[str, Tracer], numbers: StepNumbers
    ) -> dict[str, Tracer]:
        """Return nothing."""
        return {}

    def read(
        self, held: Mapping[str, Tracer], states: Mapping[str, Tracer], grads: Gradients
    ) -> None:
        """Add nothing."""


class TraceMemory(Memory):
    """The traces that a rule declares for each relation."""

    rule: TraceRule

    def __init__(self, structure: Structure, rule: TraceRule, dtype: DType, stored: DType) -> None:
        super().__init__(structure, rule, dtype)
        for relation in structure.relations:
            slots = rule.slots(bare_view(structure, relation))
            self.arrays += relation_traces(relation, slots, relation.extents, stored)
        if rule.counts_steps and self.arrays:
            self.arrays.append(step_counter(dtype))
        self._linear: bool | None = None

    @property
    def linear(self) -> bool:
        """Whether the traces of all relations are linear recurrences."""
        if self._linear is None:
            special = self.rule.counts_steps or self.rule.draws
            self._linear = not special and all(
                x is not None for x in self.recurrences(Pieces(self.structure, "linear")).values()
            )
        return self._linear

    def recurrences(self, p: Pieces) -> dict[HiddenParamOpRelation, Recurrence]:
        """Return the linear recurrence of every relation."""
        return {r: recurrence(self.rule, p.view(r)) for r in self.structure.relations}  # type: ignore[misc]

    def of(self, relation: HiddenParamOpRelation) -> list[TraceArray]:
        """Return the arrays of one relation."""
        return [a for a in self.arrays if a.relation is relation]

    def _traces(
        self, relation: HiddenParamOpRelation, held: Mapping[str, Tracer]
    ) -> dict[str, Any]:
        slots = self.rule.slots(bare_view(self.structure, relation))
        return read(self.of(relation), relation, slots, held, self.dtype)

    def advance(
        self, p: Pieces, held: Mapping[str, Tracer], numbers: StepNumbers
    ) -> dict[str, Tracer]:
        """Return every relation's traces after the step, and the count of steps."""
        out: dict[str, Tracer] = {}
        for relation in self.structure.relations:
            view = p.view(relation, numbers)
            slots = self.rule.slots(view)
            new = advanced(self.rule, view, slots, self._traces(relation, held))
            arrays = write(self.of(relation), relation, slots, new, self.rule)
            for a in self.of(relation):
                x = arrays[a.name]
                out[a.name] = zeros(p.builder, a.type) if x is None else x
        if STEPS in held:
            out[STEPS] = ops.add(held[STEPS], 1.0)
        return out

    def read(
        self, held: Mapping[str, Tracer], states: Mapping[str, Tracer], grads: Gradients
    ) -> None:
        """Add what every relation's traces give."""
        for relation in self.structure.relations:
            self.read_one(relation, held, at_places(relation, states), grads)

    def read_one(
        self, relation: HiddenParamOpRelation, held: Mapping[str, Tracer], ell: Vec,
        grads: Gradients,
    ) -> None:  # fmt: skip
        """Add what the traces of one relation give for a signal."""
        view = bare_view(self.structure, relation, StepNumbers(self.dtype, counted=held.get(STEPS)))
        found = gradient_of(self.rule, view, self._traces(relation, held), ell)
        self._add(relation, None if found is None else found.on(relation.axes.w), grads)

    def read_slots(self, held: Mapping[str, Tracer], entering: Entering, grads: Gradients) -> None:
        """Add what linear traces give, each for a vector of its own."""
        for relation in self.structure.relations:
            traces = self._traces(relation, held)
            for slot, vector in entering(relation).items():
                self._add(relation, vector.dot(traces[slot], relation.axes.w), grads)

    def _add(self, relation: HiddenParamOpRelation, found: Any, grads: Gradients) -> None:
        if found is not None:
            total = found.summed(relation.axes.w).laid(relation.axes.w)
            grads.add(self.structure.weights[relation.use].name, total)


class StepMemory(Memory):
    """What a rule keeps that is written on the whole step."""

    rule: StepRule

    def __init__(self, structure: Structure, rule: StepRule, dtype: DType, stored: DType) -> None:
        super().__init__(structure, rule, dtype)
        self.model = ModelView(structure)
        # Where nothing carries over, the step's own gradient is all there is.
        idle = not self.model.states
        self.specs = {} if idle else dict(rule.arrays(self.model))
        self.shared = {} if idle else dict(rule.shared(self.model))
        for slot, spec in self.specs.items():
            shapes = spec if isinstance(spec, Mapping) else {"": spec}
            for name, shape in shapes.items():
                of = (slot, name) if name else (slot,)
                type = stored_as(shape, stored)
                self.arrays.append(
                    TraceArray(".".join(("e", *of)), Role("trace", of), type, None, slot, name)
                )
        if rule.counts_steps and not idle:
            self.arrays.append(step_counter(dtype))

    def held(self, arrays: Mapping[str, Tracer]) -> dict[str, Any]:
        """Return what is kept as the rule sees it: arrays and bundles by name."""
        found: dict[str, Any] = {}
        for slot, spec in self.specs.items():
            mine = {
                a.state or "": cast(arrays[a.name], self.dtype) if a.type.dtype.is_float
                else arrays[a.name]
                for a in self.arrays if a.slot == slot and a.name != STEPS
            }  # fmt: skip
            found[slot] = Bundle(mine) if isinstance(spec, Mapping) else mine[""]
        return found

    def advance_step(self, step: StepView, held: Mapping[str, Tracer]) -> dict[str, Tracer]:
        """Return the arrays after the step, and the shared ones that were learned."""
        if not self.model.states:
            return {}
        new = self.rule.advance(step, self.held(held))
        out: dict[str, Tracer] = {n: new[n] for n in self.shared if n in new}
        step.learned.update(out)
        for a in self.arrays:
            if a.name == STEPS:
                out[STEPS] = ops.add(held[STEPS], 1.0)
                continue
            value = new[a.slot][a.state] if a.state else new[a.slot]
            out[a.name] = cast(value, a.type.dtype)
        return out

    def read_step(
        self, step: StepView, held: Mapping[str, Tracer], states: Mapping[str, Tracer],
        grads: Gradients,
    ) -> None:  # fmt: skip
        """Add what the arrays give for signals on states."""
        known = {n: x for n, x in states.items() if n in self.model.states}
        if known:
            for name, x in self.rule.gradient(step, self.held(held), Bundle(known)).items():
                grads.add(name, x)

    def read_present(
        self, step: StepView, held: Mapping[str, Tracer], states: Mapping[str, Tracer],
        grads: Gradients,
    ) -> None:  # fmt: skip
        """Add what the step itself gives besides, for signals on its new states."""
        known = {n: x for n, x in states.items() if n in self.model.states}
        if known:
            for name, x in self.rule.present(step, self.held(held), Bundle(known)).items():
                grads.add(name, x)

    def advance(
        self, p: Pieces, held: Mapping[str, Tracer], numbers: StepNumbers
    ) -> dict[str, Tracer]:
        """Raise: the whole step is advanced at once, by `advance_step`."""
        raise NotImplementedError

    def read(
        self, held: Mapping[str, Tracer], states: Mapping[str, Tracer], grads: Gradients
    ) -> None:
        """Add what the arrays give, outside of a step."""
        if self.rule.reads_step or self.rule.whole:
            raise NotSupportedError(
                f"{self.rule.name} needs the step where its gradient is read, which windows "
                "of 2 steps or more do apart from the steps\nuse window=0 or window=1"
            )
        step: Any = ModelView(self.structure)
        self.read_step(step, held, states, grads)


def stored_as(spec: Sequence[int] | TensorType, stored: DType) -> TensorType:
    """Return the type of an array that is kept: numbers that are no floats stay what they are."""
    if not isinstance(spec, TensorType):
        return TensorType(stored, tuple(spec))
    return TensorType(stored, spec.shape) if spec.dtype.is_float else spec


def memory_of(
    structure: Structure, rule: LearningRule, dtype: DType, stored: DType | None
) -> Memory:
    """Return what a rule keeps for a model, stored in an element type."""
    if isinstance(rule, TraceRule):
        return TraceMemory(structure, rule, dtype, stored or dtype)
    if isinstance(rule, StepRule):
        return StepMemory(structure, rule, dtype, stored or dtype)
    return NoMemory(structure, rule, dtype)


def zeros(builder: Any, type: Any) -> Tracer:
    """Return an array of zeros as a node."""
    return ops.full(builder, type.shape, 0.0, type.dtype)
