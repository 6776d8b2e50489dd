"""Programs of one step for one example, from which every schedule is put together.

============  ==================================================================================
`online`      traces advance, and the gradient of this step is read from them
`exact`       the step inside an exactly differentiated window: later steps report through
              ``later(h)``, traces advance but are read only at the window's entry
`adjoint`     a linear trace is not kept: what later signals would read from it is carried
              backwards instead, as ``ahead``
`entry`       reading of the traces at the entry of a window or chunk
============  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from attrs import define, field, frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Operand, Program, Role, Value
from etp_ir.passes import dce
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, operand
from etp_ir.transforms.batch import rename
from etp_ir.types import DType, TensorType

from ..compiler.pieces import Pieces, RelationView, Signals, axes_of, float_dtype, universe
from ..compiler.structure import HiddenGroup, HiddenParamOpRelation, Structure
from ..rules.algebra import Mat, Named, Vec
from ..rules.base import LearningRule, Linear, LinearTraceRule, TraceRule
from .influence import advance_influence, influence_arrays, read_influence
from .traces import (
    STEPS,
    TraceArray,
    bare_view,
    cast,
    read,
    relation_traces,
    step_counter,
    write,
)

SEED = "loss_weight"
BOUNDARY = "boundary"


@frozen(eq=False)
class Lane:
    """Relations that share decay and positions, and so one backward recurrence.

    Attributes
    ----------
    key
        Name of the recurrence.
    members
        The relations.
    type
        Shape of the positions of ``y``.
    """

    key: str
    members: tuple[HiddenParamOpRelation, ...]
    type: TensorType

    def ahead(self, state: str) -> str:
        """Return the input name of the adjoint for a state."""
        return f"ahead.{self.key}.{state}"

    def product(self, new: str, old: str) -> str:
        """Return the input name of the product of later decays between two states."""
        return f"product.{self.key}.{new}.{old}"

    @property
    def group(self) -> HiddenGroup:
        """The group of all members."""
        return self.members[0].group


@define
class Steps:
    """The step programs of one compiled model.

    Parameters
    ----------
    structure
        Analysis of the traced step.
    rule
        The learning rule.
    window
        Steps differentiated exactly: 0 for the textbook contraction of signal and trace.
    name
        Prefix of the programs' names.
    trace_dtype
        Element type in which traces are kept; that of the model by default.
    """

    structure: Structure
    rule: LearningRule
    window: int
    name: str
    trace_dtype: DType | None = None
    dtype: DType = field(init=False)
    traces: list[TraceArray] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.dtype = float_dtype(self.structure.program)
        stored = self.trace_dtype or self.dtype
        rule = self.rule
        if isinstance(rule, TraceRule):
            for relation in self.structure.relations:
                slots = rule.slots(self._slot_view(relation))
                self.traces += relation_traces(rule, relation, slots, stored)
            if rule.counts_steps and self.traces:
                self.traces.append(step_counter(self.dtype))
        elif rule.name == "rtrl":
            self.traces += influence_arrays(self.structure, stored)

    # -- one step, traces in hand -----------------------------------------------------------
    @cached_property
    def online(self) -> Program:
        """The step that advances the traces and reads the gradient from them."""
        p = Pieces(self.structure, f"{self.name}.{self.rule.name}")
        seed = self._seed(p)
        held = self._trace_inputs(p)
        signals = p.signals(seed)
        grads = _Sums()
        textbook = self.window == 0 and isinstance(self.rule, TraceRule) and self.rule.textbook
        advanced = self._advance(p, held)
        if textbook:
            credits = self._read_after(p, seed, signals, advanced, grads)
        else:
            credits = dict(signals.products)
        self._direct(p, credits, signals, grads)
        if not textbook:
            self._read_before(p, seed, signals, held, grads)
        return self._close(p, advanced, grads)

    @cached_property
    def exact(self) -> Program:
        """The step inside a window: exact derivatives, later steps included."""
        p = Pieces(self.structure, f"{self.name}.{self.rule.name}.window")
        seed = self._seed(p)
        held = self._trace_inputs(p)
        later = {
            name: Tracer(p.builder, p.builder.input(f"later.{name}", old.type, Role("signal", (name,))))
            for name, (old, _) in self.structure.states.items()
        }  # fmt: skip
        signals = p.signals(seed, later=later)
        grads = _Sums()
        self._direct(p, signals.products, signals, grads)
        extra: list[tuple[Any, Role]] = []
        for n, (old, _) in self.structure.states.items():
            x = signals.states.get(n)
            extra.append((self._zeros(p, old.type) if x is None else x, Role("signal", (n,))))
        return self._close(p, self._advance(p, held), grads, extra)

    @cached_property
    def adjoint(self) -> tuple[Program, tuple[Lane, ...]]:
        """The step without its linear traces, and the lanes of their backward recurrences.

        Inputs ``ahead.*`` hold what later signals would read from the trace after this step, and
        ``product.*`` the products of later decays. Outputs have the same roles, one step earlier.
        """
        rule = self.rule
        assert isinstance(rule, LinearTraceRule)
        p = Pieces(self.structure, f"{self.name}.{rule.name}.chunk")
        seed = self._seed(p)
        linear = {r: rule.trace(p.view(r)) for r in self.structure.relations}
        lanes = _lanes(linear)
        ahead, later, flag = self._adjoint_inputs(p, lanes)
        grads = _Sums()
        if self.window == 0:
            signals = p.signals(seed)
        else:
            signals = p.signals(seed, later=later)
        credits: dict[Node, Tracer] = dict(signals.products)
        extra: list[tuple[Any, Role]] = []
        for lane in lanes:
            entering = self._entering(p, seed, signals, lane, flag)
            extra += self._lane_back(p, lane, linear, ahead[lane.key], entering)
            for relation in lane.members:
                back = linear[relation].u.dot(_relabel(ahead[lane.key], relation), axes_of(relation.node).y)
                if back is not None:
                    node = relation.node
                    credits[node] = (
                        ops.add(credits[node], back.array) if node in credits else back.array
                    )
        self._direct(p, credits, signals, grads)
        for name, x in later.items():
            kept = signals.states.get(name)
            kept = self._zeros(p, x.type) if kept is None else _times(ops.sub(1.0, flag), kept)
            extra.append((kept, Role("signal", (name,))))
        sources = self._sources(p, lanes, linear)
        return self._close(p, sources, grads, extra), lanes

    def entry(self, lanes: tuple[Lane, ...] | None = None) -> Program:
        """Return the reading of entry traces by the signals that arrive there.

        Signals are ``later.h`` at the positions of the states, or ``ahead.*`` of the lanes.
        """
        b = Builder(f"{self.name}.entry", share=True, float_dtype=self.dtype)
        inputs = {a.name: Tracer(b, b.input(a.name, a.type, a.role)) for a in self.traces}
        grads = _Sums()
        if self.rule.name == "rtrl" or not isinstance(self.rule, TraceRule):
            return b.finish([])
        for relation in self.structure.relations:
            axes = axes_of(relation.node)
            entries = {}
            lane = next((ln for ln in lanes or () if relation in ln.members), None)
            for state in relation.group.states:
                if lane is not None:
                    name, type = lane.ahead(state), lane.type
                else:
                    name, type = f"later.{state}", self.structure.states[state][0].type
                if name not in inputs:
                    inputs[name] = Tracer(b, b.input(name, type, Role("signal", (name,))))
                x = inputs[name]
                if lane is None:
                    from ..compiler.pieces import gather_positions

                    x = gather_positions(b, x, relation)
                entries[state] = Named(x, axes.y, universe(axes))
            self._read_one(relation, inputs, Vec(entries), inputs.get(STEPS), grads)
        return _tidy(b.finish([(x.value, Role("grad", (n,))) for n, x in grads.items()]))

    def leave(self, lanes: tuple[Lane, ...]) -> Program:
        """Return the traces at the end of a chunk from those at its entry and the sources."""
        b = Builder(f"{self.name}.leave", share=True, float_dtype=self.dtype)
        inputs: dict[str, Tracer] = {}

        def need(name: str, type: TensorType, role: Role) -> Tracer:
            if name not in inputs:
                inputs[name] = Tracer(b, b.input(name, type, role))
            return inputs[name]

        pairs = []
        for lane in lanes:
            for relation in lane.members:
                axes = axes_of(relation.node)
                mine = {a.state: a for a in self.traces if a.relation is relation}
                eps = Vec({
                    s: Named(cast(need(a.name, a.type, a.role), self.dtype), axes.trace, universe(axes))
                    for s, a in mine.items() if s is not None
                })  # fmt: skip
                product = Mat({
                    (new, old): Named(need(lane.product(new, old), lane.type,
                                           Role("value", (lane.product(new, old),))),
                                      axes.y, universe(axes))
                    for new in lane.group.states for old in lane.group.states
                })  # fmt: skip
                moved = product @ eps
                for state, a in mine.items():
                    source = need(f"source.{a.name}", a.type, Role("value", (a.name,)))
                    total = ops.add(moved.entries[state or ""].array, cast(source, self.dtype))
                    pairs.append((cast(total, a.type.dtype).value, a.role))
        return _tidy(b.finish(pairs))

    # -- parts ------------------------------------------------------------------------------
    def _seed(self, p: Pieces) -> Tracer:
        return Tracer(p.builder, p.builder.input(SEED, TensorType(self.dtype), "weight"))

    def _zeros(self, p: Pieces, type: TensorType) -> Tracer:
        return ops.full(p.builder, type.shape, 0.0, type.dtype)  # type: ignore[no-any-return]

    def _slot_view(self, relation: HiddenParamOpRelation) -> RelationView:
        """Return a view that tells the letters of a relation, and whether it has an input."""
        view = bare_view(relation)
        has_x = bool(axes_of(relation.node).x) or len(relation.node.inputs) > 1
        marker: Any = object() if has_x else None
        return RelationView(view.name, relation, marker, view.u, view.D, view.axes)

    def _trace_inputs(self, p: Pieces) -> dict[str, Tracer]:
        return {a.name: Tracer(p.builder, p.builder.input(a.name, a.type, a.role)) for a in self.traces}

    def _direct(
        self, p: Pieces, credits: Mapping[Node, Tracer], signals: Signals, grads: _Sums
    ) -> None:
        """Add the derivatives of this step: through products, and through plain uses."""
        for node, weight in self.structure.weights.items():
            if node in credits:
                grads.add(weight.name, p.credit(node, credits[node]))
        for name, x in signals.params.items():
            grads.add(name, x)

    def _entry_signals(self, p: Pieces, seed: Tracer, signals: Signals) -> dict[str, Tracer]:
        """Return the signals on old states that the traces at entry are read with."""
        if self.window > 0 or self.rule.follows == "all":
            return signals.states
        out: dict[str, Tracer] = {}
        for group in self.structure.groups:
            restricted = p.signals(seed, restrict=group).states
            out.update({s: restricted[s] for s in group.states if s in restricted})
        return out

    def _read_before(
        self, p: Pieces, seed: Tracer, signals: Signals, held: dict[str, Tracer], grads: _Sums
    ) -> None:
        """Add what the traces at entry give for this step's signals on the old states."""
        arriving = self._entry_signals(p, seed, signals)
        for state, x in arriving.items():
            rename(p.builder, x, f"dL_d{state.rsplit('.', 1)[-1]}")
        if self.rule.name == "rtrl":
            types = {q.name: q.type for q in self.structure.program.inputs_of("param")}
            read_influence(self.traces, held, arriving, grads, types)
            return
        if not isinstance(self.rule, TraceRule):
            return
        for relation in self.structure.relations:
            axes = axes_of(relation.node)
            ell = Vec({
                s: Named(p.gather(arriving[s], relation), axes.y, universe(axes))
                for s in relation.group.states if s in arriving
            })  # fmt: skip
            self._read_one(relation, held, ell, held.get(STEPS), grads)

    def _read_one(
        self, relation: HiddenParamOpRelation, held: Mapping[str, Tracer], ell: Vec,
        count: Tracer | None, grads: _Sums,
    ) -> None:  # fmt: skip
        rule = self.rule
        assert isinstance(rule, TraceRule)
        slots = rule.slots(self._slot_view(relation))
        eps = read(self.traces, relation, slots, held, self.dtype)
        found = rule.gradient(bare_view(relation), eps, ell, count)
        if found is not None:
            grads.add(self.structure.weights[relation.node].name, found.array)

    def _read_after(
        self, p: Pieces, seed: Tracer, signals: Signals, advanced: dict[str, Tracer], grads: _Sums
    ) -> dict[Node, Tracer]:
        """Contract boundary signals with the advanced traces, and return what is left to credit.

        What the trace counts of the present step is ``u`` times the boundary signal; the rest of
        the derivative (paths past the states, or through mixing tails) stays direct.
        """
        rest: dict[Node, Tracer] = dict(signals.products)
        for group in self.structure.groups:
            boundary = p.boundary_signals(seed, group)
            for relation in self.structure.of(group):
                axes, node = axes_of(relation.node), relation.node
                ell = Vec({
                    s: Named(p.gather(x, relation), axes.y, universe(axes))
                    for s, x in boundary.items()
                })  # fmt: skip
                self._read_one(relation, advanced, ell, advanced.get(STEPS), grads)
                counted = p.view(relation).u.dot(ell, axes.y)
                if node in rest and counted is not None:
                    if self._wholly_counted(relation):
                        del rest[node]
                    else:
                        rest[node] = ops.sub(rest[node], counted.array)
        return rest

    def _wholly_counted(self, relation: HiddenParamOpRelation) -> bool:
        """Whether every path from ``y`` to this step's loss is in ``u`` times the signal."""
        s = self.structure
        y, loss = relation.y, s.program.output("loss").value
        dependence = s.dependence
        for cut in s.cuts(relation.group).values():
            if dependence.leads(y, cut.node.inputs[cut.operand]):
                return False
        boundary = {v for n in relation.group.states if isinstance(v := s.states[n][1], Value)}
        return not dependence.leads_avoiding(y, loss, boundary)

    def _advance(self, p: Pieces, held: dict[str, Tracer]) -> dict[str, Tracer]:
        """Return the traces after the step, by name."""
        rule = self.rule
        if rule.name == "rtrl":
            return advance_influence(p, self.traces, held)
        out: dict[str, Tracer] = {}
        if not isinstance(rule, TraceRule):
            return out
        count = held.get(STEPS)
        for relation in self.structure.relations:
            slots = rule.slots(self._slot_view(relation))
            eps = read(self.traces, relation, slots, held, self.dtype)
            new = write(self.traces, relation, rule.advance(p.view(relation), eps, count))
            for a in self.traces:
                if a.relation is relation:
                    x = new[a.name]
                    out[a.name] = self._zeros(p, a.type) if x is None else x
        if count is not None:
            out[STEPS] = ops.add(count, 1.0)
        return out

    def _adjoint_inputs(self, p: Pieces, lanes: tuple[Lane, ...]) -> Any:
        b = p.builder
        ahead = {}
        for lane in lanes:
            axes = axes_of(lane.members[0].node)
            ahead[lane.key] = Vec({
                s: Named(Tracer(b, b.input(lane.ahead(s), lane.type, Role("signal", (lane.ahead(s),)))),
                         axes.y, universe(axes))
                for s in lane.group.states
            })  # fmt: skip
        if self.window < 2:
            return ahead, {}, None
        later = {
            n: Tracer(b, b.input(f"later.{n}", old.type, Role("signal", (n,))))
            for n, (old, _) in self.structure.states.items()
        }
        flag = Tracer(b, b.input(BOUNDARY, TensorType(self.dtype), "weight"))
        return ahead, later, flag

    def _entering(
        self, p: Pieces, seed: Tracer, signals: Signals, lane: Lane, flag: Tracer | None
    ) -> Vec:
        """Return this step's signals on the old states, at the positions of the lane."""
        arriving = self._entry_signals(p, seed, signals)
        relation = lane.members[0]
        axes = axes_of(relation.node)
        return Vec({
            s: Named(p.gather(x if flag is None else _times(flag, x), relation), axes.y, universe(axes))
            for s, x in arriving.items() if s in lane.group.states
        })  # fmt: skip

    def _lane_back(
        self, p: Pieces, lane: Lane, linear: Mapping[HiddenParamOpRelation, Linear],
        ahead: Vec, entering: Vec,
    ) -> list[tuple[Any, Role]]:  # fmt: skip
        """Return the adjoint and the decay products one step earlier."""
        decay = linear[lane.members[0]].decay
        earlier = (decay.T @ ahead) + entering
        out: list[tuple[Any, Role]] = []
        for s in lane.group.states:
            x = earlier.entries.get(s)
            out.append((x.array if x else self._zeros(p, lane.type),
                        Role("signal", (lane.ahead(s),))))  # fmt: skip
        products = self._products(p, lane)
        for new in lane.group.states:
            row = Vec({old: products.entries[new, old] for old in lane.group.states})
            moved = decay.T @ row
            for old in lane.group.states:
                x = moved.entries.get(old)
                out.append((x.array if x else self._zeros(p, lane.type),
                            Role("value", (lane.product(new, old),))))  # fmt: skip
        return out

    def _products(self, p: Pieces, lane: Lane) -> Mat:
        b, axes = p.builder, axes_of(lane.members[0].node)
        held = {port.name: port.value for port in b.inputs}
        entries = {}
        for new in lane.group.states:
            for old in lane.group.states:
                name = lane.product(new, old)
                if name not in held:
                    held[name] = b.input(name, lane.type, Role("value", (name,)))
                entries[new, old] = Named(Tracer(b, held[name]), axes.y, universe(axes))
        return Mat(entries)

    def _sources(
        self, p: Pieces, lanes: tuple[Lane, ...], linear: Mapping[HiddenParamOpRelation, Linear]
    ) -> dict[str, Tracer]:
        """Return what this step adds to the traces at the end of the chunk, by trace name."""
        out: dict[str, Tracer] = {}
        for lane in lanes:
            products = self._products(p, lane)
            for relation in lane.members:
                rec = linear[relation]
                arriving = (_relabel(products, relation) @ rec.u) * rec.x
                for a in self.traces:
                    if a.relation is relation:
                        x = arriving.entries.get(a.state or "")
                        out[a.name] = self._zeros(p, a.type.with_dtype(self.dtype)) if x is None else x.array
        return out

    def _close(
        self, p: Pieces, traces: Mapping[str, Tracer], grads: _Sums,
        extra: list[tuple[Any, Role]] | None = None,
    ) -> Program:  # fmt: skip
        """Finish a step program: the model's outputs, traces, gradients, then extras."""
        program = self.structure.program
        seed = next(port.value for port in p.builder.inputs if port.name == SEED)
        pairs: list[tuple[Operand, Role]] = []
        for out in program.outputs:
            value = out.value
            if out.role.kind in ("loss", "metric"):
                x = out.value if isinstance(out.value, Value) else None
                weighed = ops.mul(Tracer(p.builder, seed),
                                  Tracer(p.builder, x) if x else out.value.value)  # type: ignore[union-attr]
                value = weighed.value
            pairs.append((value, out.role))
        roles = {a.name: a.role for a in self.traces}
        pairs += [(x.value, roles[n]) for n, x in traces.items()]
        for name, type in self.gradient_types().items():
            x = grads.get(name)
            pairs.append(((self._zeros(p, type) if x is None else x).value, Role("grad", (name,))))
        pairs += [(operand(p.builder, x), role) for x, role in extra or []]
        return _tidy(p.builder.finish(pairs))

    def gradient_types(self) -> dict[str, TensorType]:
        """Return the type of every gradient of a step: weights first, then other parameters."""
        s = self.structure
        found = {w.name: w.value.type for w in s.weights.values()}
        for port in s.program.inputs_of("param"):
            found.setdefault(port.name, port.type)
        return found


class _Sums(dict[str, Tracer]):
    """Gradients by weight name; what is added to one name is summed."""

    def add(self, name: str, x: Tracer) -> None:
        self[name] = ops.add(self[name], x) if name in self else x


def _relabel(arrays: Any, relation: HiddenParamOpRelation) -> Any:
    """Return a lane's arrays under the axis letters of one of its members."""
    axes = axes_of(relation.node)
    named = {k: Named(e.array, axes.y, universe(axes)) for k, e in arrays.entries.items()}
    return type(arrays)(named)


def _times(factor: Any, x: Tracer) -> Tracer:
    return ops.mul(ops.broadcast(factor, x.shape, ()), x)  # type: ignore[no-any-return]


def _tidy(program: Program) -> Program:
    return dce(simplify(program))


def _lanes(linear: Mapping[HiddenParamOpRelation, Linear]) -> tuple[Lane, ...]:
    """Return the relations grouped by decay and positions."""
    found: dict[Any, list[HiddenParamOpRelation]] = {}
    for relation, rec in linear.items():
        decay = tuple((k, e.array.value) for k, e in rec.decay.entries.items())
        key = (relation.group, relation.y.type, np.asarray(relation.index).tobytes(), decay)
        found.setdefault(key, []).append(relation)
    return tuple(
        Lane(str(i), tuple(members), members[0].y.type)
        for i, members in enumerate(found.values())
    )
