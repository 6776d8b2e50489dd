"""Groups of element-wise nodes of one shape that can run together."""

from __future__ import annotations

from collections.abc import Sequence

from etp_ir.core import Literal, Node, Value
from etp_ir.primitives.contract import parse_spec

from .contraction import classify
from .views import uniform_of


def fusible(node: Node) -> bool:
    """Whether every element of the result depends on one element of each operand."""
    name = node.primitive.name
    if name == "broadcast":
        return uniform_of(node) is None
    if name == "contract":
        classes = classify(parse_spec(node.attrs["spec"]))
        return not (classes.summed or classes.lone_x or classes.lone_y)
    return node.primitive.positions == "elementwise" and not node.regions


def regions(nodes: Sequence[Node]) -> list[list[int]]:
    """Return positions of fusible nodes grouped by shape, in order; no group waits for itself.

    Every node has a level: that of an operand which is fusible and of the same shape, one more
    than that of any other operand. A group is the fusible nodes of one shape and level. Levels
    never fall along an edge, so no path leaves a group and comes back.
    """
    level: dict[Value, int] = {}
    maker: dict[Value, Node] = {}
    groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for i, node in enumerate(nodes):
        together = fusible(node)
        at = 0
        for x in node.inputs:
            if isinstance(x, Literal) or x not in level:
                continue
            same = together and fusible(maker[x]) and _aligned(node, x)
            at = max(at, level[x] if same else level[x] + 1)
        for value in node.outputs:
            level[value], maker[value] = at, node
        if together:
            groups.setdefault((node.output.type.shape, at), []).append(i)
    return list(groups.values())


def _aligned(node: Node, x: Value) -> bool:
    """Whether a fusible node reads of an operand just the element that it computes."""
    if x.type.shape != node.output.type.shape:
        return False
    if node.primitive.name != "contract":
        return True
    spec = parse_spec(node.attrs["spec"])
    terms = zip(node.inputs, (spec.x, spec.y), strict=True)
    return all(term == spec.out for operand, term in terms if operand is x)
