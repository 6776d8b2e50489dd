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

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program, Role
from etp_ir.tracer import Tracer
from etp_ir.types import TensorType

from ..compiler.axes import axes_of
from ..compiler.pieces import Pieces, Signals
from ..compiler.structure import HiddenParamOpRelation
from ..rules.algebra import Mat, Named, Vec
from ..rules.base import Linear, LinearTraceRule
from .lanes import Lane, lanes_of
from .memory import Gradients, TraceMemory, zeros
from .steps import BOUNDARY, Steps, tidy
from .traces import cast, letters

Recurrences = Mapping[HiddenParamOpRelation, Linear]


def adjoint_step(steps: Steps) -> tuple[Program, tuple[Lane, ...]]:
    """Return the step, and the lanes of its backward recurrences.

    Inputs ``ahead.*`` hold :math:`a^t`, ``product.*`` hold :math:`P^t`, and ``later.*`` the exact
    derivatives from later steps of a window; outputs of the same roles hold them one step
    earlier. Outputs ``trace(...)`` hold the step's share of the traces at the end.
    """
    rule = steps.rule
    assert isinstance(rule, LinearTraceRule)
    p = steps.pieces("chunk")
    seed = steps.seed(p)
    linear = {r: rule.trace(p.view(r)) for r in steps.structure.relations}
    lanes = lanes_of(linear)
    ahead = {lane.key: _adjoints(p.builder, lane) for lane in lanes}
    windowed = steps.window >= 2
    later = steps.later_inputs(p) if windowed else {}
    signals = p.signals(seed, later=later)
    arriving = steps.entry_signals(p, seed, signals)
    if windowed:
        flag = Tracer(p.builder, p.builder.input(BOUNDARY, TensorType(steps.dtype), "weight"))
    products = {lane.key: _products(p.builder, lane) for lane in lanes}
    extra: list[tuple[Any, Role]] = []
    for lane in lanes:
        decay = linear[lane.members[0]].decay
        entering = arriving(lane.members[0])
        entering = entering * flag if windowed else entering
        extra += _earlier(p, lane, decay, lane.vector(ahead[lane.key]), entering)
        extra += _earlier_products(p, lane, decay, products[lane.key])
    grads = Gradients()
    steps.add_direct(p, _credits(lanes, linear, ahead, signals), signals, grads)
    if windowed:
        kept = {n: _times(ops.sub(1.0, flag), x) for n, x in signals.states.items()}
        extra += steps.later_outputs(p, Signals(kept, {}, {}))
    return steps.close(p, _sources(steps, p, lanes, linear, products), grads, extra), lanes


def read_lanes(steps: Steps, lanes: tuple[Lane, ...]) -> Program:
    """Return the reading of the traces at entry by the adjoints that arrive there."""
    b = Builder(f"{steps.name}.entry", share=True, float_dtype=steps.dtype)
    held = {a.name: Tracer(b, b.input(a.name, a.type, a.role)) for a in steps.traces}
    by_relation: dict[HiddenParamOpRelation, Vec] = {}
    for lane in lanes:
        arrays = _adjoints(b, lane)
        by_relation.update({r: lane.vector(arrays, r) for r in lane.members})
    grads = Gradients()
    assert isinstance(steps.memory, TraceMemory)
    steps.memory.read(held, by_relation.__getitem__, grads)
    return steps.finish_reading(b, grads)


def leave(steps: Steps, lanes: tuple[Lane, ...]) -> Program:
    """Return the traces at the end of a chunk from those at entry and the shares of its steps."""
    b = Builder(f"{steps.name}.leave", share=True, float_dtype=steps.dtype)
    pairs = []
    for lane in lanes:
        arrays = _products(b, lane)
        for relation in lane.members:
            axes = axes_of(relation.node)
            mine = [a for a in steps.traces if a.relation is relation]
            held = {a.state: Tracer(b, b.input(a.name, a.type, a.role)) for a in mine}
            eps = Vec({
                s: Named(cast(x, steps.dtype), axes.trace + letters(relation, s), axes.universe)
                for s, x in held.items() if s is not None
            })  # fmt: skip
            moved = lane.matrix(arrays, relation) @ eps
            for a in mine:
                share = b.input(f"source.{a.name}", a.type, Role("value", (a.name,)))
                total = ops.add(moved.entries[a.state or ""].array,
                                cast(Tracer(b, share), steps.dtype))  # fmt: skip
                pairs.append((cast(total, a.type.dtype).value, a.role))
    return tidy(b.finish(pairs))


def _credits(
    lanes: tuple[Lane, ...], linear: Recurrences, ahead: Mapping[str, Mapping[str, Tracer]],
    signals: Signals,
) -> dict[Any, Tracer]:  # fmt: skip
    """Return the derivative at every product: this step's own, and what later steps read."""
    credits = dict(signals.products)
    for lane in lanes:
        for relation in lane.members:
            node = relation.node
            back = linear[relation].u.dot(lane.vector(ahead[lane.key], relation), axes_of(node).y)
            if back is not None:
                held = credits.get(node)
                credits[node] = back.array if held is None else ops.add(held, back.array)
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
    return [
        (_entry(p, lane.ahead_type(s), moved.entries.get(s)), _signal(lane, s)) for s in lane.states
    ]


def _earlier_products(
    p: Pieces, lane: Lane, decay: Mat, products: Mapping[tuple[str, str], Tracer]
) -> list[Any]:
    out = []
    for new in lane.states:
        moved = decay.T @ lane.row(new, products)
        out += [
            (_entry(p, lane.product_type(new, old), moved.entries.get(old)), _value(lane, new, old))
            for old in lane.states
        ]
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
            share = (lane.matrix(products[lane.key], relation) @ recurrence.u) * recurrence.x
            for a in steps.traces:
                if a.relation is relation:
                    x = share.entries.get(a.state or "")
                    empty = a.type.with_dtype(steps.dtype)
                    out[a.name] = zeros(p.builder, empty) if x is None else x.array
    return out


def _entry(p: Pieces, type: TensorType, x: Named | None) -> Tracer:
    return zeros(p.builder, type) if x is None else x.array


def _signal(lane: Lane, state: str) -> Role:
    return Role("signal", (lane.ahead(state),))


def _value(lane: Lane, new: str, old: str) -> Role:
    return Role("value", (lane.product(new, old),))


def _times(factor: Any, x: Tracer) -> Tracer:
    return ops.mul(ops.broadcast(factor, x.shape, ()), x)
