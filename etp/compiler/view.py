"""A relation as a learning rule sees it: named arrays of one step."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Value
from etp_ir.tracer import Tracer

from ..rules.algebra import ALONG, BEFORE, POSITION, Mat, Named, Vec
from .axes import Axes, axes_of
from .coverage import BLOCK, WISE
from .places import at_positions, take
from .positions import NONE
from .rows import Rows
from .structure import HiddenGroup, HiddenParamOpRelation


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


def relation_view(rows: Rows, relation: HiddenParamOpRelation) -> RelationView:
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

    x = input_of(rows.builder, relation.node)
    axes = axes_of(relation.node)
    return RelationView(relation.name, relation, x, Vec(tails), Mat(transition), axes)


def tail(rows: Rows, relation: HiddenParamOpRelation, state: str) -> Named | None:
    """Return dh'/dy of one state at the positions covered."""
    place, y = relation.places[state], relation.y
    axes = axes_of(relation.node)
    s = rows.structure
    exact = (
        s.scope.name == "diagonal" or s.influence.wise(y, state) or not s.influence.leads(y, state)
    )
    if not place.wide and exact:
        x = rows.row(state)[1].get(relation.node)
        return None if x is None else Named(x, axes.y, axes.universe)
    x = rows.full_row(state)[1].get(relation.node)
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


def edge(rows: Rows, relation: HiddenParamOpRelation, new: str, old: str, how: str) -> Named | None:
    """Return dh'/dh between two states at the positions covered."""
    after, before = relation.places[new], relation.places[old]
    axes = axes_of(relation.node)
    if how in (WISE, BLOCK):
        x = rows.along(new, old, how)
        if x is None:
            return None
        flat = ops.reshape(x, (x.size,))
        if after.index is None:
            return Named(flat, ALONG, axes.universe)
        letters = axes.y + (ALONG if after.several else "")
        return Named(at_positions(x, after, relation.y), letters, axes.universe)
    x = rows.full_row(new)[0].get(old)
    if x is None:
        return None
    n, m = after.size, before.size
    whole = ops.reshape(x, (n, m))
    y = axes.y
    if after.index is None and before.index is None:
        return Named(whole, POSITION + BEFORE, axes.universe)
    if after.index is None:
        assert before.index is not None
        picked = take(ops.permute(whole, (1, 0)), before.index)
        return Named(picked, y + (BEFORE if before.several else "") + POSITION, axes.universe)
    if before.index is None:
        picked = take(whole, after.index)
        return Named(picked, y + (POSITION if after.several else "") + BEFORE, axes.universe)
    i = after.index[..., None] if before.several else after.index
    j = before.index[..., None, :] if after.several and before.several else before.index
    j = j[..., None] if after.several and not before.several else j
    index = np.where((i == NONE) | (j == NONE), NONE, i * m + j)
    letters = (POSITION if after.several else "") + (BEFORE if before.several else "")
    return Named(take(ops.reshape(whole, (n * m,)), index), y + letters, axes.universe)


def input_of(builder: Builder, node: Node) -> Named | None:
    """Return the input of a weight product, or None for an element-wise weight."""
    axes = axes_of(node)
    others = [x for i, x in enumerate(node.inputs) if i != node.primitive.weight]
    if not others:
        return None
    assert isinstance(others[0], Value)
    return Named(Tracer(builder, others[0]), axes.x, axes.universe)
