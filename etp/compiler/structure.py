"""Hidden groups, and the relations that tie weights to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import networkx as nx
import numpy as np
from attrs import field, frozen

from etp_ir.core import Literal, Node, Operand, Program, Value

from .positions import NONE, Cut, Reach, Targets, reach


@frozen
class HiddenGroup:
    """Hidden states joined by position-wise transitions.

    Attributes
    ----------
    states
        Dotted paths of the states, in the order of the model.
    shape
        Their common shape; one position has ``len(states)`` numbers.
    """

    states: tuple[str, ...]
    shape: tuple[int, ...]


@frozen(eq=False)
class HiddenParamOpRelation:
    """One weight product whose result reaches a hidden group position by position.

    Attributes
    ----------
    name
        Name of the weight, with ``.2``, ``.3`` ... for further products of the same weight.
    node
        The eligibility-trace node ``y = op(x, weight)``.
    group
        The group reached.
    index
        For each element of ``y`` the row-major position of the group it reaches, or -1.
    """

    name: str
    node: Node
    group: HiddenGroup
    index: Targets = field(repr=False)

    @property
    def y(self) -> Value:
        """Result of the product."""
        return self.node.output

    @property
    def aligned(self) -> bool:
        """Whether element q of ``y`` reaches position q of the group."""
        return self.y.type.shape == self.group.shape and bool(
            np.array_equal(self.index.ravel(), np.arange(self.index.size))
        )


@frozen(eq=False)
class Weight:
    """What an eligibility-trace node is trained on: a parameter or an expression of parameters.

    Attributes
    ----------
    name
        Dotted path of the parameter, or a name derived from the parameters involved.
    value
        The value in the program.
    params
        Dotted paths of the parameters it depends on.
    """

    name: str
    value: Value
    params: tuple[str, ...]


@frozen(eq=False)
class Structure:
    """All a learning rule needs to know about one step of a model.

    Attributes
    ----------
    program
        The traced step with its loss.
    states
        Old value and new value of every hidden state by dotted path.
    reaches
        For each state, what reaches its new value position by position.
    groups, relations
        Hidden groups, and weight products that reach them.
    weights
        The weight of every eligibility-trace node that is trained through its mark.
    """

    program: Program
    states: dict[str, tuple[Value, Operand]]
    reaches: dict[str, Reach]
    groups: tuple[HiddenGroup, ...]
    relations: tuple[HiddenParamOpRelation, ...]
    weights: dict[Node, Weight]
    dependence: Dependence

    def of(self, group: HiddenGroup) -> tuple[HiddenParamOpRelation, ...]:
        """Return the relations that reach a group."""
        return tuple(r for r in self.relations if r.group is group)

    def cuts(self, group: HiddenGroup) -> dict[tuple[Node, int], Cut]:
        """Return what is cut out of the transition of a group."""
        return {(cut.node, cut.operand): cut for s in group.states for cut in self.reaches[s].cuts}


class Dependence:
    """Which values depend on which, along paths that carry a derivative."""

    def __init__(self, program: Program) -> None:
        self.graph = nx.DiGraph()
        self.graph.add_nodes_from(port.value for port in program.inputs)
        for node in program.nodes:
            for value in node.outputs:
                self.graph.add_node(value)
                if node.primitive.jvp is None:
                    continue
                for x in node.inputs:
                    if isinstance(x, Value) and x.type.dtype.is_float:
                        self.graph.add_edge(x, value)
        self._after: dict[Value, set[Value]] = {}

    def after(self, value: Value) -> set[Value]:
        """Return the values that depend on ``value``, itself included."""
        if value not in self._after:
            self._after[value] = nx.descendants(self.graph, value) | {value}
        return self._after[value]

    def leads(self, start: Operand, end: Operand) -> bool:
        """Whether ``end`` depends on ``start``."""
        if isinstance(start, Literal) or isinstance(end, Literal):
            return False
        return end in self.after(start)

    def leads_avoiding(self, start: Operand, end: Operand, avoid: set[Value]) -> bool:
        """Whether ``end`` depends on ``start`` along a path that meets none of ``avoid``."""
        if isinstance(start, Literal) or isinstance(end, Literal):
            return False
        if start in avoid:
            return False
        return nx.has_path(nx.restricted_view(self.graph, avoid - {end}, []), start, end)


def analyse(program: Program) -> Structure:
    """Return the structure of a traced step.

    Parameters
    ----------
    program
        One step for one example: inputs of roles ``param`` and ``state``, outputs
        ``state(path)``.
    """
    new = {port.role.of[0]: port.value for port in program.outputs_of("state")}
    states = {
        port.name: (port.value, new[port.name])
        for port in program.inputs_of("state")
        if port.name in new and port.type.dtype.is_float
    }
    reaches = {name: reach(program, after) for name, (_, after) in states.items()}
    groups = find_hidden_groups(states, reaches)
    dependence = Dependence(program)
    weights = _weights(program, dependence)
    relations = find_hidden_param_op_relations(weights, groups, reaches)
    return Structure(program, states, reaches, groups, relations, weights, dependence)


def find_hidden_groups(
    states: dict[str, tuple[Value, Operand]], reaches: dict[str, Reach]
) -> tuple[HiddenGroup, ...]:
    """Return the connected components of states under position-wise transitions."""
    graph = nx.Graph()
    graph.add_nodes_from(states)
    for name, (_, after) in states.items():
        for other, (before, _) in states.items():
            if before.type.shape == after.type.shape and stays(reaches[name], before):
                graph.add_edge(other, name)
    order = {name: i for i, name in enumerate(states)}
    components = sorted(
        (sorted(c, key=order.__getitem__) for c in nx.connected_components(graph)),
        key=lambda c: order[c[0]],
    )
    return tuple(HiddenGroup(tuple(c), states[c[0]][0].type.shape) for c in components)


def stays(reached: Reach, old: Value) -> bool:
    """Whether position p of an old state reaches position p of the new one, or nothing."""
    targets = reached.targets.get(old)
    if targets is None:
        return False
    flat = targets.ravel()
    return bool(((flat == NONE) | (flat == np.arange(flat.size))).all())


def find_hidden_param_op_relations(
    weights: dict[Node, Weight], groups: Sequence[HiddenGroup], reaches: dict[str, Reach]
) -> tuple[HiddenParamOpRelation, ...]:
    """Return the weight products whose result reaches a group, in the order of the program."""
    relations: list[HiddenParamOpRelation] = []
    uses: dict[str, int] = {}
    for node, weight in weights.items():
        uses[weight.name] = uses.get(weight.name, 0) + 1
        name = weight.name if uses[weight.name] == 1 else f"{weight.name}.{uses[weight.name]}"
        for group in groups:
            found = [reaches[s].targets.get(node.output) for s in group.states]
            index = _agree(t for t in found if t is not None)
            if index is not None:
                relations.append(HiddenParamOpRelation(name, node, group, index))
    return tuple(relations)


def _agree(found: Iterable[Targets]) -> Targets | None:
    """Return the union of targets, or None where there are none or they contradict."""
    index: Targets | None = None
    for targets in found:
        if index is None:
            index = targets.copy()
            continue
        clash = (index != NONE) & (targets != NONE) & (index != targets)
        if clash.any():
            return None
        index = np.where(index == NONE, targets, index)
    return index


def _weights(program: Program, dependence: Dependence) -> dict[Node, Weight]:
    """Return the weight of each eligibility-trace node whose weight depends on parameters only."""
    params = {port.value: port.name for port in program.inputs_of("param")}
    varying: set[Value] = set()
    for port in program.inputs:
        if port.role.kind not in ("param", "const"):
            varying.add(port.value)
    for node in program.nodes:
        if any(isinstance(x, Value) and x in varying for x in node.inputs):
            varying.update(node.outputs)
    found: dict[Node, Weight] = {}
    named: dict[Value, str] = {}
    taken = set(params.values())
    for node in program.nodes:
        if not node.primitive.is_etp:
            continue
        value = node.inputs[node.primitive.weight or 0]
        if isinstance(value, Literal) or value in varying:
            continue
        inside = tuple(n for v, n in params.items() if dependence.leads(v, value))
        if not inside:
            continue
        if value not in named:
            name = params.get(value) or "_".join(inside) + ".expr"
            base, k = name, 1
            while value not in params and name in taken:
                k += 1
                name = f"{base}.{k}"
            taken.add(name)
            named[value] = name
            if not value.hint:  # the program shows what its gradients refer to
                object.__setattr__(value, "hint", name)
        found[node] = Weight(named[value], value, inside)
    return found
