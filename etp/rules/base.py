"""What a learning rule is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, cast

from attrs import fields, frozen, has

from etp_ir.errors import NotSupportedError

from ..signals.base import SYMMETRIC, Shared, Signal
from .checks import bound
from .named import TERM

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView
    from ..compiler.view import RelationView
    from .bundle import Bundle
    from .config import RuleConfig

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
    terms
        Number of such arrays, side by side along the letter `TERM`; 0 for one without it.
    """

    axes: str
    per_state: bool = True
    terms: int = 0

    @property
    def letters(self) -> str:
        """Letters of the axes, with that of terms."""
        return TERM + self.axes if self.terms else self.axes

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape, given the extents of letters."""
        return tuple({**sizes, TERM: self.terms}[c] for c in self.letters)


@frozen
class Kind:
    """What a trace has one number for: each weight, each input, each result, each unit."""

    of: str
    per_state: bool = True

    def slot(self, rel: RelationView) -> Slot:
        """Return the array kept for a relation."""
        return Slot(getattr(rel.axes, self.of), self.per_state)


PER_WEIGHT = Kind("trace")
PER_RESULT = Kind("y")
PER_INPUT = Kind("x", per_state=False)
# Once for all results that act on the same unit, as signals are.
PER_UNIT = Kind("at")


class LearningRule(ABC):
    r"""Base of all learning rules. Concrete rules are final: one class in one file.

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
        told otherwise: 1, and 0 with a signal that is no derivative of the loss, which no window
        hears.
    approximation
        Why the rule is approximate even where all paths are position-wise, or None.
    unbiased
        Whether the mean over the rule's random numbers is what the rule would give exactly.
    default_scope
        How much of the transition is followed, unless `etp.compile` is told otherwise.
    signal
        How credit arrives at the states: the learning signal.
    step_size
        The optimiser that ``learner.fit`` uses unless it is given one, or None.
    default_update
        When ``learner.fit`` changes parameters, unless it is told otherwise.
    default_schedule
        How numbers are computed, unless `etp.compile` is told otherwise.
    point
        Where it lies in the rule language, beside scope, signal and window: what it takes of
        `RuleConfig` that is not the default there. None if it is no point of it.
    emits
        Whether what spiking units emit counts as a state of theirs, so that traces of it are kept.
    delayed
        Whether credit for what is done in a step is handed out later, at least in part. Of one
        step the textbook form of such a rule is not the derivative of the loss.
    own_term
        Whether a term of the rule's own is added to the gradient of the loss, such as one for the
        rates at which units fire.
    reward
        Decay of what is kept of the gradient of each weight, :math:`F = \gamma F + g`, of which the
        modulator that is given beside the data releases its part, :math:`m F`; None for rules that
        hand gradients out as they are.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    approximation: str | None = None
    unbiased: ClassVar[bool] = False
    default_scope: str = "diagonal"
    signal: Signal = SYMMETRIC
    step_size: Any = None
    default_update: str | int = "step"
    default_schedule: str | int = "auto"
    point: Mapping[str, Any] | None = None
    emits: bool = False
    delayed: bool = False
    own_term: bool = False
    reward: float | None = None

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        if "__repr__" not in cls.__dict__:
            # attrs writes fields by their attributes; a rule is written as it is made.
            cls.__repr__ = LearningRule.__repr__  # type: ignore[method-assign]
        if "__init__" in cls.__dict__:
            cls.__init__ = _telling(cls.__init__)  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """Return what makes the rule again; options by keyword only where they are set."""
        if not has(type(self)):
            return object.__repr__(self)
        shown = ", ".join(
            f"{f.alias}={getattr(self, f.name)!r}" for f in fields(cast(Any, type(self)))
            if f.init and f.repr and not (f.kw_only and getattr(self, f.name) == f.default)
        )  # fmt: skip
        return f"{type(self).__name__}({shown})"

    @property
    def default_window(self) -> int:
        return 1 if self.signal.symmetric else 0

    @property
    def modulated(self) -> bool:
        """Whether a modulator is asked for beside the data."""
        return self.reward is not None or self.signal.modulated

    def compiled_as(self) -> LearningRule:
        """Return the rule that is compiled: itself, unless it stands for another."""
        return self

    def config(self) -> RuleConfig:
        """Return the same rule as a point of the rule language.

        Raises
        ------
        etp.NotSupportedError
            If it is no point of it.
        """
        from .config import RuleConfig

        if self.point is None:
            raise NotSupportedError(
                f"{self.name} is no point of the rule language\nuse the rule as it is"
            )
        return RuleConfig(
            scope=self.default_scope, signal=self.signal, window=self.default_window, **self.point
        )


def _telling(init: Callable[..., None]) -> Callable[..., None]:
    """Return the same ``__init__``; of arguments that do not fit it says which there are."""
    whole = signature(init)
    takes = whole.replace(parameters=[*whole.parameters.values()][1:])

    @wraps(init)
    def made(self: LearningRule, *args: Any, **named: Any) -> None:
        bound(takes, f"rule {type(self).__name__}", args, named)
        init(self, *args, **named)

    return made


class OnlineRule(LearningRule):
    """A rule that keeps something from step to step and advances it forward in time.

    Attributes
    ----------
    counts_steps
        Whether the number of steps is asked for that the traces have seen: ``rel.count``.
    draws
        Whether random numbers are asked for: ``rel.signs``, ``step.normal``.
    """

    counts_steps: ClassVar[bool] = False
    draws: ClassVar[bool] = False


class TraceRule(OnlineRule):
    """A rule that keeps traces for each relation.

    Attributes
    ----------
    traces
        What each trace has one number for, by name.
    """

    traces: ClassVar[Mapping[str, Kind]] = {"e": PER_WEIGHT}

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        """Return the arrays kept for a relation."""
        for name, kind in self.traces.items():
            if not isinstance(kind, Kind):
                from .returned import rule_error

                raise rule_error(
                    self, "", f"the trace {name!r} of {type(self).__name__} is declared as "
                    f"{kind!r}", "declare it as PER_WEIGHT, PER_RESULT or PER_INPUT of etp.rules",
                )  # fmt: skip
        return {name: kind.slot(rel) for name, kind in self.traces.items()}

    @abstractmethod
    def advance(self, rel: RelationView, e: Traces) -> Traces:
        """Return the traces after the step, given those before it."""

    def gradient(self, rel: RelationView, e: Traces, ell: Any) -> Any:
        """Return the gradient of the weight for a signal on the states that the traces speak of."""
        return ell @ e["e"]


class InfluenceRule(TraceRule):
    r"""A rule whose trace is the influence within its scope.

    .. math:: \varepsilon^t = D^t\,\varepsilon^{t-1} + u^t \otimes x^t
    """

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        return {"e": rel.D @ e["e"] + rel.u * rel.x}


class StepRule(OnlineRule):
    """A rule written on the whole step: on vectors over all states and all parameters.

    What it keeps is given by name: a shape, or shapes by path for a `Bundle` of arrays, such as
    ``model.states`` and ``model.params``.

    Attributes
    ----------
    reads_step
        Whether `gradient` asks the step for more than what is kept, such as random numbers.
    whole
        Whether `gradient` returns all that the step's loss gives to parameters that reach a state,
        at once: it is asked once in each step, and no window is differentiated beside it.
    sees_end
        Whether it is asked for where a sequence ends: ``step.ends``.
    """

    default_scope: str = "full"
    reads_step: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    sees_end: ClassVar[bool] = False

    @abstractmethod
    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        """Return the shapes of what is kept for each example; types of what is no float."""

    def shared(self, model: ModelView) -> Mapping[str, Shared]:
        """Return the arrays that all examples share, such as a learned feedback, by name."""
        return {}

    @abstractmethod
    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is kept after the step, given what was before it.

        Shared arrays that are learned are returned under their names as well; means over the
        batch are taken by `etp.batch_mean`.
        """

    @abstractmethod
    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        """Return gradients of parameters, by path, for signals on the states."""

    def present(
        self, step: StepView, e: Mapping[str, Any], ell: Bundle
    ) -> Mapping[str, Any]:  # fmt: skip
        """Return what the step itself gives besides, for signals on its new states.

        For rules whose traces hold less of the present step than its own derivative.
        """
        return {}
