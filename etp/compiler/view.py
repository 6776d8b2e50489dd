"""A relation as a learning rule sees it: named arrays of one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Value
from etp_ir.errors import NotSupportedError
from etp_ir.tracer import Tracer, wrap

from ..rules.algebra import ALONG, BEFORE, POSITION, Mat, Named, Vec, named
from .axes import Axes
from .coverage import BLOCK, WISE
from .names import is_emission
from .numbers import StepNumbers
from .places import at_places, at_positions, take
from .positions import NONE
from .rows import Rows
from .structure import HiddenGroup, HiddenParamOpRelation, Structure
from .uses import Use


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
    step: StepNumbers | None = None
    structure: Structure | None = None

    @property
    def has_input(self) -> bool:
        """Whether the weight is multiplied with an input, and not element-wise with one."""
        return self.relation.use.form.x is not None

    @property
    def pre(self) -> Named:
        """What the weight is multiplied with: the input, or one."""
        if self.x is not None:
            return self.x
        first = next(iter(self.u.entries.values())).array
        # Several products of one weight have a letter for which of them, also without an input.
        one = ops.full(first.builder, self._shape(self.axes.x), 1.0, first.dtype)
        return Named(one, self.axes.x, self.axes.frame)

    @property
    def count(self) -> Tracer:
        """The number of steps that the traces have seen; of a rule with ``counts_steps``."""
        return self._step.count

    @property
    def h(self) -> Vec:
        """The new values of the states of the group, at the positions of the result."""
        return self._values(1)

    @property
    def h_old(self) -> Vec:
        """The values of the states before the step, at the positions of the result."""
        return self._values(0)

    def _values(self, which: int) -> Vec:
        found = self._met(which)
        return Vec(lambda: {n: self._repeated(x) for n, x in found.entries.items()})

    def _met(self, which: int) -> Vec:
        """Return values of states at the positions where signals arrive, each once."""
        states, b = self._step.structure.states, self._step.builder
        arrays = {n: wrap(b, states[n][which]) for n in self.relation.places}
        return at_places(self.relation, arrays)

    def _repeated(self, x: Named) -> Named:
        """Return what is the same for several products, or elements of one, once for each."""
        letters = [c for c in self.axes.frame.letters if c in x.axes + self.axes.y]
        if len(letters) == len(x.axes):
            return x
        sizes = {**self.relation.extents, **dict(zip(x.axes, x.array.shape, strict=True))}
        shape, axes = tuple(sizes[c] for c in letters), tuple(letters.index(c) for c in x.axes)
        return Named(ops.broadcast(x.array, shape, axes), "".join(letters), x.frame)

    @property
    def loss_weight(self) -> Tracer:
        """Weight of this step's loss, which what a rule makes up itself is multiplied with."""
        found = self._step.loss_weight
        assert found is not None
        return found

    def uniform(self, axes: str, **how: Any) -> Named:
        """Return numbers from 0 up to 1 over letters of ``axes``; ``""`` for a single one."""
        return Named(self._step.uniform(self._shape(axes), **how), axes, self.axes.frame)

    def signs(self, axes: str, **how: Any) -> Named:
        """Return random signs over letters of ``axes``, such as ``rel.axes.y``."""
        return Named(self._step.signs(self._shape(axes), **how), axes, self.axes.frame)

    def normal(self, axes: str, **how: Any) -> Named:
        """Return normally distributed numbers over letters of ``axes``."""
        return Named(self._step.normal(self._shape(axes), **how), axes, self.axes.frame)

    def _shape(self, axes: str) -> tuple[int, ...]:
        sizes = self.relation.extents
        return tuple(sizes[c] for c in axes)

    @property
    def emitted(self) -> str | None:
        """The state that holds what the units emit, if the group has one; see ``emits``."""
        program = self._structure.program
        for s in self.relation.places:
            new = self._structure.states[s][1]
            node = program.producers.get(new) if isinstance(new, Value) else None
            if is_emission(s) or (node is not None and node.primitive.name == "spike"):
                return s
        return None

    @property
    def activity(self) -> Vec:
        """What the units emit in this step, at the positions of the result; see ``emits``.

        Of units that do not spike, their states.
        """
        if any(p.wide for p in self.relation.places.values()):
            raise NotSupportedError(
                f"{self.name}: what a unit emits belongs to weights at its own position, and the "
                "scope or tail follows several\nuse scope='diagonal' or 'coupled' and "
                "tail='diagonal'"
            )
        return self._of_units(self.h)

    @property
    def unit_activity(self) -> Vec:
        """What the units emit, where signals arrive: once for all products and elements of one."""
        return self._of_units(self._met(1)).like(self.activity)

    def _of_units(self, values: Vec) -> Vec:
        one = self.emitted
        return values if one is None else Vec(lambda: {one: values.entries[one]})

    @property
    def is_readout(self) -> bool:
        """Whether the states neither spike nor meet a product of weights on their way to the loss.

        Such as those of a leaky integrator that is the output of a model.
        """
        s = self._structure
        loss = s.program.output("loss").value
        if self.emitted is not None:
            return False
        uses = [use for use in s.weights if s.dependence.leads(use.output, loss)]
        new = [s.states[n][1] for n in self.relation.states]
        data = [x for use in uses for i, x in enumerate(use.node.inputs) if i != use.operand]
        return not any(s.dependence.leads(v, x) for v in new for x in data)

    @property
    def relayed(self) -> bool:
        """Whether what the units emit reaches the loss through states of other groups only."""
        s, own = self._structure, self.relation.states
        ends = [s.states[n][1] for n in ([self.emitted] if self.emitted else own)]
        others = {v for n, (_, v) in s.states.items() if n not in own and isinstance(v, Value)}
        loss = s.program.output("loss").value
        return not any(s.dependence.leads_avoiding(v, loss, others) for v in ends)

    @property
    def _structure(self) -> Structure:
        assert self.structure is not None
        return self.structure

    @property
    def _step(self) -> StepNumbers:
        assert self.step is not None
        return self.step

    @property
    def group(self) -> HiddenGroup:
        """The group that the relation reaches."""
        return self.relation.group


def relation_view(
    rows: Rows, relation: HiddenParamOpRelation, numbers: StepNumbers | None = None
) -> RelationView:
    """Return the relation with its named arrays, which are made when they are first needed."""

    def tails() -> dict[str, Named]:
        found = {s: tail(rows, relation, s) for s in relation.places}
        return {s: x for s, x in found.items() if x is not None}

    def transition() -> dict[tuple[str, str], Named]:
        found = {
            (new, old): edge(rows, relation, new, old, how)
            for (new, old), how in relation.edges.items()
        }
        return {pair: x for pair, x in found.items() if x is not None}

    x = input_of(rows.builder, relation)
    return RelationView(
        relation.name, relation, x, Vec(tails), Mat(transition), relation.axes, numbers,
        rows.structure,
    )  # fmt: skip


def tail(rows: Rows, relation: HiddenParamOpRelation, state: str) -> Named | None:
    """Return dh'/dy of one state at the positions covered."""
    parts = [_tail_of(rows, relation, node, state) for node in relation.nodes]
    place, axes = relation.places[state], relation.axes
    letters = axes.y + (POSITION if place.wide else "")
    if all(x is None for x in parts):
        return None
    type = relation.y.type
    shape = (*type.shape, place.width) if place.wide else type.shape
    whole = [
        ops.full(rows.builder, shape, 0.0, type.dtype) if x is None else x for x in parts
    ]  # fmt: skip
    return named(side_by_side(whole), letters, axes.frame)


def _tail_of(rows: Rows, relation: HiddenParamOpRelation, node: Node, state: str) -> Tracer | None:
    """Return dh'/dy of one product: over the elements of ``y``, then over several positions."""
    place, y, influence = relation.places[state], node.output, rows.structure.influence
    all_wise = influence.wise(y, state) or not influence.leads(y, state)
    if not place.wide and (all_wise or not relation.coverage.total):
        return rows.row(state)[1].get(node)
    x = rows.full_row(state)[1].get(node)
    if x is None:
        return None
    n, m = place.size, y.type.size
    if place.index is None:
        whole = ops.reshape(x, (n, *y.type.shape))
        return ops.permute(whole, (*range(1, whole.ndim), 0))
    columns = np.arange(m).reshape(y.type.shape)
    columns = columns[..., None] if place.several else columns
    positions = relation.spread(place.index, several=place.several)
    index = np.where(positions == NONE, NONE, positions * m + columns)
    return take(ops.reshape(x, (n * m,)), index)


def edge(rows: Rows, relation: HiddenParamOpRelation, new: str, old: str, how: str) -> Named | None:
    """Return dh'/dh between two states at the positions covered."""
    after, before = relation.places[new], relation.places[old]
    axes = relation.axes
    if how in (WISE, BLOCK):
        x = rows.along(new, old, how)
        if x is None:
            return None
        flat = ops.reshape(x, (x.size,))
        if after.index is None:
            return named(flat, ALONG, axes.frame)
        letters = axes.at + (ALONG if after.several else "")
        return named(at_positions(x, after), letters, axes.frame)
    x = rows.full_row(new)[0].get(old)
    if x is None:
        return None
    n, m = after.size, before.size
    whole = ops.reshape(x, (n, m))
    y = axes.at
    if after.index is None and before.index is None:
        return named(whole, POSITION + BEFORE, axes.frame)
    if after.index is None:
        assert before.index is not None
        picked = take(ops.permute(whole, (1, 0)), before.index)
        return named(picked, y + (BEFORE if before.several else "") + POSITION, axes.frame)
    if before.index is None:
        picked = take(whole, after.index)
        return named(picked, y + (POSITION if after.several else "") + BEFORE, axes.frame)
    i = after.index[..., None] if before.several else after.index
    j = before.index[..., None, :] if after.several and before.several else before.index
    j = j[..., None] if after.several and not before.several else j
    index = np.where((i == NONE) | (j == NONE), NONE, i * m + j)
    letters = (POSITION if after.several else "") + (BEFORE if before.several else "")
    return named(take(ops.reshape(whole, (n * m,)), index), y + letters, axes.frame)


def input_of(builder: Builder, relation: HiddenParamOpRelation) -> Named | None:
    """Return the input of a weight product, or None for an element-wise weight."""
    inputs = [x for use in relation.uses if (x := use.input(builder)) is not None]
    if not inputs:
        return None
    return named(side_by_side(inputs), relation.axes.x, relation.axes.frame)


def side_by_side(arrays: Sequence[Tracer]) -> Tracer:
    """Return the arrays of several products along a first axis; a single one as it is."""
    if len(arrays) == 1:
        return arrays[0]
    return ops.concat([ops.reshape(x, (1, *x.shape)) for x in arrays], 0)


def apart(relation: HiddenParamOpRelation, x: Tracer) -> dict[Use, Tracer]:
    """Return the part of each product: the inverse of `side_by_side`."""
    if len(relation.uses) == 1:
        return {relation.use: x}
    rest, one = x.shape[1:], [1] * x.ndim
    parts = {}
    for k, use in enumerate(relation.uses):
        row = ops.slice_(x, (k, *[0] * len(rest)), (k + 1, *rest), one)
        parts[use] = ops.reshape(row, rest)
    return parts
