"""What a rule keeps between steps: nothing, or traces of relations.

Either answers the same three questions: which arrays there are, what they are after a step,
and what gradient they give for signals on the states they speak of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.tracer import Tracer
from etp_ir.types import DType

from ..compiler.pieces import Pieces
from ..compiler.places import at_places
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..rules.algebra import Vec
from ..rules.base import LearningRule, TraceRule
from .traces import (
    STEPS,
    TraceArray,
    bare_view,
    extents,
    read,
    relation_traces,
    slot_view,
    step_counter,
    write,
)

SignalOf = Callable[[HiddenParamOpRelation], Vec]


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

    @abstractmethod
    def advance(self, p: Pieces, held: Mapping[str, Tracer]) -> dict[str, Tracer]:
        """Return the arrays after the step, by name."""

    @abstractmethod
    def read(self, held: Mapping[str, Tracer], signal: SignalOf, grads: Gradients) -> None:
        """Add what the arrays give for signals on the states at the places of each relation."""


class NoMemory(Memory):
    """For rules that look at whole sequences only."""

    def advance(self, p: Pieces, held: Mapping[str, Tracer]) -> dict[str, Tracer]:
        """Return nothing."""
        return {}

    def read(self, held: Mapping[str, Tracer], signal: SignalOf, grads: Gradients) -> None:
        """Add nothing."""


class TraceMemory(Memory):
    """The traces that a rule declares for each relation."""

    rule: TraceRule

    def __init__(self, structure: Structure, rule: TraceRule, dtype: DType, stored: DType) -> None:
        super().__init__(structure, rule, dtype)
        for relation in structure.relations:
            slots = rule.slots(slot_view(relation))
            self.arrays += relation_traces(relation, slots, extents(relation), stored)
        if rule.counts_steps and self.arrays:
            self.arrays.append(step_counter(dtype))

    def of(self, relation: HiddenParamOpRelation) -> list[TraceArray]:
        """Return the arrays of one relation."""
        return [a for a in self.arrays if a.relation is relation]

    def advance(self, p: Pieces, held: Mapping[str, Tracer]) -> dict[str, Tracer]:
        """Return every relation's traces after the step, and the count of steps."""
        out: dict[str, Tracer] = {}
        count = held.get(STEPS)
        for relation in self.structure.relations:
            arrays = self.of(relation)
            slots = self.rule.slots(slot_view(relation))
            eps = read(arrays, relation, slots, held, self.dtype)
            new = write(arrays, relation, slots, self.rule.advance(p.view(relation), eps, count))
            for a in arrays:
                x = new[a.name]
                out[a.name] = zeros(p.builder, a.type) if x is None else x
        if count is not None:
            out[STEPS] = ops.add(count, 1.0)
        return out

    def read(self, held: Mapping[str, Tracer], signal: SignalOf, grads: Gradients) -> None:
        """Add what every relation's traces give."""
        for relation in self.structure.relations:
            self.read_one(relation, held, signal(relation), grads)

    def read_one(
        self,
        relation: HiddenParamOpRelation,
        held: Mapping[str, Tracer],
        ell: Vec,
        grads: Gradients,
    ) -> None:
        """Add what the traces of one relation give for a signal."""
        slots = self.rule.slots(slot_view(relation))
        eps = read(self.of(relation), relation, slots, held, self.dtype)
        found = self.rule.gradient(bare_view(relation), eps, ell, held.get(STEPS))
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


def signals_on(arriving: Mapping[str, Tracer]) -> SignalOf:
    """Return signals on states as every relation reads them."""
    return lambda relation: at_places(relation, arriving)


def zeros(builder: Builder, type: Any) -> Tracer:
    """Return an array of zeros as a node."""
    return ops.full(builder, type.shape, 0.0, type.dtype)
