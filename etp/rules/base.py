"""What a learning rule is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from ..signals.base import SYMMETRIC, Signal

if TYPE_CHECKING:
    from ..compiler.view import RelationView

Traces = Mapping[str, Any]


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


@frozen
class Kind:
    """What a trace has one number for: each weight, each input, each result."""

    of: str
    per_state: bool = True

    def slot(self, rel: RelationView) -> Slot:
        """Return the array kept for a relation."""
        return Slot(getattr(rel.axes, self.of), self.per_state)


PER_WEIGHT = Kind("trace")
PER_RESULT = Kind("y")
PER_INPUT = Kind("x", per_state=False)


class LearningRule(ABC):
    """Base of all learning rules. Concrete rules are final: one class in one file.

    A rule is written for one example, without a batch axis and without reference to an array
    library.

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
    unbiased
        Whether the mean over the rule's random numbers is what the rule would give exactly.
    default_scope
        How much of the transition is followed, unless `etp.compile` is told otherwise.
    signal
        How credit arrives at the states: the learning signal.
    emits
        Whether what spiking units emit counts as a state of theirs, so that traces of it are kept.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    default_window: ClassVar[int] = 1
    approximation: str | None = None
    unbiased: ClassVar[bool] = False
    default_scope: str = "diagonal"
    signal: Signal = SYMMETRIC
    emits: bool = False


class OnlineRule(LearningRule):
    """A rule that keeps something from step to step and advances it forward in time."""

    draws: ClassVar[bool] = False


class TraceRule(OnlineRule):
    """A rule that keeps traces for each relation.

    Attributes
    ----------
    traces
        What each trace has one number for, by name.
    counts_steps
        Whether ``rel.count`` is asked for: the number of steps that the traces have seen.
    draws
        Whether ``rel.signs`` or ``rel.normal`` are asked for.
    """

    traces: ClassVar[Mapping[str, Kind]] = {"e": PER_WEIGHT}
    counts_steps: ClassVar[bool] = False

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        """Return the arrays kept for a relation."""
        return {name: kind.slot(rel) for name, kind in self.traces.items()}

    @abstractmethod
    def advance(self, rel: RelationView, e: Traces) -> Traces:
        """Return the traces after the step, given those before it."""

    def gradient(self, rel: RelationView, e: Traces, ell: Any) -> Any:
        """Return the gradient of the weight for a signal on the states that the traces speak of."""
        return ell @ e["e"]
