"""What a learning rule is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from etp_ir.errors import ETPError, nearest
from etp_ir.tracer import Tracer

from .algebra import Mat, Named, Vec

if TYPE_CHECKING:
    from ..compiler.view import RelationView

Traces = Mapping[str, Vec | Named]


@frozen
class Slot:
    """An array that a rule keeps for each relation.

    Attributes
    ----------
    axes
        Letters of its axes: those of ``rel.axes``.
    per_state
        One array for each state of the group, or a single one.
    """

    axes: str
    per_state: bool = True


@frozen(eq=False)
class Linear:
    """A trace that is a linear recurrence: ``eps' = decay @ eps + source``.

    The source is ``u`` times ``x``, and neither may depend on the trace. Every schedule is
    derived from this declaration.
    """

    decay: Mat
    u: Vec
    x: Named | None

    def source(self, axes: str) -> Vec:
        """Return ``u`` times the input of the product, over the letters of a trace."""
        return self.u.outer(self.x, axes)


class LearningRule(ABC):
    """Base of all learning rules. Concrete rules are final: one class in one file.

    A rule is written for one example and one relation, without a batch axis and without
    reference to an array library.

    Attributes
    ----------
    name
        Name by which `etp.compile` finds the rule.
    aliases
        Further names.
    default_window
        Steps at the end of the past that are differentiated exactly, unless `etp.compile` is
        told otherwise.
    approximation
        Why the rule is approximate even where all paths are position-wise, or None.
    default_scope
        How much of the transition is followed, unless `etp.compile` is told otherwise.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    default_window: ClassVar[int] = 1
    approximation: str | None = None
    default_scope: ClassVar[str] = "diagonal"


class TraceRule(LearningRule):
    """A rule that keeps traces for each relation and advances them forward in time."""

    counts_steps: ClassVar[bool] = False
    textbook: ClassVar[bool] = False

    @abstractmethod
    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        """Return the arrays kept for a relation."""

    @abstractmethod
    def advance(self, rel: RelationView, eps: Traces, count: Tracer | None) -> Traces:
        """Return the traces after the step; ``count`` is the number of steps before it."""

    @abstractmethod
    def gradient(
        self, rel: RelationView, eps: Traces, ell: Vec, count: Tracer | None
    ) -> Named | None:
        """Return the gradient of the weight for a signal on the states that the traces speak of.

        ``count`` is the number of steps the traces have seen.
        """


class LinearTraceRule(TraceRule):
    """A rule with one linear trace per relation, over the axes of the weight."""

    @abstractmethod
    def trace(self, rel: RelationView) -> Linear:
        """Return the recurrence of the trace."""

    def departs(self, rel: RelationView) -> bool:
        """Whether the recurrence is another than that of the influence itself."""
        if type(self).gradient is not LinearTraceRule.gradient:
            return True
        linear = self.trace(rel)
        if linear.decay is rel.D and linear.u is rel.u and linear.x is rel.x:
            return False
        return not (
            _values(linear.decay.entries) == _values(rel.D.entries)
            and _values(linear.u.entries) == _values(rel.u.entries)
            and linear.x is rel.x
        )

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        return {"e": Slot(rel.axes.trace)}

    def advance(self, rel: RelationView, eps: Traces, count: Tracer | None) -> Traces:
        linear = self.trace(rel)
        held = eps["e"]
        assert isinstance(held, Vec)
        return {"e": linear.decay @ held + linear.source(rel.axes.trace)}

    def gradient(
        self, rel: RelationView, eps: Traces, ell: Vec, count: Tracer | None
    ) -> Named | None:
        held = eps["e"]
        assert isinstance(held, Vec)
        return ell.dot(held, rel.axes.w)


def _values(entries: Mapping[Any, Named]) -> dict[Any, Any]:
    return {key: entry.array.value for key, entry in entries.items()}


_RULES: dict[str, type[LearningRule]] = {}


def register(rule: type[LearningRule]) -> type[LearningRule]:
    """Make a rule class available by its name and aliases; usable as a decorator."""
    for name in (rule.name, *rule.aliases):
        _RULES[name.lower()] = rule
    return rule


def available() -> list[str]:
    """Return the names of all registered rules, aliases included."""
    return sorted(_RULES)


def resolve(rule: str | LearningRule | type[LearningRule]) -> LearningRule:
    """Return the rule object for a name, a class or an object.

    Raises
    ------
    etp.ETPError
        If no rule has the name.
    """
    if isinstance(rule, LearningRule):
        return rule
    if isinstance(rule, type) and issubclass(rule, LearningRule):
        return rule()
    if isinstance(rule, str):
        found = _RULES.get(rule.lower().replace("-", "_"))
        if found is not None:
            return found()
        raise ETPError(f"no learning rule {rule!r}{nearest(rule, available())}")
    raise ETPError(f"rule must be a name, a rule class or a rule object, not {rule!r}")
