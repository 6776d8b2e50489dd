"""What each parameter's gradient is: exact, approximate, direct-only, or unreachable; and why.

Decided from the graph alone. A gradient is called exact only where every path through time that
carries a derivative is followed by the rule.
"""

from __future__ import annotations

from attrs import frozen

from etp_ir.core import Literal, Node, Operand, Value

from ..rules.base import LearningRule, LinearTraceRule
from .pieces import Pieces
from .positions import Cut
from .structure import HiddenGroup, Structure, stays

EXACT, APPROXIMATE, DIRECT, UNREACHABLE = "exact", "approximate", "direct-only", "unreachable"


@frozen
class Status:
    """The status of one parameter's gradient, and the reason in words."""

    status: str
    reason: str


def statuses(
    structure: Structure, rule: LearningRule, window: int, truncated: int | None = None
) -> dict[str, Status]:
    """Return the status of every parameter by dotted path.

    Parameters
    ----------
    truncated
        Steps after which a rule that keeps nothing forgets, because weights change there.
    """
    judge = _Judge(structure, rule, window, truncated)
    return {
        port.name: judge.parameter(port.name, port.value)
        for port in structure.program.inputs_of("param")
    }


class _Judge:
    def __init__(
        self, structure: Structure, rule: LearningRule, window: int, truncated: int | None
    ) -> None:
        self.s, self.rule, self.window, self.truncated = structure, rule, window, truncated
        self.loss: Operand = structure.program.output("loss").value
        self.leads = structure.dependence.leads
        self.live = self._live()
        self.groups = {state: g for g in structure.groups for state in g.states}
        self.pieces = Pieces(structure, "status")

    def _live(self) -> set[str]:
        """Return the states that reach the loss of a later step."""
        s = self.s
        found = {n for n, (old, _) in s.states.items() if self.leads(old, self.loss)}
        while True:
            more = {
                n for n, (old, _) in s.states.items() if n not in found
                and any(self.leads(old, s.states[m][1]) for m in found)
            }  # fmt: skip
            if not more:
                return found
            found |= more

    # -- one parameter ----------------------------------------------------------------------
    def parameter(self, name: str, value: Value) -> Status:
        products = [n for n, w in self.s.weights.items() if name in w.params]
        temporal = self._reached(value)
        if not temporal and not self.leads(value, self.loss):
            return Status(UNREACHABLE, "no path leads from it to the loss")
        if not temporal:
            return Status(EXACT, "it acts within the step; its direct gradient is all there is")
        if self.rule.follows == "all" and self.truncated is not None:
            steps = f"{self.truncated} steps" if self.truncated > 1 else "one step"
            return Status(APPROXIMATE, f"truncated: what lies before the last update is forgotten "
                                       f"({steps})")  # fmt: skip
        if self.rule.follows == "all":
            return Status(EXACT, "every path through time is followed")
        verdicts = [self._product(node) for node in products]
        plain = self._plain(value, products)
        if plain is not None:
            verdicts.append(plain)
        followed = [v for v in verdicts if v.status != DIRECT]
        if not followed:
            return verdicts[0]
        worst = next((v for v in verdicts if v.status != EXACT), verdicts[0])
        return worst if worst.status == EXACT else Status(APPROXIMATE, worst.reason)

    def _reached(self, value: Value) -> list[str]:
        """Return the live states that a value reaches within the step."""
        return [
            n for n, (_, new) in self.s.states.items() if n in self.live and self.leads(value, new)
        ]

    def _plain(self, value: Value, products: list[Node]) -> Status | None:
        """Return a verdict on uses outside weight products, or None if none reaches a state."""
        avoid = {n.output for n in products}
        for name in self._reached(value):
            new = self.s.states[name][1]
            if self.s.dependence.leads_avoiding(value, new, avoid):
                return Status(DIRECT, f"an operation that is no weight product takes it to {name}, "
                                      "so only the gradient of each step is followed")  # fmt: skip
        return None

    def _product(self, node: Node) -> Status:
        """Return the verdict on one weight product."""
        y = node.output
        reached = self._reached(y)
        if not reached:
            return Status(EXACT, "it acts within the step; its direct gradient is all there is")
        related = [r for r in self.s.relations if r.node is node]
        if not related:
            cut = self._cut_after(y, reached[0])
            return Status(DIRECT, f"it reaches {reached[0]} only through {_told(cut)}")
        if self.rule.approximation:
            return Status(APPROXIMATE, self.rule.approximation)
        rule = self.rule
        if isinstance(rule, LinearTraceRule) and any(
            rule.departs(self.pieces.view(r)) for r in related
        ):
            return Status(APPROXIMATE, f"{rule.name} replaces the transition or the source")
        for name in reached:
            cut = self._cut_after(y, name)
            if cut is not None:
                return Status(APPROXIMATE, f"a path to {name} through {_told(cut)} is not followed")
            if y not in self.s.reaches[name].targets or not any(
                name in r.group.states for r in related
            ):
                return Status(APPROXIMATE, f"its path to {name} is not position-wise")
        return self._onward(reached)

    def _onward(self, start: list[str]) -> Status:
        """Return whether what happens to states after they are reached is followed exactly."""
        seen, stack = set(start), list(start)
        while stack:
            name = stack.pop(0)
            old = self.s.states[name][0]
            for other, (_, new) in self.s.states.items():
                if other not in self.live or not self.leads(old, new):
                    continue
                cut = self._cut_after(old, other)
                if cut is not None:
                    return Status(APPROXIMATE, f"the path {name} -> {other} through {_told(cut)} "
                                               "is not followed in time")  # fmt: skip
                if self.groups[name] is not self.groups[other] or not stays(
                    self.s.reaches[other], old
                ):
                    return Status(APPROXIMATE, f"the path {name} -> {other} joins no hidden group")
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
            lost = self._lost_to_loss(old, self.groups[name])
            if lost is not None:
                return Status(APPROXIMATE, f"the path {name} -> loss through {_told(lost)} is not "
                                           "followed with window 0")  # fmt: skip
        return Status(EXACT, "every path through time is position-wise")

    def _cut_after(self, start: Value, state: str) -> Cut | None:
        """Return a cut on a path from a value to a new state, if there is one."""
        for cut in self.s.reaches[state].cuts:
            x = cut.node.inputs[cut.operand]
            if not isinstance(x, Literal) and self.leads(start, x):
                return cut
        return None

    def _lost_to_loss(self, old: Value, group: HiddenGroup) -> Cut | None:
        if self.window > 0:
            return None
        for cut in self.s.cuts(group).values():
            x = cut.node.inputs[cut.operand]
            if isinstance(x, Literal):
                continue
            if self.leads(old, x) and self.leads(cut.node.outputs[0], self.loss):
                return cut
        return None


def _told(cut: Cut | None) -> str:
    if cut is None:
        return "a path that is not position-wise"
    place = (
        f" ({cut.node.source.file.rsplit('/', 1)[-1]}:{cut.node.source.line})"
        if cut.node.source
        else ""
    )
    return f"`{cut.node.primitive.name}`{place}"
