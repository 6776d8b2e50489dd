"""What each parameter's gradient is: exact, approximate, direct-only, or unreachable; and why.

Whether every path through time that carries a derivative is followed is decided from the graph
alone. Whether a rule gives what following them gives is seen in its form, or found by numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import frozen

from etp_ir.core import Operand, Value

from ..rules.base import LearningRule, OnlineRule, StepRule, TraceRule
from ..rules.linear import recurrence
from .losses import OTHERS, told, what_is_lost
from .pieces import Pieces
from .structure import HiddenParamOpRelation, Structure
from .uses import Use

# Returns the parameters whose gradient is that of the influence, however the rule is written; None
# where that was not tried.
Coinciding = Callable[[], Collection[str] | None]
# What is known by numbers is not told like what is known from the graph.
MET = "at all points tried the rule gives the gradient of the influence, and "
FOLLOWED = "every path through time is followed"
UNTRIED = " (the model is too large to try whether that changes its gradient)"
ALTERED = "replaces the transition or the source"
EXACT, APPROXIMATE, DIRECT, UNREACHABLE = "exact", "approximate", "direct-only", "unreachable"
UNBIASED = "unbiased"
# Statuses of gradients that leave out nothing.
LOSSLESS = (EXACT, UNBIASED, UNREACHABLE)
IN_THE_MEAN = "every path through time is followed, in the mean over the rule's random numbers"


@frozen
class Status:
    """The status of one parameter's gradient, and the reason in words."""

    status: str
    reason: str


def statuses(
    structure: Structure, rule: LearningRule, window: int, truncated: int | None = None,
    coinciding: Coinciding = frozenset,
) -> dict[str, Status]:  # fmt: skip
    """Return the status of every parameter by dotted path.

    Parameters
    ----------
    truncated
        Steps after which a rule that keeps nothing forgets, because weights change there.
    coinciding
        Returns the parameters whose gradient is that of the influence within the scope, however
        the rule is written; called only where that matters.
    """
    judge = _Judge(structure, rule, window, truncated, coinciding)
    return {
        port.name: judge.parameter(port.name, port.value)
        for port in structure.program.inputs_of("param")
    }


class _Judge:
    def __init__(
        self, structure: Structure, rule: LearningRule, window: int, truncated: int | None,
        coinciding: Coinciding,
    ) -> None:  # fmt: skip
        self.s, self.rule, self.window, self.truncated = structure, rule, window, truncated
        self._coinciding = coinciding
        self.loss: Operand = structure.program.output("loss").value
        self.leads = structure.dependence.leads
        self.influence = structure.influence
        self.pieces = Pieces(structure, "status")

    # -- one parameter ----------------------------------------------------------------------
    def parameter(self, name: str, value: Value) -> Status:
        products = [use for use, w in self.s.weights.items() if name in w.params]
        temporal = self.influence.reached(value)
        if not temporal and not self.leads(value, self.loss):
            return Status(UNREACHABLE, "no path leads from it to the loss")
        if self.rule.reward is not None:
            return Status(APPROXIMATE, "gradients are kept until a modulator releases them")
        if not temporal:
            return Status(EXACT, "it acts within the step; its direct gradient is all there is")
        if self.truncated is not None:
            steps = f"{self.truncated} steps" if self.truncated > 1 else "one step"
            return Status(APPROXIMATE, f"truncated: what lies before the last update is forgotten "
                                       f"({steps})")  # fmt: skip
        if not isinstance(self.rule, OnlineRule):
            return Status(EXACT, FOLLOWED)
        whole = isinstance(self.rule, StepRule) and self.s.scope.name == "full"
        found = self._whole(value) if whole else self._traced(value, products)
        if found.status == DIRECT:
            return found
        why = self._otherwise(products)
        if why is None and not self.rule.unbiased:
            return found
        same = self._coinciding()
        if same is not None and name in same:
            return Status(found.status, MET + found.reason) if found.status == EXACT else found
        if why is None and found.status == EXACT:
            return Status(UNBIASED, IN_THE_MEAN)
        return Status(APPROXIMATE, (why or found.reason) + (UNTRIED if same is None else ""))

    # -- what is followed within the scope --------------------------------------------------
    def _traced(self, value: Value, products: list[Use]) -> Status:
        """Return the verdict of traces of all relations that are the influence."""
        verdicts = [self._product(use) for use in products]
        plain = self._plain(value, products)
        if plain is not None:
            verdicts.append(plain)
        if all(v.status == DIRECT for v in verdicts):
            return verdicts[0]
        worst = next((v for v in verdicts if v.status != EXACT), None)
        return verdicts[0] if worst is None else Status(APPROXIMATE, worst.reason)

    def _whole(self, value: Value) -> Status:
        """Return the verdict of the influence of all parameters on all states."""
        for name in self.influence.reached(value):
            joint = self.influence.joint(value, name)
            if joint is not None:
                return Status(APPROXIMATE, f"a path to {name} through {told(joint)} {OTHERS}")
        return Status(EXACT, FOLLOWED)

    def _plain(self, value: Value, products: list[Use]) -> Status | None:
        """Return a verdict on uses outside weight products, or None if none reaches a state."""
        avoid = {use.output for use in products}
        for name in self.influence.reached(value):
            new = self.s.states[name][1]
            if self.s.dependence.leads_avoiding(value, new, avoid):
                return Status(DIRECT, f"an operation that is no weight product takes it to {name}, "
                                      "so only the gradient of each step is followed")  # fmt: skip
        return None

    def _product(self, use: Use) -> Status:
        """Return the verdict on one weight product."""
        y = use.output
        reached = self.influence.reached(y)
        if not reached:
            return Status(EXACT, "it acts within the step; its direct gradient is all there is")
        related = [r for r in self.s.relations if use in r.uses]
        if not related:
            cut = self.influence.cut(y, reached[0])
            return Status(DIRECT, f"it reaches {reached[0]} only through {told(cut)}")
        lost = what_is_lost(self.s, use)
        if lost is not None:
            return Status(APPROXIMATE, lost)
        if all(p.everywhere or not p.wide for r in related for p in r.places.values()) and any(
            p.everywhere for r in related for p in r.places.values()
        ):
            return Status(EXACT, FOLLOWED)
        return Status(EXACT, "every path through time is position-wise")

    # -- what the rule does in its place ----------------------------------------------------
    def _otherwise(self, products: list[Use]) -> str | None:
        """Return what the rule is written to do in place of reading the influence, or None."""
        rule = self.rule
        if self.window == 0 and not rule.signal.symmetric:
            return rule.signal.why
        if rule.approximation or rule.unbiased or not isinstance(rule, TraceRule):
            return rule.approximation
        related = [r for r in self.s.relations if any(use in r.uses for use in products)]
        departs = any(self._departs(rule, r) for r in related)
        return f"{rule.name} {ALTERED}" if departs else None

    def _departs(self, rule: TraceRule, relation: HiddenParamOpRelation) -> bool:
        found = recurrence(rule, self.pieces.view(relation))
        return found is None or not found.is_influence
