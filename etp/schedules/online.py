"""The online step: traces advance, and the gradient of this step is read from them."""

from __future__ import annotations

from etp_ir import ops
from etp_ir.core import Program, Value
from etp_ir.tracer import Tracer
from etp_ir.transforms.batch import rename

from ..compiler.axes import short
from ..compiler.pieces import Pieces, Signals
from ..compiler.places import at_places
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..compiler.uses import Use
from ..compiler.view import apart
from ..rules.base import TraceRule
from .memory import Gradients, TraceMemory
from .steps import Steps


def online_step(steps: Steps) -> Program:
    """Return the step that advances the traces and reads the gradient from them.

    The traces at entry are read with the derivatives of this step's loss with respect to the old
    states; what happens within the step is differentiated directly. A rule that is no linear
    recurrence and runs with window 0 is read to the letter instead: boundary signals times the
    traces after the step.
    """
    p = steps.pieces()
    seed = steps.seed(p)
    held = steps.trace_inputs(p)
    signals = p.signals(seed)
    grads = Gradients()
    advanced = steps.memory.advance(p, held)
    rule = steps.rule
    if steps.window == 0 and isinstance(rule, TraceRule) and rule.textbook:
        assert isinstance(steps.memory, TraceMemory)
        credits = _read_after(p, steps.memory, seed, signals, advanced, grads)
        steps.add_direct(p, credits, signals, grads)
    else:
        steps.add_direct(p, signals.products, signals, grads)
        for state, x in signals.states.items():
            rename(p.builder, x, f"dL_d{short(state)}")
        steps.memory.read(held, steps.entry_signals(p, seed, signals), grads)
    return steps.close(p, advanced, grads)


def _read_after(
    p: Pieces, memory: TraceMemory, seed: Tracer, signals: Signals, advanced: dict[str, Tracer],
    grads: Gradients,
) -> dict[Use, Tracer]:  # fmt: skip
    """Contract boundary signals with the advanced traces, and return what is left to credit.

    What the trace counts of the present step is ``u`` times the boundary signal; the rest of
    the derivative (paths past the states, or through mixing tails) stays direct.
    """
    structure = memory.structure
    rest: dict[Use, Tracer] = dict(signals.products)
    for relation in structure.relations:
        boundary, _ = p.boundary_signals(seed, relation.states)
        ell = at_places(relation, boundary)
        memory.read_one(relation, advanced, ell, grads)
        counted = p.view(relation).u.dot(ell, relation.axes.y)
        for use, x in apart(relation, counted.laid(relation.axes.y)).items() if counted else ():
            alone = sum(use in r.uses for r in structure.relations) == 1
            if alone and _wholly_counted(structure, relation, use.output):
                rest.pop(use, None)
            elif use in rest:
                rest[use] = ops.sub(rest[use], x)
    return rest


def _wholly_counted(structure: Structure, relation: HiddenParamOpRelation, y: Value) -> bool:
    """Whether every path from ``y`` to this step's loss is in ``u`` times the signal."""
    loss = structure.program.output("loss").value
    for state, place in relation.places.items():
        if not place.everywhere and structure.influence.cut(y, state) is not None:
            return False
    states = (structure.states[n][1] for n in relation.states)
    boundary = {v for v in states if isinstance(v, Value)}
    return not structure.dependence.leads_avoiding(y, loss, boundary)
