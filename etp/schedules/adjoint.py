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
from ..compiler.uses import Use
from ..compiler.view import apart
from ..rules.algebra import FIXED, POSITION, Named, Vec, named
from ..rules.linear import Recurrence
from .lanes import Coordinate, Lane, Pair, lanes_of
from .memory import Gradients, TraceMemory, zeros
from .steps import BOUNDARY, Steps
from .traces import bare_view, cast, letters

EXACT = "exact"
Recurrences = Mapping[HiddenParamOpRelation, Recurrence]


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
    o = steps.open("chunk", traces=False)
    p = o.pieces
    linear = o.recurrences
    true_signal = steps.window > 0 or steps.rule.signal.symmetric
    exact = tuple(
        r for r, moved in linear.items()
        if true_signal and moved.is_influence
        and all(what_is_lost(steps.structure, use) is None for use in r.uses)
    )  # fmt: skip
    lanes = lanes_of({r: x for r, x in linear.items() if r not in exact})
    ahead = {lane.key: _adjoints(p.builder, lane) for lane in lanes}
    windowed = steps.window >= 2
    later = steps.later_inputs(p) if windowed else {}
    signals = p.signals(o.seed, later=later)
    credits = _credits(lanes, linear, ahead, o.credits(signals))
    extra: list[tuple[Any, Role]] = []
    flag = None
    if windowed:
        flag = Tracer(p.builder, p.builder.input(BOUNDARY, TensorType(steps.dtype), "weight"))
        kept = {n: _times(ops.sub(1.0, flag), x) for n, x in signals.states.items()}
        extra += steps.later_outputs(p, Signals(kept, {}, {}))
    arriving = o.entering(signals)
    for lane in lanes:
        entering = arriving(lane.members[0])
        if flag is not None:
            entering = {slot: vector * flag for slot, vector in entering.items()}
        moved = linear[lane.members[0]]
        extra += _earlier(p, lane, moved, lane.vector(ahead[lane.key]), entering)
    if exact:
        whole = p.signals(o.seed, later=_exact_inputs(p.builder, steps))
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
        extra += _earlier_products(p, lane, linear[lane.members[0]], products[lane.key])
    shares = _sources(steps, p, ending, linear, products)
    return AdjointStep(o.close(shares, grads, extra), lanes, exact, ending)


def read_entry(steps: Steps, step: AdjointStep) -> Program:
    """Return the reading of the traces at entry by the adjoints that arrive there."""
    b = steps.beside("entry")
    memory = steps.memory
    assert isinstance(memory, TraceMemory)
    held = {a.name: Tracer(b, b.input(a.name, a.type, a.role)) for a in steps.traces}
    by_relation: dict[HiddenParamOpRelation, Mapping[str, Vec]] = {}
    for lane in step.lanes:
        arrays = _adjoints(b, lane)
        by_relation.update({r: lane.vector(arrays, r) for r in lane.members})
    if step.exact:
        states = _exact_inputs(b, steps)
        for r in step.exact:
            (slot,) = memory.rule.slots(bare_view(steps.structure, r))
            by_relation[r] = {slot: at_places(r, states)}
    grads = Gradients()
    memory.read_slots(held, by_relation.__getitem__, grads)
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
            held = {
                (a.slot, a.state or ""): Tracer(b, b.input(a.name, a.type, a.role)) for a in mine
            }
            eps = {
                slot: Vec({
                    s: named(cast(x, steps.dtype), axes.trace + letters(relation, s), axes.frame)
                    for (at, s), x in held.items() if at == slot
                })
                for slot in lane.slots
            }  # fmt: skip
            moved = {slot: lane.applied(slot, arrays, eps, relation) for slot in lane.slots}
            for a in mine:
                wide = a.type.with_dtype(steps.dtype)
                share = Tracer(b, b.input(f"source.{a.name}", wide, Role("value", (a.name,))))
                entry = moved[a.slot].entries[a.state or ""]
                after = entry.laid(axes.trace + letters(relation, a.state))
                total = ops.add(after, share)
                pairs.append((cast(total, a.type.dtype).value, a.role))
    return simplify(b.finish(pairs))


def _credits(
    lanes: tuple[Lane, ...], linear: Recurrences,
    ahead: Mapping[str, Mapping[Coordinate, Tracer]], present: Mapping[Use, Tracer],
) -> dict[Use, Tracer]:  # fmt: skip
    """Return the derivative at every product: this step's own, and what later steps read."""
    credits = dict(present)
    for lane in lanes:
        for relation in lane.members:
            arriving = lane.vector(ahead[lane.key], relation)
            back = linear[relation].at_result(arriving, relation.axes.y)
            for use, x in apart(relation, back.laid(relation.axes.y)).items() if back else ():
                credits[use] = ops.add(credits[use], x) if use in credits else x
    return credits


def _adjoints(b: Builder, lane: Lane) -> dict[Coordinate, Tracer]:
    return {
        at: Tracer(b, b.input(lane.ahead(at), lane.ahead_type(at), _signal(lane, at)))
        for at in lane.coordinates
    }


def _products(b: Builder, lane: Lane) -> dict[Pair, Tracer]:
    return {
        (new, old): Tracer(
            b, b.input(lane.product(new, old), lane.product_type(new, old), _value(lane, new, old))
        )
        for new in lane.coordinates
        for old in lane.coordinates
    }


def _earlier(
    p: Pieces, lane: Lane, moved: Recurrence, ahead: Mapping[str, Vec],
    entering: Mapping[str, Vec],
) -> list[Any]:  # fmt: skip
    back = moved.back(ahead)
    found = []
    for at in lane.coordinates:
        slot, state = at
        parts = [v.entries[state] for v in (back.get(slot), entering.get(slot))
                 if v is not None and state in v.entries]  # fmt: skip
        x = sum(parts[1:], parts[0]) if parts else None
        axes = lane.axes([(at, POSITION)])
        found.append((_entry(p, lane.ahead_type(at), x, axes), _signal(lane, at)))
    return found


def _earlier_products(
    p: Pieces, lane: Lane, moved: Recurrence, products: Mapping[Pair, Tracer]
) -> list[Any]:
    out: list[Any] = []
    for new in lane.coordinates:
        back = moved.back(lane.row(new, products))
        for old in lane.coordinates:
            vector = back.get(old[0])
            x = None if vector is None else vector.entries.get(old[1])
            axes = lane.axes([(new, FIXED), (old, POSITION)])
            type = lane.product_type(new, old)
            out.append((_entry(p, type, x, axes), _value(lane, new, old)))
    return out


def _sources(
    steps: Steps, p: Pieces, lanes: tuple[Lane, ...], linear: Recurrences,
    products: Mapping[str, Mapping[Pair, Tracer]],
) -> dict[str, Tracer]:  # fmt: skip
    """Return what this step adds to the traces at the end of the chunk, by trace name."""
    out: dict[str, Tracer] = {}
    for lane in lanes:
        for relation in lane.members:
            found = linear[relation]
            u = {slot: found.source(slot) for slot in lane.slots}
            arrays = products[lane.key]
            for a in steps.traces:
                if a.relation is relation:
                    moved = lane.applied(a.slot, arrays, u, relation)
                    share = moved.outer(found.view.x, relation.axes.trace)
                    type = a.type.with_dtype(steps.dtype)
                    axes = relation.axes.trace + letters(relation, a.state)
                    out[a.name] = _entry(p, type, share.entries.get(a.state or ""), axes)
    return out


def _entry(p: Pieces, type: TensorType, x: Named | None, axes: str) -> Tracer:
    return zeros(p.builder, type) if x is None else x.laid(axes)


def _signal(lane: Lane, at: Coordinate) -> Role:
    return Role("signal", (lane.ahead(at),))


def _value(lane: Lane, new: Coordinate, old: Coordinate) -> Role:
    return Role("value", (lane.product(new, old),))


def _times(factor: Any, x: Tracer) -> Tracer:
    return ops.mul(ops.broadcast(factor, x.shape, ()), x)
