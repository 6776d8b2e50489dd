"""What a block of nodes does to memory: which results are views, and when each root dies."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from etp_ir.core import Literal, Node, Program, Value

from .refs import Strides, row_major
from .views import uniform_of, view_of


@frozen(eq=False)
class Analysis:
    """Facts about the nodes of one program, taken in order.

    Attributes
    ----------
    strides
        Element strides of every value.
    views
        For a node that is a view, the expression over ``{x}``.
    uniform
        Values all of whose elements are one number.
    root
        For every value the value whose memory it shows; itself unless it is a view.
    defined
        Position of the node that computes a value; views, constants and inputs have none.
    last_use
        For every root the position of the last node that reads it; the number of nodes for
        roots of outputs.
    """

    strides: dict[Value, Strides] = field(factory=dict)
    views: dict[Node, str] = field(factory=dict)
    uniform: dict[Value, Literal] = field(factory=dict)
    root: dict[Value, Value] = field(factory=dict)
    defined: dict[Value, int] = field(factory=dict)
    last_use: dict[Value, int] = field(factory=dict)


def analyse(
    program: Program, strides: Mapping[Value, Strides], uniform: Mapping[Value, Literal]
) -> Analysis:
    """Return the facts, given the strides of inputs (row-major where missing)."""
    facts = Analysis()
    for port in program.inputs:
        value = port.value
        facts.strides[value] = strides.get(value, row_major(port.type.shape))
        facts.root[value] = value
        if value in uniform:
            facts.uniform[value] = uniform[value]
    for i, node in enumerate(program.nodes):
        for x in node.inputs:
            if isinstance(x, Value):
                facts.last_use[facts.root[x]] = i
        _classify(facts, i, node)
    for out in program.outputs:
        if isinstance(out.value, Value):
            facts.last_use[facts.root[out.value]] = len(program.nodes)
    return facts


def _classify(facts: Analysis, i: int, node: Node) -> None:
    filled = uniform_of(node)
    if filled is not None or not (node.inputs or node.regions):
        value = node.output
        facts.root[value] = value
        facts.strides[value] = row_major(value.type.shape) if filled is None else (
            (0,) * value.type.rank
        )  # fmt: skip
        if filled is not None:
            facts.uniform[value] = filled
        return
    first = node.inputs[0] if node.inputs else None
    view = view_of(node, facts.strides[first]) if isinstance(first, Value) else None
    if view is not None and isinstance(first, Value):
        value = node.output
        facts.views[node], facts.strides[value] = view
        facts.root[value] = facts.root[first]
        # A cast changes the element type of a literal, and a view of equal type does not.
        if first in facts.uniform:
            facts.uniform[value] = facts.uniform[first]
        return
    for value in node.outputs:
        facts.strides[value] = row_major(value.type.shape)
        facts.root[value] = value
        facts.defined[value] = i
