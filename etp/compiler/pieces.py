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

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define, field, frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Literal, Node, Program, Value
from etp_ir.primitive import get
from etp_ir.tracer import Tracer
from etp_ir.transforms.batch import rename
from etp_ir.transforms.vjp import pullback

from ..rules.algebra import Mat, Named, Vec
from .structure import HiddenGroup, HiddenParamOpRelation, Structure


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
    _rows: dict[str, tuple[dict[str, Tracer], dict[Node, Tracer]]] = field(init=False, factory=dict)

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
    def row(self, state: str) -> tuple[dict[str, Tracer], dict[Node, Tracer]]:
        """Return dh'/dh and dh'/dy of one new state, along its position-wise paths."""
        if state not in self._rows:
            s = self.structure
            group = next(g for g in s.groups if state in g.states)
            after = s.states[state][1]
            if isinstance(after, Literal):
                return {}, {}
            old = {name: s.states[name][0] for name in group.states}
            products = [r.node for r in s.of(group) if r.y in s.reaches[state].targets]
            one = ops.full(self.builder, after.type.shape, 1.0, after.type.dtype)
            pulled = pullback(
                self.builder, s.program.nodes, list(old.values()), {after: one},
                taps=[n.output for n in products], detach=s.reaches[state].detach,
            )  # fmt: skip
            tag = short(state)
            across = {n: pulled[v] for n, v in old.items() if v in pulled}
            inward = {n: pulled[n.output] for n in products if n.output in pulled}
            for name, x in across.items():
                rename(self.builder, x, f"D_{tag}" if name == state else f"D_{tag}_{short(name)}")
            for node, x in inward.items():
                rename(self.builder, x, f"u_{short(s.weights[node].name)}_{tag}")
            self._rows[state] = across, inward
        return self._rows[state]

    def transition(self, group: HiddenGroup) -> dict[tuple[str, str], Tracer]:
        """Return D of a group: entries (new state, old state) of the group's shape."""
        return {
            (new, old): entry for new in group.states for old, entry in self.row(new)[0].items()
        }

    def view(self, relation: HiddenParamOpRelation) -> RelationView:
        """Return the relation with its named arrays."""
        node, axes = relation.node, axes_of(relation.node)

        def at_y(x: Tracer) -> Named:
            return Named(self.gather(x, relation), axes.y, universe(axes))

        inward = {s: self.row(s)[1].get(node) for s in relation.group.states}
        u = Vec({s: Named(x, axes.y, universe(axes)) for s, x in inward.items() if x is not None})
        D = Mat({pair: at_y(x) for pair, x in self.transition(relation.group).items()})
        return RelationView(relation.name, relation, self.input_of(node), u, D, axes)

    def input_of(self, node: Node) -> Named | None:
        """Return the input of a weight product, or None for an element-wise weight."""
        axes = axes_of(node)
        others = [x for i, x in enumerate(node.inputs) if i != node.primitive.weight]
        if not others:
            return None
        assert isinstance(others[0], Value)
        return Named(self.tracer(others[0]), axes.x, universe(axes))

    def gather(self, x: Tracer, relation: HiddenParamOpRelation) -> Tracer:
        """Return an array over the group's positions, read at the positions of ``y``."""
        return gather_positions(self.builder, x, relation)

    # -- signals ----------------------------------------------------------------------------
    def signals(
        self, seed: Tracer, *, later: Mapping[str, Tracer] | None = None,
        restrict: HiddenGroup | None = None,
    ) -> Signals:  # fmt: skip
        """Return the derivatives of ``seed * loss``, plus what later steps report.

        Parameters
        ----------
        seed
            Scalar weight of this step's loss.
        later
            Derivatives with respect to the new states that come from later steps.
        restrict
            Leave out, for this group, the paths that its position-wise transition leaves out.
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
        if restrict is not None:
            detach |= set(s.cuts(restrict))
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

    def boundary_signals(self, seed: Tracer, group: HiddenGroup) -> dict[str, Tracer]:
        """Return the partial derivatives of the loss at the boundary of the step.

        They are taken with respect to the values of a group that leave the step, its other
        states held fixed: a path from one new state to another is the business of ``u``.
        """
        s = self.structure
        loss = s.program.output("loss").value
        new = {n: v for n in group.states if isinstance(v := s.states[n][1], Value)}
        if not isinstance(loss, Value):
            return {}
        pulled = pullback(self.builder, s.program.nodes, list(new.values()), {loss: seed})
        return {n: pulled[v] for n, v in new.items() if v in pulled}

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


def gather_positions(builder: Builder, x: Tracer, relation: HiddenParamOpRelation) -> Tracer:
    """Return an array over a group's positions, read at the positions of the relation's ``y``."""
    if relation.aligned:
        return x
    shape = relation.y.type.shape
    # An element of y that reaches nothing has u = 0: which position it reads is immaterial.
    index = np.maximum(relation.index, 0).ravel()
    n = x.size
    flat = ops.reshape(x, (n,))
    copies = index.size // n
    if copies * n == index.size and np.array_equal(index, np.tile(np.arange(n), copies)):
        spread = ops.broadcast(flat, (copies, n), (1,))
        return ops.reshape(spread, shape)
    values = tuple(int(i) for i in index)
    table = builder.emit(get("table"), [], {"values": values, "shape": (index.size,)})[0]
    return ops.reshape(ops.gather(flat, Tracer(builder, table), 0), shape)


def universe(axes: Axes) -> str:
    """Return all letters of a product in the order of its traces, summed letters last."""
    head = axes.trace
    return head + "".join(c for c in axes.x if c not in head)


def float_dtype(program: Program) -> Any:
    """Return the floating-point type of a program's parameters, states or inputs."""
    kinds = [p.type.dtype for p in program.inputs if p.type.dtype.is_float]
    return kinds[0]


def short(path: str) -> str:
    """Return the last part of a dotted path, for hints."""
    return path.rsplit(".", 1)[-1]
