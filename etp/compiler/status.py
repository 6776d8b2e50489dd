"""What each parameter's gradient is: exact, approximate, direct-only, or unreachable; and why.

Decided from the graph alone. A gradient is called exact only where every path through time that
carries a derivative is followed by the rule.
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

# Returns the relations whose traces are the influence, although the rule writes them otherwise.
Coinciding = Callable[[], Collection[HiddenParamOpRelation]]
FOLLOWED = "every path through time is followed"
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
    coinciding: Callable[[], Collection[HiddenParamOpRelation]] = frozenset,
) -> dict[str, Status]:  # fmt: skip
    """Return the status of every parameter by dotted path.

    Parameters
    ----------
    truncated
        Steps after which a rule that keeps nothing forgets, because weights change there.
    coinciding
        Returns the relations whose traces are the influence, although the rule writes them
        otherwise; called only where that matters.
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
        if not temporal:
            return Status(EXACT, "it acts within the step; its direct gradient is all there is")
        if self.truncated is not None:
            steps = f"{self.truncated} steps" if self.truncated > 1 else "one step"
            return Status(APPROXIMATE, f"truncated: what lies before the last update is forgotten "
                                       f"({steps})")  # fmt: skip
        if not isinstance(self.rule, OnlineRule):
            return Status(EXACT, FOLLOWED)
        if self.window == 0 and not self.rule.signal.symmetric:
            return Status(APPROXIMATE, self.rule.signal.why)
        if isinstance(self.rule, StepRule):
            return self._whole(value)
        verdicts = [self._product(use) for use in products]
        plain = self._plain(value, products)
        if plain is not None:
            verdicts.append(plain)
        followed = [v for v in verdicts if v.status != DIRECT]
        if not followed:
            return verdicts[0]
        worst = next((v for v in verdicts if v.status not in (EXACT, UNBIASED)), verdicts[0])
        if worst.status == EXACT:
            return Status(UNBIASED, IN_THE_MEAN) if self.rule.unbiased else worst
        return Status(APPROXIMATE, worst.reason)

    def _whole(self, value: Value) -> Status:
        """Return the verdict of a rule that follows all states and parameters at once."""
        if self.rule.approximation:
            return Status(APPROXIMATE, self.rule.approximation)
        for name in self.influence.reached(value):
            joint = self.influence.joint(value, name)
            if joint is not None:
                return Status(APPROXIMATE, f"a path to {name} through {told(joint)} {OTHERS}")
        return Status(UNBIASED, IN_THE_MEAN) if self.rule.unbiased else Status(EXACT, FOLLOWED)

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
        rule = self.rule
        why = rule.approximation
        if why is None and isinstance(rule, TraceRule) and not rule.unbiased:
            departs = any(self._departs(rule, r) for r in related)
            why = f"{rule.name} {ALTERED}" if departs else None
        if why is not None and not all(r in self._coinciding() for r in related):
            return Status(APPROXIMATE, why)
        lost = what_is_lost(self.s, use)
        if lost is not None:
            return Status(APPROXIMATE, lost)
        if all(p.everywhere or not p.wide for r in related for p in r.places.values()) and any(
            p.everywhere for r in related for p in r.places.values()
        ):
            return Status(EXACT, FOLLOWED)
        return Status(EXACT, "every path through time is position-wise")

    def _departs(self, rule: TraceRule, relation: HiddenParamOpRelation) -> bool:
        found = recurrence(rule, self.pieces.view(relation))
        return found is None or not found.is_influence
