r"""The step of a chunk whose linear traces are never kept.

For :math:`\varepsilon^t = D^t\varepsilon^{t-1} + u^t\otimes x^t`, read with signals :math:`s^t` on
the traces that enter step t, what a trace contributes after step t is its product with

.. math:: a^{t-1} = s^t + (D^t)^\top a^t ,

so the gradient of the chunk is :math:`\sum_t x^t\otimes(c^t + u^t a^t)` with the direct credit
:math:`c^t`, plus :math:`a^0\cdot\varepsilon^0` for the trace at entry. The trace at the end is
:math:`P^0\varepsilon^0 + \sum_t (P^t u^t)\otimes x^t` with :math:`P^{t-1} = P^t D^t`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program, Role
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer
from etp_ir.types import TensorType

from ..compiler.losses import what_is_lost
from ..compiler.pieces import Pieces, Signals
from ..compiler.places import at_places
from ..compiler.structure import HiddenParamOpRelation
from ..compiler.view import apart
from ..rules.algebra import FIXED, POSITION, Mat, Named, Vec, named
from ..rules.base import Linear, LinearTraceRule
from .lanes import Lane, lanes_of
from .memory import Gradients, TraceMemory, zeros
from .steps import BOUNDARY, Steps
from .traces import cast, letters

EXACT = "exact"
Recurrences = Mapping[HiddenParamOpRelation, Linear]


@frozen(eq=False)
class AdjointStep:
    """The step of a chunk without its traces.

    Attributes
    ----------
    program
        Inputs ``ahead.*`` hold :math:`a^t`, ``product.*`` hold :math:`P^t`, ``later.*`` the exact
        derivatives from later steps of a window, and ``exact.*`` those from all later steps;
        outputs of the same roles hold them one step earlier. Outputs ``trace(...)`` hold the
        step's share of the traces at the end.
    lanes
        Recurrences of :math:`a`, for relations that lose something on the way.
    exact
        Relations that lose nothing. What their traces would contribute later is the exact
        derivative from later steps, which no product with the transition is needed for.
    leaving
        Recurrences of :math:`P`, if traces leave the chunk.
    """

    program: Program
    lanes: tuple[Lane, ...]
    exact: tuple[HiddenParamOpRelation, ...]
    leaving: tuple[Lane, ...]


def adjoint_step(steps: Steps, *, leaving: bool) -> AdjointStep:
    """Return the step of a chunk.

    Parameters
    ----------
    leaving
        Whether traces leave the chunk.
    """
    rule = steps.rule
    assert isinstance(rule, LinearTraceRule)
    p = steps.pieces("chunk")
    seed = steps.seed(p)
    views = {r: p.view(r) for r in steps.structure.relations}
    linear = {r: rule.trace(view) for r, view in views.items()}
    exact = tuple(
        r for r, view in views.items()
        if not rule.departs(view)
        and all(what_is_lost(steps.structure, use) is None for use in r.uses)
    )  # fmt: skip
    lanes = lanes_of({r: x for r, x in linear.items() if r not in exact})
    ahead = {lane.key: _adjoints(p.builder, lane) for lane in lanes}
    windowed = steps.window >= 2
    later = steps.later_inputs(p) if windowed else {}
    signals = p.signals(seed, later=later)
    credits = _credits(lanes, linear, ahead, signals)
    extra: list[tuple[Any, Role]] = []
    flag = None
    if windowed:
        flag = Tracer(p.builder, p.builder.input(BOUNDARY, TensorType(steps.dtype), "weight"))
        kept = {n: _times(ops.sub(1.0, flag), x) for n, x in signals.states.items()}
        extra += steps.later_outputs(p, Signals(kept, {}, {}))
    arriving = steps.entry_signals(p, seed, signals)
    for lane in lanes:
        entering = arriving(lane.members[0])
        entering = entering if flag is None else entering * flag
        decay = linear[lane.members[0]].decay
        extra += _earlier(p, lane, decay, lane.vector(ahead[lane.key]), entering)
    if exact:
        whole = p.signals(seed, later=_exact_inputs(p.builder, steps))
        uses = [u for r in exact for u in r.uses if u in whole.products]
        credits.update({u: whole.products[u] for u in uses})
        for n, (old, _) in steps.structure.states.items():
            x = whole.states.get(n)
            extra.append((zeros(p.builder, old.type) if x is None else x, _exactly(n)))
    grads = Gradients()
    steps.add_direct(p, credits, signals, grads)
    ending = lanes_of(linear) if leaving else ()
    products = {lane.key: _products(p.builder, lane) for lane in ending}
    for lane in ending:
        decay = linear[lane.members[0]].decay
        extra += _earlier_products(p, lane, decay, products[lane.key])
    shares = _sources(steps, p, ending, linear, products)
    return AdjointStep(steps.close(p, shares, grads, extra), lanes, exact, ending)


def read_entry(steps: Steps, step: AdjointStep) -> Program:
    """Return the reading of the traces at entry by the adjoints that arrive there."""
    b = steps.beside("entry")
    held = {a.name: Tracer(b, b.input(a.name, a.type, a.role)) for a in steps.traces}
    by_relation: dict[HiddenParamOpRelation, Vec] = {}
    for lane in step.lanes:
        arrays = _adjoints(b, lane)
        by_relation.update({r: lane.vector(arrays, r) for r in lane.members})
    if step.exact:
        states = _exact_inputs(b, steps)
        by_relation.update({r: at_places(r, states) for r in step.exact})
    grads = Gradients()
    assert isinstance(steps.memory, TraceMemory)
    steps.memory.read(held, by_relation.__getitem__, grads)
    return steps.finish_reading(b, grads)


def _exact_inputs(b: Builder, steps: Steps) -> dict[str, Tracer]:
    """Return the exact derivatives with respect to new states that later steps report."""
    return {
        n: Tracer(b, b.input(f"{EXACT}.{n}", old.type, _exactly(n)))
        for n, (old, _) in steps.structure.states.items()
    }


def _exactly(state: str) -> Role:
    return Role("signal", (f"{EXACT}.{state}",))


def leave(steps: Steps, step: AdjointStep) -> Program:
    """Return the traces at the end of a chunk from those at entry and the shares of its steps."""
    b = steps.beside("leave")
    pairs = []
    for lane in step.leaving:
        arrays = _products(b, lane)
        for relation in lane.members:
            axes = relation.axes
            mine = [a for a in steps.traces if a.relation is relation]
            held = {a.state: Tracer(b, b.input(a.name, a.type, a.role)) for a in mine}
            eps = Vec({
                s: named(cast(x, steps.dtype), axes.trace + letters(relation, s), axes.frame)
                for s, x in held.items() if s is not None
            })  # fmt: skip
            moved = lane.matrix(arrays, relation) @ eps
            for a in mine:
                wide = a.type.with_dtype(steps.dtype)
                share = Tracer(b, b.input(f"source.{a.name}", wide, Role("value", (a.name,))))
                after = moved.entries[a.state or ""].laid(axes.trace + letters(relation, a.state))
                total = ops.add(after, share)
                pairs.append((cast(total, a.type.dtype).value, a.role))
    return simplify(b.finish(pairs))


def _credits(
    lanes: tuple[Lane, ...], linear: Recurrences, ahead: Mapping[str, Mapping[str, Tracer]],
    signals: Signals,
) -> dict[Any, Tracer]:  # fmt: skip
    """Return the derivative at every product: this step's own, and what later steps read."""
    credits = dict(signals.products)
    for lane in lanes:
        for relation in lane.members:
            arriving = lane.vector(ahead[lane.key], relation)
            back = linear[relation].u.dot(arriving, relation.axes.y)
            for use, x in apart(relation, back.laid(relation.axes.y)).items() if back else ():
                credits[use] = ops.add(credits[use], x) if use in credits else x
    return credits


def _adjoints(b: Builder, lane: Lane) -> dict[str, Tracer]:
    return {
        s: Tracer(b, b.input(lane.ahead(s), lane.ahead_type(s), _signal(lane, s)))
        for s in lane.states
    }


def _products(b: Builder, lane: Lane) -> dict[tuple[str, str], Tracer]:
    return {
        (new, old): Tracer(
            b, b.input(lane.product(new, old), lane.product_type(new, old), _value(lane, new, old))
        )
        for new in lane.states
        for old in lane.states
    }


def _earlier(p: Pieces, lane: Lane, decay: Mat, ahead: Vec, entering: Vec) -> list[Any]:
    moved = (decay.T @ ahead) + entering
    found = []
    for s in lane.states:
        x, axes = moved.entries.get(s), lane.axes([(s, POSITION)])
        found.append((_entry(p, lane.ahead_type(s), x, axes), _signal(lane, s)))
    return found


def _earlier_products(
    p: Pieces, lane: Lane, decay: Mat, products: Mapping[tuple[str, str], Tracer]
) -> list[Any]:
    out: list[Any] = []
    for new in lane.states:
        moved = decay.T @ lane.row(new, products)
        for old in lane.states:
            x, axes = moved.entries.get(old), lane.axes([(new, FIXED), (old, POSITION)])
            type = lane.product_type(new, old)
            out.append((_entry(p, type, x, axes), _value(lane, new, old)))
    return out


def _sources(
    steps: Steps, p: Pieces, lanes: tuple[Lane, ...], linear: Recurrences,
    products: Mapping[str, Mapping[tuple[str, str], Tracer]],
) -> dict[str, Tracer]:  # fmt: skip
    """Return what this step adds to the traces at the end of the chunk, by trace name."""
    out: dict[str, Tracer] = {}
    for lane in lanes:
        for relation in lane.members:
            recurrence = linear[relation]
            moved = lane.matrix(products[lane.key], relation) @ recurrence.u
            share = moved.outer(recurrence.x, relation.axes.trace)
            for a in steps.traces:
                if a.relation is relation:
                    type = a.type.with_dtype(steps.dtype)
                    axes = relation.axes.trace + letters(relation, a.state)
                    out[a.name] = _entry(p, type, share.entries.get(a.state or ""), axes)
    return out


def _entry(p: Pieces, type: TensorType, x: Named | None, axes: str) -> Tracer:
    return zeros(p.builder, type) if x is None else x.laid(axes)


def _signal(lane: Lane, state: str) -> Role:
    return Role("signal", (lane.ahead(state),))


def _value(lane: Lane, new: str, old: str) -> Role:
    return Role("value", (lane.product(new, old),))


def _times(factor: Any, x: Tracer) -> Tracer:
    return ops.mul(ops.broadcast(factor, x.shape, ()), x)
