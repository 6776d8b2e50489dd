"""Paths in a traced step: what leads where, through which operations, and where a path is cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

import networkx as nx
from attrs import define

from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.source import Source

from .influence import varying_values
from .positions import Cut
from .structure import HiddenGroup, Structure
from .uses import Use, uses_of


@define(slots=False, eq=False)
class Paths:
    """Questions about the paths of a structure, each answered once."""

    structure: Structure

    @property
    def program(self) -> Program:
        """The traced step with its loss."""
        return self.structure.program

    @cached_property
    def params(self) -> dict[str, Value]:
        """Parameters by dotted path."""
        return {p.name: p.value for p in self.program.inputs_of("param")}

    @cached_property
    def loss(self) -> Operand:
        """The loss of the step."""
        return self.program.output("loss").value

    @cached_property
    def group_of(self) -> dict[str, HiddenGroup]:
        """The hidden group of each state."""
        return {state: group for group in self.structure.groups for state in group.states}

    def old(self, state: str) -> Value:
        """Return the value of a state that enters the step."""
        return self.structure.states[state][0]

    def new(self, state: str) -> Operand:
        """Return the value of a state that leaves the step."""
        return self.structure.states[state][1]

    def leads(self, start: Operand, end: Operand) -> bool:
        """Whether a path that carries a derivative leads from one value to another."""
        return self.structure.dependence.leads(start, end)

    @cached_property
    def live(self) -> set[str]:
        """States through which something reaches the loss of a later step."""
        return set(self.structure.influence.live)

    def reached(self, value: Operand) -> list[str]:
        """Return the live states that a value reaches within the step."""
        return self.structure.influence.reached(value)

    @cached_property
    def varying(self) -> set[Value]:
        """Values that depend on more than parameters and constants."""
        return varying_values(self.program)

    @cached_property
    def everything(self) -> nx.DiGraph:
        """Which values depend on which, whether or not a derivative flows."""
        graph = nx.DiGraph()
        graph.add_nodes_from(p.value for p in self.program.inputs)
        for node in self.program.nodes:
            for y in node.outputs:
                graph.add_node(y)
                graph.add_edges_from((x, y) for x in node.inputs if isinstance(x, Value))
        return graph

    # -- weight products --------------------------------------------------------------------
    @cached_property
    def marked(self) -> tuple[Use, ...]:
        """All trained operands of the step, regions apart."""
        return tuple(use for n in self.program.nodes for use in uses_of(n))

    def products_of(self, parameter: str) -> list[Use]:
        """Return the products that are trained on a parameter."""
        return [use for use, w in self.structure.weights.items() if parameter in w.params]

    def states_of(self, parameter: str) -> list[str]:
        """Return the states on which the influence of a parameter is kept in traces."""
        uses = set(self.products_of(parameter))
        found = (s for r in self.structure.relations if uses.intersection(r.uses) for s in r.places)
        return list(dict.fromkeys(found))

    def title(self, node: Node) -> str:
        """Return the name of an operation, quoted, with its weight where it has one."""
        names = [w.name for use, w in self.structure.weights.items() if use.node is node]
        return f"`{node.primitive.name}`" + (f" with {' and '.join(names)}" if names else "")

    # -- cuts -------------------------------------------------------------------------------
    def cuts_after(self, start: Value, state: str) -> Iterator[Cut]:
        """Return the cuts on paths from a value to a new state, in the order of the program."""
        return self.structure.influence.cuts(start, state)

    def spread(self, start: Value, stops: Collection[Value]) -> set[Value]:
        """Return the values that depend on one along paths that end where they meet a stop."""
        after = self.structure.dependence.graph.adj
        found, stack = {start}, [start]
        while stack:
            for value in after[stack.pop()]:
                if value not in found:
                    found.add(value)
                    if value not in stops:
                        stack.append(value)
        return found

    # -- chains of operations ---------------------------------------------------------------
    def chain(
        self, start: Value, end: Operand, *, avoid: Collection[Value] = (),
        cuts: Iterable[Cut] = (), every: bool = False,
    ) -> list[Node] | None:  # fmt: skip
        """Return the operations on a shortest path, or None where there is no path.

        Parameters
        ----------
        avoid
            Values that the path must not meet; its ends may be among them.
        cuts
            Operands that the path must not go through.
        every
            Follow paths that carry no derivative too.
        """
        if isinstance(end, Literal) or start is end:
            return None if isinstance(end, Literal) else []
        graph = self.everything if every else self.structure.dependence.graph
        closed = {(x, y) for cut in cuts for y in cut.node.outputs
                  if isinstance(x := cut.node.inputs[cut.operand], Value)}  # fmt: skip
        view = nx.restricted_view(graph, set(avoid) - {start, end}, closed)
        try:
            values = nx.shortest_path(view, start, end)
        except nx.NetworkXNoPath:
            return None
        return [self.program.producers[v] for v in values[1:]]


def first_source(nodes: Iterable[Node]) -> Source | None:
    """Return the first source among nodes."""
    return next((n.source for n in nodes if n.source), None)


def brief(source: Source | None) -> str:
    """Return ``file:line`` without the folder, or nothing."""
    return f"{source.file.rsplit('/', 1)[-1]}:{source.line}" if source else ""


def quoted(node: Node) -> str:
    """Return the name of an operation, quoted."""
    return f"`{node.primitive.name}`"
