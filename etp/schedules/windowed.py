"""The step inside an exactly differentiated window, and the reading of traces at its entry."""

from __future__ import annotations

from etp_ir.core import Program, Role
from etp_ir.tracer import Tracer

from .memory import Gradients
from .steps import Steps


def exact_step(steps: Steps) -> Program:
    """Return the step with exact derivatives, those from later steps included.

    Inputs ``later.h`` hold what later steps report on the new states; outputs of the same roles
    hold what this step reports on the old ones.
    """
    o = steps.open("window")
    p = o.pieces
    signals = p.signals(o.seed, later=steps.later_inputs(p))
    grads = Gradients()
    steps.add_direct(p, signals.products, signals, grads)
    return o.close(o.advance(), grads, steps.later_outputs(p, signals))


def read_states(steps: Steps) -> Program:
    """Return the reading of entry traces by signals ``later.h`` on the states."""
    b = steps.beside("entry")
    held = {a.name: Tracer(b, b.input(a.name, a.type, a.role)) for a in steps.traces}
    arriving = {
        n: Tracer(b, b.input(f"later.{n}", old.type, Role("signal", (n,))))
        for n, (old, _) in steps.structure.states.items()
    }
    grads = Gradients()
    steps.memory.read(held, arriving, grads)
    return steps.finish_reading(b, grads)
