"""The online step: traces advance, and the gradient of this step is read from them."""

from __future__ import annotations

from etp_ir.core import Program
from etp_ir.transforms.batch import rename

from ..compiler.axes import short
from ..compiler.places import at_places
from .memory import Gradients, TraceMemory
from .steps import Steps


def online_step(steps: Steps) -> Program:
    """Return the step that advances the traces and reads the gradient from them.

    Linear traces are read at entry: with the derivatives of this step's loss with respect to the
    old states, or, with window 0, with what the transition hands back of the boundary signals;
    what happens within the step is differentiated directly. Other traces are read with window 0
    to the letter instead: boundary signals times the traces after the step.
    """
    o = steps.open()
    p, memory = o.pieces, steps.memory
    signals = p.signals(o.seed)
    grads = Gradients()
    advanced = memory.advance(p, o.held, o.numbers)
    if memory.linear:
        assert isinstance(memory, TraceMemory)
        steps.add_direct(p, o.credits(signals), signals, grads)
        for state, x in signals.states.items():
            rename(p.builder, x, f"dL_d{short(state)}")
        memory.read_slots(o.held, o.entering(signals), grads)
    elif steps.window > 0:
        steps.add_direct(p, signals.products, signals, grads)
        memory.read(o.held, signals.states, grads)
    else:
        assert isinstance(memory, TraceMemory)
        credits = o.past_states(signals)
        for relation in steps.structure.relations:
            new, _ = o.arriving(relation.states)
            memory.read_one(relation, advanced, at_places(relation, new), grads)
        steps.add_direct(p, credits, signals, grads)
    return steps.close(p, advanced, grads, o.learned())
