"""The arrays that a rule keeps between steps, and how they are named in a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from etp_ir import ops
from etp_ir.core import Role
from etp_ir.tracer import Tracer
from etp_ir.types import TensorType

from ..compiler.numbers import StepNumbers
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..compiler.view import RelationView
from ..rules.algebra import POSITION, Mat, Named, Vec, named
from ..rules.base import Slot, TraceRule
from ..rules.returned import fitted_trace

STEPS = "steps"


@frozen(eq=False)
class TraceArray:
    """One array kept by a rule.

    Attributes
    ----------
    name
        Name of the program's input.
    role
        Role of that input, and of the output with the value after the step.
    type
        Type for one example.
    relation, slot, state
        What it belongs to; None for the step counter.
    axes
        Letters of its axes, of arrays of a relation.
    """

    name: str
    role: Role
    type: TensorType
    relation: HiddenParamOpRelation | None = None
    slot: str = ""
    state: str | None = None
    axes: str = ""

    @property
    def shared(self) -> bool:
        """Whether all examples share the array."""
        return self.name == STEPS


def relation_traces(
    relation: HiddenParamOpRelation, slots: Mapping[str, Slot], sizes: Mapping[str, int], dtype: Any
) -> list[TraceArray]:
    """Return the arrays a rule keeps for one relation, given the extent of each letter."""
    arrays = []
    for slot, spec in slots.items():
        for state in relation.states if spec.per_state else (None,):
            shape = spec.shape(sizes)
            if state is not None and relation.places[state].wide:
                shape = (*shape, relation.places[state].width)
            type = TensorType(dtype, shape)
            of = (relation.name, state) if state else (relation.name,)
            if len(slots) > 1:
                of = (*of, slot)
            name = ".".join(("e" if len(slots) == 1 else f"e_{slot}", *of[:2]))
            axes = spec.letters + letters(relation, state)
            arrays.append(TraceArray(name, Role("trace", of), type, relation, slot, state, axes))
    return arrays


def letters(relation: HiddenParamOpRelation, state: str | None) -> str:
    """Return the letter of the positions of a state that a trace is kept for, if several."""
    return POSITION if state is not None and relation.places[state].wide else ""


def step_counter(dtype: Any) -> TraceArray:
    """Return the counter of steps that a rule with a bias correction keeps."""
    return TraceArray(STEPS, Role("trace", (STEPS,)), TensorType(dtype))


def read(
    arrays: Sequence[TraceArray], relation: HiddenParamOpRelation, slots: Mapping[str, Slot],
    inputs: Mapping[str, Tracer], dtype: Any,
) -> dict[str, Vec | Named]:  # fmt: skip
    """Return a relation's traces, given its arrays, in the notation of rules."""
    axes = relation.axes
    out: dict[str, Vec | Named] = {}
    for slot, spec in slots.items():
        mine = {a.state: inputs[a.name] for a in arrays if a.slot == slot}
        by_state = {
            s: named(cast(x, dtype), spec.letters + letters(relation, s), axes.frame)
            for s, x in mine.items()
        }
        out[slot] = (
            Vec({s: x for s, x in by_state.items() if s is not None})
            if spec.per_state
            else by_state[None]
        )
    return out


def write(
    arrays: Sequence[TraceArray], relation: HiddenParamOpRelation, slots: Mapping[str, Slot],
    traces: Mapping[str, Any], rule: TraceRule,
) -> dict[str, Tracer | None]:  # fmt: skip
    """Return the arrays of one relation by name; None where a trace is zero.

    Raises
    ------
    etp.rules.returned.RuleError
        If a trace lacks axes that the rule declares for it.
    """
    out: dict[str, Tracer | None] = {}
    fitted = {}
    for slot, spec in slots.items():
        allowed = [a.axes for a in arrays if a.slot == slot]
        fitted[slot] = fitted_trace(rule, relation, slot, spec, traces[slot], allowed)
    for a in arrays:
        value = fitted[a.slot]
        entry = value.entries.get(a.state or "") if isinstance(value, Vec) else value
        axes = slots[a.slot].letters + letters(relation, a.state)
        out[a.name] = None if entry is None else cast(entry.laid(axes), a.type.dtype)
    return out


def cast(x: Tracer, dtype: Any) -> Tracer:
    """Return the array in an element type, unchanged if it has it."""
    return x if x.dtype is dtype else ops.cast(x, dtype)


def bare_view(
    structure: Structure, relation: HiddenParamOpRelation, numbers: StepNumbers | None = None
) -> RelationView:
    """Return a relation's view without its arrays, for reading a gradient."""
    return RelationView(
        relation.name, relation, None, Vec({}), Mat({}), relation.axes, numbers, structure
    )
