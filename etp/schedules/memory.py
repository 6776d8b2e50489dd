"""What a rule keeps between steps: nothing, traces of relations, or arrays of the whole model.

Each answers the same three questions: which arrays there are, what they are after a step,
and what gradient they give for signals on the states they speak of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from etp_ir import ops
from etp_ir.tracer import Tracer
from etp_ir.types import DType

from ..compiler.numbers import StepNumbers
from ..compiler.pieces import Pieces
from ..compiler.places import at_places
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..rules.algebra import Vec
from ..rules.base import LearningRule, TraceRule
from ..rules.linear import Recurrence, recurrence
from .traces import (
    STEPS,
    TraceArray,
    bare_view,
    extents,
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
            slots = rule.slots(bare_view(relation))
            self.arrays += relation_traces(relation, slots, extents(relation), stored)
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
        slots = self.rule.slots(bare_view(relation))
        return read(self.of(relation), relation, slots, held, self.dtype)

    def advance(
        self, p: Pieces, held: Mapping[str, Tracer], numbers: StepNumbers
    ) -> dict[str, Tracer]:
        """Return every relation's traces after the step, and the count of steps."""
        out: dict[str, Tracer] = {}
        for relation in self.structure.relations:
            view = p.view(relation, numbers)
            new = self.rule.advance(view, self._traces(relation, held))
            arrays = write(self.of(relation), relation, self.rule.slots(view), new)
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
        view = bare_view(relation, StepNumbers(self.dtype, held.get(STEPS)))
        found = self.rule.gradient(view, self._traces(relation, held), ell)
        self._add(relation, None if found is None else found.on(relation.axes.w), grads)

    def read_slots(
        self, held: Mapping[str, Tracer], entering: Entering, grads: Gradients
    ) -> None:
        """Add what linear traces give, each for a vector of its own."""
        for relation in self.structure.relations:
            traces = self._traces(relation, held)
            for slot, vector in entering(relation).items():
                self._add(relation, vector.dot(traces[slot], relation.axes.w), grads)

    def _add(self, relation: HiddenParamOpRelation, found: Any, grads: Gradients) -> None:
        if found is not None:
            total = found.summed(relation.axes.w).laid(relation.axes.w)
            grads.add(self.structure.weights[relation.use].name, total)


def memory_of(
    structure: Structure, rule: LearningRule, dtype: DType, stored: DType | None
) -> Memory:
    """Return what a rule keeps for a model, stored in an element type."""
    if isinstance(rule, TraceRule):
        return TraceMemory(structure, rule, dtype, stored or dtype)
    return NoMemory(structure, rule, dtype)


def zeros(builder: Any, type: Any) -> Tracer:
    """Return an array of zeros as a node."""
    return ops.full(builder, type.shape, 0.0, type.dtype)
