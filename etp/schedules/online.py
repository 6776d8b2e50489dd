"""The online step: traces advance, and the gradient of this step is read from them."""

from __future__ import annotations

from typing import Any

from etp_ir import ops
from etp_ir.core import Program
from etp_ir.transforms.batch import rename

from ..compiler.axes import short
from ..compiler.places import at_places, together
from ..compiler.structure import HiddenParamOpRelation
from ..rules.algebra import Vec
from ..rules.bundle import Bundle
from .memory import Gradients, StepMemory, TraceMemory
from .steps import Opened, Steps


def online_step(steps: Steps) -> Program:
    """Return the step that advances the traces and reads the gradient from them.

    Linear traces are read at entry: with the derivatives of this step's loss with respect to the
    old states, or, with window 0, with what the transition hands back of the boundary signals;
    what happens within the step is differentiated directly. Other traces are read with window 0
    to the letter instead: boundary signals times the traces after the step, and what the loss
    reads of the states before the step times the traces at entry.
    """
    o = steps.open()
    grads = Gradients()
    advanced = o.advance()
    memory = steps.memory
    if isinstance(memory, StepMemory):
        _read_step(o, memory, advanced, grads)
    elif isinstance(memory, TraceMemory):
        _read_traces(o, memory, advanced, grads)
    return o.close(advanced, grads)


def _read_traces(
    o: Opened, memory: TraceMemory, advanced: dict[str, Any], grads: Gradients
) -> None:
    steps, p = o.steps, o.pieces
    signals = p.signals(o.seed)
    if steps.linear:
        steps.add_direct(p, o.credits(signals), signals, grads)
        for state, x in signals.states.items():
            rename(p.builder, x, f"dL_d{short(state)}")
        memory.read_slots(o.held, o.entering(signals), grads)
    elif steps.window > 0:
        steps.add_direct(p, signals.products, signals, grads)
        memory.read(o.held, signals.states, grads)
    else:
        credits = o.past_states(signals)
        for relation in steps.structure.relations:
            new, old = o.arriving(together(steps.structure, relation))
            memory.read_one(relation, advanced, at_places(relation, new), grads)
            if old:
                _read_earlier(o, memory, relation, at_places(relation, old), grads)
        steps.add_direct(p, credits, signals, grads)


def _read_earlier(
    o: Opened, memory: TraceMemory, relation: HiddenParamOpRelation, ell: Vec, grads: Gradients
) -> None:
    """Add what the traces at entry give where the loss reads the states before the step."""
    memory.read_one(relation, o.held, ell, grads)
    # What a rule adds by itself, without a signal, is in the reading of the new states already.
    alone = Gradients()
    memory.read_one(relation, o.held, Vec({}), alone)
    for name, x in alone.items():
        grads.add(name, ops.neg(x))


def _read_step(o: Opened, memory: StepMemory, advanced: dict[str, Any], grads: Gradients) -> None:
    steps, p = o.steps, o.pieces
    rule = memory.rule
    if rule.whole and memory.model.states:
        past = o.past_all_states()
        steps.add_direct(p, past.products, past, grads)
        new, _ = o.arriving(tuple(memory.model.states))
        for name, x in rule.gradient(o.step, memory.held(advanced), Bundle(new)).items():
            grads.add(name, x)
        return
    if steps.window > 0:
        signals = p.signals(o.seed)
        steps.add_direct(p, signals.products, signals, grads)
        memory.read_step(o.step, o.held, signals.states, grads)
        return
    past = o.past_all_states()
    steps.add_direct(p, past.products, past, grads)
    new, old = o.arriving(tuple(memory.model.states))
    memory.read_step(o.step, advanced, new, grads)
    memory.read_present(o.step, advanced, new, grads)
    memory.read_step(o.step, o.held, old, grads)
