"""Emission of what learning rules are made of, for one step of one example.

For a step ``(h', L) = F(h, x; w)`` with weight products ``y = op(x, w)``:

* ``D`` of a group: the position-wise part of dh'/dh;
* ``u`` of a relation: dh'/dy, the total derivative inside the step, at the position that ``y``
  reaches;
* signals: derivatives of the loss with respect to the old states ``h``, the results ``y`` and
  the parameters used outside products. Each path from the loss is followed once, so nothing
  that ``u`` counts inside the step is counted again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import define, field, frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Program, Role, Value
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, replay
from etp_ir.transforms.batch import batch_program, rename
from etp_ir.transforms.linearize import linearize
from etp_ir.transforms.transpose import pull
from etp_ir.transforms.vjp import pullback
from etp_ir.types import I32, TensorType

from ..rules.algebra import ALONG, BEFORE, POSITION, POSITIONS, Mat, Named, Vec
from .coverage import BLOCK, WISE, Place
from .positions import NONE, Targets
from .structure import HiddenGroup, HiddenParamOpRelation, Structure

# Derivatives of one new state: with respect to old states, and to results of products.
Row = tuple[dict[str, Tracer], dict[Node, Tracer]]


@frozen(eq=False)
class Axes:
    """Letters of a weight product: its input, its weight, its result, and its trace."""

    x: str
    w: str
    y: str

    @property
    def trace(self) -> str:
        """Letters of a per-parameter trace: positions that share a weight, then the weight's."""
        return "".join(c for c in self.y if c not in self.w) + self.w

    @property
    def universe(self) -> str:
        """All letters in the order of a trace: letters summed away, then several positions."""
        head = self.trace
        return head + "".join(c for c in self.x if c not in head) + POSITIONS


def axes_of(node: Node) -> Axes:
    """Return the letters of an eligibility-trace node."""
    assert node.primitive.letters is not None
    left, _, y = node.primitive.letters(*node.inputs).partition("->")
    x, _, w = left.partition(",")
    return Axes(x, w, y)


@frozen(eq=False)
class Signals:
    """Derivatives of the loss of one step.

    Attributes
    ----------
    states
        With respect to each old state, by path.
    products
        With respect to the result of each eligibility-trace node.
    params
        With respect to each parameter, through uses outside eligibility-trace nodes.
    """

    states: dict[str, Tracer]
    products: dict[Node, Tracer]
    params: dict[str, Tracer]


@frozen(eq=False)
class RelationView:
    """A relation as a learning rule sees it: named arrays of one step.

    Attributes
    ----------
    name
        Name of the relation.
    x
        Input of the product, or None for an element-wise weight.
    u
        dh'/dy for each state of the group, at the positions of ``y``.
    D
        Position-wise dh'/dh between the states of the group, at the positions of ``y``.
    axes
        Letters of input, weight, result and trace.
    """

    name: str
    relation: HiddenParamOpRelation
    x: Named | None
    u: Vec
    D: Mat
    axes: Axes

    @property
    def group(self) -> HiddenGroup:
        """The group that the relation reaches."""
        return self.relation.group


@define
class Pieces:
    """A builder that starts as a traced step and grows what a rule asks for."""

    structure: Structure
    name: str
    builder: Builder = field(init=False)
    _rows: dict[str, Row] = field(init=False, factory=dict)
    _full_rows: dict[str, Row] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        program = self.structure.program
        self.builder = Builder(self.name, share=True, float_dtype=float_dtype(program))
        for port in program.inputs:
            self.builder.inputs.append(port)
        # The traced nodes are appended as they are: their values stand for themselves.
        self.builder.nodes.extend(program.nodes)

    @property
    def program(self) -> Program:
        """The traced step."""
        return self.structure.program

    def tracer(self, value: Value) -> Tracer:
        """Return a traced value of the step."""
        return Tracer(self.builder, value)

    # -- transition and tails ---------------------------------------------------------------
    def row(self, state: str) -> Row:
        """Return dh'/dh and dh'/dy of one new state, along its position-wise influence."""
        if state not in self._rows:
            after = self.structure.states[state][1]
            row = _no_row()
            if isinstance(after, Value):
                one = ops.full(self.builder, after.type.shape, 1.0, after.type.dtype)
                row = self._pull_row(
                    self.builder, self.program.nodes, state, one,
                    detach=self.structure.reaches[state].detach,
                )  # fmt: skip
            tag = short(state)
            for name, x in row[0].items():
                rename(self.builder, x, f"D_{tag}" if name == state else f"D_{tag}_{short(name)}")
            for node, x in row[1].items():
                rename(
                    self.builder, x, f"u_{short(self.structure.weights[node].name)}_{tag}"
                )  # fmt: skip
            self._rows[state] = row
        return self._rows[state]

    def full_row(self, state: str) -> Row:
        """Return all of dh'/dh and dh'/dy of one new state, its positions on the first axis."""
        if state not in self._full_rows:
            after = self.structure.states[state][1]
            row = _no_row()
            if isinstance(after, Value):
                row = self._pull_all(state, after)
            self._full_rows[state] = row
        return self._full_rows[state]

    def _sources(self, state: str) -> tuple[dict[str, Value], list[Node]]:
        """Return the old states and the products that a new state's derivatives are wanted for."""
        s = self.structure
        mine = [r for r in s.relations if state in r.places]
        states = {name for r in mine for name in r.places}
        old = {name: s.states[name][0] for name in s.states if name in states}
        nodes = [r.node for r in mine if s.influence.leads(r.y, state)]
        return old, list(dict.fromkeys(nodes))

    def _pull_row(
        self, builder: Builder, nodes: Sequence[Node], state: str, seed: Tracer, *,
        detach: Collection[tuple[Node, int]] = (),
    ) -> Row:  # fmt: skip
        after = self.structure.states[state][1]
        assert isinstance(after, Value)
        old, products = self._sources(state)
        pulled = pullback(
            builder, nodes, list(old.values()), {after: seed},
            taps=[n.output for n in products], detach=detach,
        )  # fmt: skip
        across = {n: pulled[v] for n, v in old.items() if v in pulled}
        inward = {n: pulled[n.output] for n in products if n.output in pulled}
        return across, inward

    def _pull_all(self, state: str, after: Value) -> Row:
        """Pull one unit cotangent for each position, all of them at once."""
        old, products = self._sources(state)
        wanted: list[tuple[Any, Value]] = [*old.items(), *((n, n.output) for n in products)]
        linear = linearize(
            self.builder, self.program.nodes, list(old.values()), [after],
            taps=[n.output for n in products],
        )  # fmt: skip
        tangent = linear.tangents.get(after)
        if tangent is None:
            return _no_row()
        made = {v for node in linear.nodes for v in node.outputs} | set(linear.seeds.values())
        outer = [v for v in dict.fromkeys(x for n in linear.nodes for x in n.inputs)
                 if isinstance(v, Value) and v not in made]  # fmt: skip
        inner = Builder("row", share=True, float_dtype=self.builder.float_dtype)
        seed = Tracer(inner, inner.input("seed", after.type, "value"))
        env: Any = {v: inner.input(f"i{k}", v.type, "value") for k, v in enumerate(outer)}
        pulled = pull(inner, linear.nodes, list(linear.seeds.values()), {tangent: seed}, env=env)
        found = [(key, pulled[s]) for key, v in wanted if (s := linear.seeds[v]) in pulled]
        if not found:
            return _no_row()
        part = inner.finish([(x.value, Role("value", (str(k),))) for k, (_, x) in enumerate(found)])
        n = after.type.size
        whole = batch_program(part, n, {"seed": 0}, force=range(len(found)))
        results = replay(
            whole, self.builder, [unit(self.builder, after.type), *map(self.tracer, outer)]
        )
        by_key: dict[Any, Any] = {key: x for (key, _), x in zip(found, results, strict=True)}
        across = {name: by_key[name] for name in old if name in by_key}
        inward = {node: by_key[node] for node in products if node in by_key}
        for name, x in across.items():
            rename(self.builder, x, f"J_{short(state)}_{short(name)}")
        return across, inward

    def view(self, relation: HiddenParamOpRelation) -> RelationView:
        """Return the relation with its named arrays."""
        axes = axes_of(relation.node)
        u = {s: x for s in relation.places if (x := self._tail(relation, s)) is not None}
        D = {
            (new, old): x for (new, old), how in relation.edges.items()
            if (x := self._edge(relation, new, old, how)) is not None
        }  # fmt: skip
        return RelationView(
            relation.name, relation, self.input_of(relation.node), Vec(u), Mat(D), axes
        )

    def _tail(self, relation: HiddenParamOpRelation, state: str) -> Named | None:
        """Return dh'/dy of one state at the positions covered."""
        place, y = relation.places[state], relation.y
        axes = axes_of(relation.node)
        s = self.structure
        exact = (
            s.scope.name == "diagonal"
            or s.influence.wise(y, state)
            or not s.influence.leads(y, state)
        )
        if not place.wide and exact:
            x = self.row(state)[1].get(relation.node)
            return None if x is None else Named(x, axes.y, axes.universe)
        x = self.full_row(state)[1].get(relation.node)
        if x is None:
            return None
        n, m = place.size, y.type.size
        if place.index is None:
            whole = ops.reshape(x, (n, *y.type.shape))
            order = (*range(1, whole.ndim), 0)
            return Named(ops.permute(whole, order), axes.y + POSITION, axes.universe)
        columns = np.arange(m).reshape(y.type.shape)
        columns = columns[..., None] if place.several else columns
        index = np.where(place.index == NONE, NONE, place.index * m + columns)
        letters = axes.y + (POSITION if place.several else "")
        return Named(take(ops.reshape(x, (n * m,)), index), letters, axes.universe)

    def _edge(self, relation: HiddenParamOpRelation, new: str, old: str, how: str) -> Named | None:
        """Return dh'/dh between two states at the positions covered."""
        after, before = relation.places[new], relation.places[old]
        axes = axes_of(relation.node)
        if how in (WISE, BLOCK):
            x = self._along(new, old, how)
            if x is None:
                return None
            flat = ops.reshape(x, (x.size,))
            if after.index is None:
                return Named(flat, ALONG, axes.universe)
            letters = axes.y + (ALONG if after.several else "")
            return Named(at_positions(x, after, relation.y), letters, axes.universe)
        x = self.full_row(new)[0].get(old)
        if x is None:
            return None
        n, m = after.size, before.size
        whole = ops.reshape(x, (n, m))
        y = axes.y
        if after.index is None and before.index is None:
            return Named(whole, POSITION + BEFORE, axes.universe)
        if after.index is None:
            assert before.index is not None
            rows = take(ops.permute(whole, (1, 0)), before.index)
            return Named(rows, y + (BEFORE if before.several else "") + POSITION, axes.universe)
        if before.index is None:
            rows = take(whole, after.index)
            return Named(rows, y + (POSITION if after.several else "") + BEFORE, axes.universe)
        i = after.index[..., None] if after.several else after.index
        j = before.index[..., None] if before.several else before.index
        i, j = (i, j[..., None, :]) if after.several and before.several else (i, j)
        index = np.where((i == NONE) | (j == NONE), NONE, i * m + j)
        letters = (POSITION if after.several else "") + (BEFORE if before.several else "")
        return Named(take(ops.reshape(whole, (n * m,)), index), y + letters, axes.universe)

    def _along(self, new: str, old: str, how: str) -> Tracer | None:
        """Return the part of dh'/dh from each position to itself."""
        if how == WISE:
            return self.row(new)[0].get(old)
        x = self.full_row(new)[0].get(old)
        if x is None:
            return None
        type = self.structure.states[new][0].type
        n = type.size
        diagonal = np.arange(n) * (n + 1)
        return ops.reshape(take(ops.reshape(x, (n * n,)), diagonal), type.shape)

    def input_of(self, node: Node) -> Named | None:
        """Return the input of a weight product, or None for an element-wise weight."""
        axes = axes_of(node)
        others = [x for i, x in enumerate(node.inputs) if i != node.primitive.weight]
        if not others:
            return None
        assert isinstance(others[0], Value)
        return Named(self.tracer(others[0]), axes.x, axes.universe)

    # -- signals ----------------------------------------------------------------------------
    def signals(self, seed: Tracer, *, later: Mapping[str, Tracer] | None = None) -> Signals:
        """Return the derivatives of ``seed * loss``, plus what later steps report.

        Parameters
        ----------
        seed
            Scalar weight of this step's loss.
        later
            Derivatives with respect to the new states that come from later steps.
        """
        s = self.structure
        program = s.program
        loss = program.output("loss").value
        cotangents: dict[Value, Any] = {}
        if isinstance(loss, Value):
            cotangents[loss] = seed
        for state, x in (later or {}).items():
            after = s.states[state][1]
            if isinstance(after, Value):
                held = cotangents.get(after)
                cotangents[after] = x if held is None else ops.add(held, x)
        trained = list(s.weights)
        detach = {(n, n.primitive.weight or 0) for n in trained}
        old = {name: before for name, (before, _) in s.states.items()}
        params = {p.name: p.value for p in program.inputs_of("param")}
        pulled = pullback(
            self.builder, program.nodes, [*old.values(), *params.values()], cotangents,
            taps=[n.output for n in trained], detach=detach,
        )  # fmt: skip
        return Signals(
            {n: pulled[v] for n, v in old.items() if v in pulled},
            {n: pulled[n.output] for n in trained if n.output in pulled},
            {n: pulled[v] for n, v in params.items() if v in pulled},
        )

    def boundary_signals(
        self, seed: Tracer, states: Sequence[str]
    ) -> tuple[dict[str, Tracer], dict[str, Tracer]]:
        """Return the partial derivatives of the loss at the boundary of the step.

        They are taken with respect to the new values of some states, each with the others held
        fixed (a path from one new state to another is the business of ``u`` and ``D``), and with
        respect to their old values, all new ones held fixed.
        """
        s = self.structure
        loss = s.program.output("loss").value
        if not isinstance(loss, Value):
            return {}, {}
        new = {n: v for n in states if isinstance(v := s.states[n][1], Value)}
        old = {n: s.states[n][0] for n in states}
        pulled = pullback(
            self.builder, s.program.nodes, [*new.values(), *old.values()], {loss: seed}
        )
        return (
            {n: pulled[v] for n, v in new.items() if v in pulled},
            {n: pulled[v] for n, v in old.items() if v in pulled},
        )

    def credit(self, node: Node, cotangent: Tracer) -> Tracer:
        """Return the derivative with respect to the weight of a product, given that of ``y``."""
        return weight_gradient(self.builder, node, cotangent)


def weight_gradient(builder: Builder, node: Node, cotangent: Tracer) -> Tracer:
    """Return the vjp of a weight product with respect to its weight."""
    axes = axes_of(node)
    x = next((v for i, v in enumerate(node.inputs) if i != node.primitive.weight), None)
    if x is None:
        return cotangent
    spec = f"{axes.x},{axes.y}->{axes.w}"
    return ops.contract(Tracer(builder, x), cotangent, spec)  # type: ignore[arg-type]


def at_places(relation: HiddenParamOpRelation, arrays: Mapping[str, Tracer]) -> Vec:
    """Return arrays over states, read at the positions that a relation covers."""
    axes = axes_of(relation.node)
    found = {}
    for state, place in relation.places.items():
        if state in arrays:
            letters = POSITION if place.everywhere else axes.y + (POSITION if place.several else "")
            found[state] = Named(
                at_positions(arrays[state], place, relation.y), letters, axes.universe
            )
    return Vec(found)


def at_positions(x: Tracer, place: Place, y: Value) -> Tracer:
    """Return an array over the positions of a state, read at a place.

    Its shape is that of ``y``, with one axis more for several positions; or flat for all of them.
    """
    if place.index is None:
        return ops.reshape(x, (place.size,))
    if x.shape == y.type.shape and not place.several and _aligned(place.index):
        return x
    # An element of y that reaches nothing has u = 0: which position it reads is immaterial.
    return take(ops.reshape(x, (x.size,)), np.maximum(place.index, 0))


def take(x: Tracer, index: np.ndarray[Any, Any]) -> Tracer:
    """Return rows of an array; 0 where the index is `NONE`."""
    n, *rest = x.shape
    flat = index.ravel()
    if (flat == NONE).any():
        zero = ops.full(x.builder, (1, *rest), 0.0, x.dtype)
        x, flat = ops.concat([x, zero], 0), np.where(flat == NONE, n, flat)
        n += 1
    shape = (*index.shape, *rest)
    copies = flat.size // n
    if copies * n == flat.size and np.array_equal(flat, np.tile(np.arange(n), copies)):
        kept = tuple(range(1, x.ndim + 1))
        spread = x if copies == 1 else ops.broadcast(x, (copies, *x.shape), kept)
        return ops.reshape(spread, shape)
    values = tuple(int(i) for i in flat)
    attrs = {"values": values, "shape": (flat.size,)}
    table = Tracer(x.builder, x.builder.emit(get("table"), [], attrs)[0])
    return ops.reshape(ops.gather(x, table, 0), shape)


def unit(builder: Builder, type: TensorType) -> Tracer:
    """Return the unit arrays of a type, one for each element, on a new first axis."""
    n = type.size

    def count(axis: int) -> Tracer:
        attrs = {"shape": (n, n), "axis": axis, "dtype": I32}
        return Tracer(builder, builder.emit(get("iota"), [], attrs)[0])

    return ops.reshape(ops.cast(ops.eq(count(0), count(1)), type.dtype), (n, *type.shape))


def _aligned(index: Targets) -> bool:
    return bool(np.array_equal(index.ravel(), np.arange(index.size)))


def _no_row() -> Row:
    return {}, {}


def float_dtype(program: Program) -> Any:
    """Return the floating-point type of a program's parameters, states or inputs."""
    kinds = [p.type.dtype for p in program.inputs if p.type.dtype.is_float]
    return kinds[0]


def short(path: str) -> str:
    """Return the last part of a dotted path, for hints."""
    return path.rsplit(".", 1)[-1]
