"""Hidden groups, and the relations that tie weights to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from attrs import evolve, field, frozen

from etp_ir.core import Literal, Node, Operand, Program, Value, freeze

from ..rules.algebra import TIED
from .axes import Axes, axes_of, tie
from .coverage import Coverage, Edges, Place, closed_coverage, fold, hop_coverage, local_coverage
from .expose import expose
from .influence import Dependence, Influence, varying_values
from .names import is_emission
from .pattern import Pattern
from .positions import Cut, Known, Reach, Targets, known_values, reach
from .scope import Scope
from .uses import Use, uses_of

__all__ = [
    "Cut", "Dependence", "HiddenGroup", "HiddenParamOpRelation", "Structure", "Weight", "analyse",
    "find_hidden_groups", "find_hidden_param_op_relations",
]  # fmt: skip


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


@frozen(eq=False, slots=False)
class HiddenParamOpRelation:
    """One weight product whose influence on hidden states is followed.

    Attributes
    ----------
    name
        Name of the weight, with ``.2``, ``.3`` ... for products of the same weight elsewhere.
    uses
        Where the weight enters ``y = op(x, weight)``: one place, or several that act alike on the
        same positions, whose influence one trace holds.
    group
        The group reached; the first of them where influence is followed into several.
    coverage
        The positions of states on which its influence is kept, and how it moves between them.
    """

    name: str
    uses: tuple[Use, ...]
    group: HiddenGroup
    coverage: Coverage = field(repr=False)
    axes: Axes

    @property
    def use(self) -> Use:
        """The first use."""
        return self.uses[0]

    @property
    def node(self) -> Node:
        """The first eligibility-trace node."""
        return self.use.node

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The eligibility-trace nodes."""
        return tuple(use.node for use in self.uses)

    @cached_property
    def extents(self) -> dict[str, int]:
        """The extent of each letter."""
        use, form = self.use, self.use.form
        sizes = {TIED: len(self.uses), **dict(zip(form.y, self.y.type.shape, strict=True))}
        sizes.update(zip(form.w, use.weight.type.shape, strict=True))
        for join in form.joins.values():
            index = join.index
            shape = index.type.shape if isinstance(index, Value) else index.shape
            sizes.update(zip(join.letters, shape, strict=True))
        if use.input_type is not None and form.x is not None:
            sizes.update(zip(form.x, use.input_type.shape, strict=True))
        return sizes

    @property
    def at_shape(self) -> tuple[int, ...]:
        """Shape of an array over positions of states, as ``y`` meets them."""
        plain = self.use.form.y
        sizes = dict(zip(plain, self.y.type.shape, strict=True))
        return tuple(sizes[c] for c in self.axes.at)

    def spread(self, index: Targets, *, several: bool = False) -> Targets:
        """Return an index over positions, repeated over the folded axes of one ``y``."""
        plain = self.use.form.y
        missing = tuple(i for i, c in enumerate(plain) if c in self.axes.folded)
        shape = self.y.type.shape + (index.shape[-1:] if several else ())
        return np.broadcast_to(np.expand_dims(index, missing), shape)

    @property
    def y(self) -> Value:
        """Result of the product."""
        return self.node.output

    @property
    def places(self) -> dict[str, Place]:
        """Positions on which the influence is kept, by state."""
        return self.coverage.places

    @property
    def edges(self) -> Edges:
        """How influence moves from an old state to a new one, by (new, old)."""
        return self.coverage.edges

    @property
    def states(self) -> tuple[str, ...]:
        """States on which the influence is kept."""
        return tuple(self.places)


@frozen(eq=False)
class Weight:
    """What is trained where it enters a node: a parameter or an expression of parameters.

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


@frozen(eq=False, slots=False)
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
        Hidden groups, and weight products whose influence on them is followed.
    weights
        The weight of every operand that is trained through its mark.
    influence
        What leads where, and how.
    scope, tail
        How much is followed.
    known
        Values that are constants.
    """

    program: Program
    states: dict[str, tuple[Value, Operand]]
    reaches: dict[str, Reach]
    groups: tuple[HiddenGroup, ...]
    relations: tuple[HiddenParamOpRelation, ...]
    weights: dict[Use, Weight]
    influence: Influence
    scope: Scope
    tail: str
    known: Known = field(repr=False)

    @cached_property
    def pattern(self) -> Pattern:
        """Which positions of new states can be reached at all."""
        return Pattern(self.program, self.states, self.known)

    @cached_property
    def joints(self) -> set[tuple[Node, int]]:
        """Where the examples of a batch meet; no trace leads through."""
        return {(n, 0) for n in self.influence.meetings}

    @property
    def dependence(self) -> Dependence:
        """Which values depend on which."""
        return self.influence.dependence

    def of(self, group: HiddenGroup) -> tuple[HiddenParamOpRelation, ...]:
        """Return the relations whose influence on a group is followed."""
        return tuple(r for r in self.relations if any(s in r.places for s in group.states))

    def cuts(self, group: HiddenGroup) -> dict[tuple[Node, int], Cut]:
        """Return what is cut out of the transition of a group."""
        return {(cut.node, cut.operand): cut for s in group.states for cut in self.reaches[s].cuts}


def analyse(
    program: Program, constants: Mapping[str, Any] | None = None, *,
    scope: Scope | None = None, tail: str = "diagonal",
) -> Structure:  # fmt: skip
    """Return the structure of a traced step.

    Parameters
    ----------
    program
        One step for one example: inputs of roles ``param`` and ``state``, outputs
        ``state(path)`` and ``loss``.
    constants
        Arrays of its inputs of role ``const``, by name.
    scope, tail
        How much of the influence of weights on states is followed.
    """
    scope = scope or Scope()
    program = expose(program, plain=scope.closed)
    new = {port.role.of[0]: port.value for port in program.outputs_of("state")}
    states = {
        port.name: (port.value, new[port.name])
        for port in program.inputs_of("state")
        if port.name in new and port.type.dtype.is_float
    }
    dependence = Dependence(program)
    weights = _weights(program, dependence)
    known = known_values(program, constants or {})
    trained: dict[Node, set[int]] = {}
    for use in weights:
        trained.setdefault(use.node, set()).add(use.operand)
    reaches = {name: reach(program, after, trained, known) for name, (_, after) in states.items()}
    influence = Influence(program, states, reaches, dependence)
    groups = find_hidden_groups(influence)
    relations = find_hidden_param_op_relations(
        program, weights, groups, influence, scope=scope, tail=tail, known=known
    )
    return Structure(
        program, states, reaches, groups, relations, weights, influence, scope, tail, known
    )


def find_hidden_groups(influence: Influence) -> tuple[HiddenGroup, ...]:
    """Return the connected components of states under position-wise transitions."""
    graph = nx.Graph()
    graph.add_nodes_from(influence.states)
    graph.add_edges_from(
        (old, new)
        for new in influence.states
        for old in influence.states
        if influence.stays(new, old)
    )
    # What units emit has no past of its own: it belongs to the states that it enters in the step.
    graph.add_edges_from(
        (name, state)
        for name in influence.states if is_emission(name)
        for state in influence.states if influence.feeds(name, state)
    )  # fmt: skip
    order = {name: i for i, name in enumerate(influence.states)}
    components = sorted(
        (sorted(c, key=order.__getitem__) for c in nx.connected_components(graph)),
        key=lambda c: order[c[0]],
    )
    return tuple(HiddenGroup(tuple(c), influence.states[c[0]][0].type.shape) for c in components)


def find_hidden_param_op_relations(
    program: Program, weights: Mapping[Use, Weight], groups: tuple[HiddenGroup, ...],
    influence: Influence, *, scope: Scope, tail: str, known: Known,
) -> tuple[HiddenParamOpRelation, ...]:  # fmt: skip
    """Return the weight products whose influence is followed, in the order of the program."""
    home = {s: g for g in groups for s in g.states}
    follows = no_feedback(program, groups, influence) if scope.name == "layered" else _everything
    pattern = Pattern(program, influence.states, known) if scope.name == "sparse_n" else None

    def coverages(use: Use) -> Iterable[tuple[HiddenGroup, Coverage | None]]:
        if scope.local:
            for group in groups:
                yield group, local_coverage(use.output, group.states, influence, scope, tail)
            return
        if scope.name == "group":
            for group in groups:
                yield group, closed_coverage(use.output, influence, _everything, group.states)
            return
        if pattern is not None:
            found = hop_coverage(use, influence, pattern, scope.hops)
        else:
            found = closed_coverage(use.output, influence, follows)
        if found is not None:
            first = next(
                (s for s, p in found.places.items() if not p.wide), next(iter(found.places))
            )
            yield home[first], found

    alike: dict[Any, list[Use]] = {}
    found: dict[Any, tuple[HiddenGroup, Coverage, Axes]] = {}
    for use, weight in weights.items():
        for group, coverage in coverages(use):
            if coverage is None:
                continue
            axes = axes_of(use.form)
            folded, coverage = fold(axes, coverage)
            places = tuple(p.key for p in coverage.places.values())
            key = (weight.value, _operation(use), group, places, tuple(coverage.edges.items()),
                   folded)  # fmt: skip
            alike.setdefault(key, []).append(use)
            found.setdefault(key, (group, coverage, evolve(axes, folded=folded)))
    relations: list[HiddenParamOpRelation] = []
    numbers: dict[str, dict[Use, int]] = {}
    for key, uses in alike.items():
        name = weights[uses[0]].name
        number = numbers.setdefault(name, {})
        k = number.setdefault(uses[0], len(number) + 1)
        group, coverage, axes = found[key]
        if len(uses) > 1:
            axes = tie(axes)
        relations.append(HiddenParamOpRelation(
            name if k == 1 else f"{name}.{k}", tuple(uses), group, coverage, axes
        ))  # fmt: skip
    return tuple(relations)


def _operation(use: Use) -> Any:
    """Return what is equal for uses that differ in their inputs alone: letters, tables, extents."""
    node = use.node
    tables = tuple(x for x in node.inputs if not x.type.dtype.is_float)
    types = tuple(x.type for x in (*node.inputs, node.output))
    return node.primitive.name, use.operand, types, tables, freeze(node.attrs)


def _everything(new: str, old: str) -> bool:
    return True


def no_feedback(
    program: Program, groups: tuple[HiddenGroup, ...], influence: Influence
) -> Callable[[str, str], bool]:
    """Return the test for transitions that do not lead from a later group to an earlier one.

    Groups that act on each other are in the order in which the step computes them.
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(groups)))
    of = {s: k for k, g in enumerate(groups) for s in g.states}
    graph.add_edges_from(
        (of[old], of[new]) for new in of for old in of if influence.onward(new, old)
    )
    whole = {k: i for i, c in enumerate(nx.strongly_connected_components(graph)) for k in c}
    made = {v: i for i, node in enumerate(program.nodes) for v in node.outputs}

    def when(group: HiddenGroup) -> int:
        new = (influence.states[s][1] for s in group.states)
        return max((made.get(v, -1) for v in new if isinstance(v, Value)), default=-1)

    order = [when(g) for g in groups]

    def follows(new: str, old: str) -> bool:
        a, b = of[old], of[new]
        return whole[a] != whole[b] or order[a] <= order[b]

    return follows


def _weights(program: Program, dependence: Dependence) -> dict[Use, Weight]:
    """Return the weight of each trained operand that depends on parameters only."""
    params = {port.value: port.name for port in program.inputs_of("param")}
    varying = varying_values(program)
    found: dict[Use, Weight] = {}
    named: dict[Value, str] = {}
    taken = set(params.values())
    for use in (use for node in program.nodes for use in uses_of(node)):
        value = use.weight
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
        found[use] = Weight(named[value], value, inside)
    return found
