"""Which values depend on which, and which of the paths in between are position-wise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import networkx as nx

from etp_ir.core import Literal, Operand, Program, Value

from .names import is_emission
from .positions import Cut, Reach, stays
from .through import edges

States = Mapping[str, tuple[Value, Operand]]


class Dependence:
    """Which values depend on which, along paths that carry a derivative."""

    def __init__(self, program: Program) -> None:
        self.graph = nx.DiGraph()
        self.graph.add_nodes_from(port.value for port in program.inputs)
        for node in program.nodes:
            self.graph.add_nodes_from(node.outputs)
            self.graph.add_edges_from(edges(node))
        # Sets of values are bits of a number: one pass finds what every value depends on.
        self._bit: dict[Value, int] = {}
        self._before: dict[Value, int] = {}
        for k, value in enumerate(self.graph):
            self._bit[value] = self._before[value] = 1 << k
            for x in self.graph.pred[value]:
                self._before[value] |= self._before[x]

    def leads(self, start: Operand, end: Operand) -> bool:
        """Whether ``end`` depends on ``start``, as a value does on itself."""
        if isinstance(start, Literal) or isinstance(end, Literal):
            return False
        return bool(self._before[end] & self._bit[start])

    def leads_avoiding(self, start: Operand, end: Operand, avoid: set[Value]) -> bool:
        """Whether ``end`` depends on ``start`` along a path that meets none of ``avoid``."""
        if isinstance(start, Literal) or isinstance(end, Literal):
            return False
        if start in avoid:
            return False
        seen, stack = {start}, [start]
        while stack and end not in seen:
            fresh = [v for v in self.graph.adj[stack.pop()] if v not in seen]
            seen.update(fresh)
            stack += [v for v in fresh if v not in avoid]
        return end in seen


def varying_values(program: Program) -> set[Value]:
    """Return the values that depend on more than parameters and constants."""
    found = {p.value for p in program.inputs if p.role.kind not in ("param", "const")}
    for node in program.nodes:
        if any(isinstance(x, Value) and x in found for x in node.inputs):
            found.update(node.outputs)
    return found


class Influence:
    """Paths of one step from values to new states, and from old states to new ones.

    Attributes
    ----------
    live
        States that reach the loss of a later step.
    meetings
        Nodes in which the examples of a batch meet.
    """

    def __init__(
        self, program: Program, states: States, reaches: Mapping[str, Reach],
        dependence: Dependence,
    ) -> None:  # fmt: skip
        self.states, self.reaches, self.dependence = states, reaches, dependence
        self.meetings = tuple(n for n in program.nodes if n.primitive.across is not None)
        self.live = self._live(program.output("loss").value)

    def _live(self, loss: Operand) -> tuple[str, ...]:
        found = {
            n for n, (old, new) in self.states.items()
            if self.dependence.leads(old, loss)
            or (is_emission(n) and self.dependence.leads(new, loss))
        }  # fmt: skip
        while True:
            more = {
                n for n in self.states if n not in found and any(self.onward(m, n) for m in found)
            }
            if not more:
                return tuple(n for n in self.states if n in found)
            found |= more

    # -- within the step --------------------------------------------------------------------
    def leads(self, value: Value, state: str) -> bool:
        """Whether a new state depends on a value."""
        return self.dependence.leads(value, self.states[state][1])

    def reached(self, value: Operand) -> list[str]:
        """Return the live states whose new value depends on a value."""
        return [s for s in self.live if self.dependence.leads(value, self.states[s][1])]

    def cuts(self, value: Value, state: str) -> Iterator[Cut]:
        """Yield the cuts on paths from a value to a new state, in the order of the program."""
        for cut in self.reaches[state].cuts:
            if self.dependence.leads(value, cut.node.inputs[cut.operand]):
                yield cut

    def cut(self, value: Value, state: str) -> Cut | None:
        """Return a cut on a path from a value to a new state, if there is one."""
        return next(self.cuts(value, state), None)

    def joint(self, value: Value, state: str) -> Cut | None:
        """Return where a path from a value to a new state leads to other examples of the batch."""
        for node in self.meetings:
            if self.dependence.leads(value, node.inputs[0]) and self.leads(node.output, state):
                return Cut(node, 0, f"`{node.primitive.name}` joins the examples of a batch")
        return None

    def wise(self, value: Value, state: str) -> bool:
        """Whether all paths from a value to a new state are position-wise."""
        return value in self.reaches[state].targets and self.cut(value, state) is None

    def feeds(self, name: str, state: str) -> bool:
        """Whether position p of one new state reaches position p of another, where not cut."""
        value, after = self.states[name][1], self.states[state][1]
        if value not in self.reaches[state].targets or value.type.shape != after.type.shape:
            return False
        return stays(self.reaches[state].targets[value], after.type.size)

    # -- from step to step ------------------------------------------------------------------
    def onward(self, new: str, old: str) -> bool:
        """Whether the new value of one state depends on the old value of another."""
        return self.leads(self.states[old][0], new)

    def stays(self, new: str, old: str) -> bool:
        """Whether position p of an old state reaches position p of a new one, where not cut."""
        before, after = self.states[old][0], self.states[new][1]
        targets = self.reaches[new].targets.get(before)
        if targets is None or before.type.shape != after.type.shape:
            return False
        return stays(targets, after.type.size)

    def keeps_positions(self, new: str, old: str) -> bool:
        """Whether position p of an old state reaches position p of a new one and no other."""
        return self.stays(new, old) and self.cut(self.states[old][0], new) is None
