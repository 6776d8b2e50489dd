"""A learning rule without a name: a point of the rule language."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen
from attrs import fields as fields_of

from etp_ir.errors import NotSupportedError

from ..compiler.scope import Scope, parse_scope
from ..filters import Cascade, Filter, GammaLambda, Stage
from ..given import mistake
from ..signals.base import SYMMETRIC, Signal
from .axes import (
    as_outer,
    as_post,
    as_pre,
    as_recursion,
    as_schedule,
    as_step_size,
    as_storage,
    signal_of,
    told,
)
from .base import PER_INPUT, PER_RESULT, LearningRule, OnlineRule, Slot, TraceRule, Traces
from .checks import whole
from .laws import broken, instead
from .points import (
    Factorised,
    Jacobian,
    Kept,
    PerWeight,
    Projected,
    Recursion,
    STDPPair,
    Storage,
    numbered,
)

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@frozen(kw_only=True, repr=False)
class RuleConfig(OnlineRule):
    r"""A learning rule as a point of the rule language, with a name or without.

    .. math::
        \bar x^t &= \mathrm{pre}(x^t), \qquad
        \varepsilon^t = \mathrm{recursion}(\varepsilon^{t-1}) + u^t\,\bar x^t \\
        \nabla^t &= \ell^t \cdot \mathrm{outer}(\mathrm{post}(\varepsilon^t))

    with :math:`u^t = \partial h^t/\partial y^t` the derivative of the states by the result of the
    weight product, and :math:`\ell^t` the learning signal.

    Parameters
    ----------
    scope
        How much of the transition is followed: ``"diagonal"``, ``"coupled"``, ``"sparse_n(N)"``,
        ``"layered"``, ``"full"``; see `etp.compile`.
    recursion
        ``"jacobian"`` (or `Jacobian`, with a decay beside it), a leak in [0, 1) (or `Leak`),
        ``"none"``, or ``"cascade(order, decay)"``.
    storage
        ``"per_weight"``; ``"factorised"``, the product of a trace of inputs and one of results;
        ``"kronecker"`` and ``"rank_one"``, random products whose mean is the influence.
    pre, post
        Filters of the input, and of the trace before it meets the signal: None, ``"kappa(k)"``,
        ``"trace(decay)"``, ``"double_exponential(rise, decay)"``; ``pre`` also
        ``"stdp_pair(pre, post)"``. A trace that is filtered speaks of what spiking units emit.
    signal
        An object of `etp.signals`, or its word, such as ``"random"``.
    schedule
        ``"auto"``, ``"step"``, ``"chunk"`` or ``"chunk(K)"``: how the same numbers are computed.
    outer
        None; ``"cascade(order, decay)"``, a trace over the filtered one, for a signal that is
        late; or ``"gamma_lambda(discount, decay)"``: gradients are kept, fade by the product of
        both, and are released by the modulator that is given beside the data, as a reward or the
        error of temporal differences (see `etp.rl` for agents).
    step_size
        A rate, the name of an optimiser or an object of `etp.optim`, which ``learner.fit`` then
        uses by default.
    window
        Steps at the end of the past that are differentiated exactly.

    Raises
    ------
    etp.NotSupportedError
        If the point is not legal; what is legal instead is named.

    Examples
    --------
    >>> import etp
    >>> etp.RuleConfig(post="kappa(0.8)", outer="cascade(2, 0.7)")
    RuleConfig(post=KappaFilter(kappa=0.8), outer=Cascade(order=2, decay=0.7))
    """

    name = "rule_config"

    storage: Storage = field(default=PerWeight(), converter=as_storage)
    scope: Scope = field(converter=parse_scope)
    recursion: Recursion | Cascade | None = field(default=Jacobian(), converter=as_recursion)
    pre: Filter | STDPPair | None = field(default=None, converter=as_pre)
    post: Filter | None = field(default=None, converter=as_post)
    signal: Signal = field(default=SYMMETRIC, converter=signal_of)
    schedule: str | int = field(default="auto", converter=as_schedule)
    outer: Filter | None = field(default=None, converter=as_outer)
    step_size: Any = field(default=None, converter=as_step_size)
    window: int = field(default=0, validator=whole)

    @scope.default
    def _follows(self) -> str:
        return self.storage.scope

    def __attrs_post_init__(self) -> None:
        law = broken(self)
        if law is not None:
            here = " with ".join(f"{axis} {told(getattr(self, axis))}" for axis in law.axes)
            raise mistake(NotSupportedError, f"{here}: {law.reason}", instead(self, law))

    def __repr__(self) -> str:
        plain = RuleConfig(storage=self.storage)
        shown = ", ".join(
            f"{f.name}={told(x)}" for f in fields_of(RuleConfig)
            if (x := getattr(self, f.name)) != getattr(plain, f.name)
            or (f.name == "storage" and x != PerWeight())
        )  # fmt: skip
        return f"RuleConfig({shown})"

    # -- as a learning rule -----------------------------------------------------------------
    def compiled_as(self) -> LearningRule:
        """Return the rule that is compiled: traces put together, or the random products."""
        if isinstance(self.storage, Projected):
            return self.storage.made(self)
        return Composed(self)

    def config(self) -> RuleConfig:
        """Return the point itself."""
        return self

    @property
    def default_window(self) -> int:
        """See `LearningRule`."""
        return self.window

    @property
    def default_scope(self) -> str:  # type: ignore[override]
        """See `LearningRule`."""
        return str(self.scope)

    @property
    def default_schedule(self) -> str | int:  # type: ignore[override]
        """See `LearningRule`."""
        return self.schedule

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        """Whether the mean over its random numbers is the influence."""
        return self.storage.whole

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether it draws random numbers."""
        return self.storage.whole

    @property
    def reward(self) -> float | None:  # type: ignore[override]
        """How gradients fade until the modulator releases them, or None."""
        last = self.outer
        return last.discount * last.decay if isinstance(last, GammaLambda) else None

    # -- its parts --------------------------------------------------------------------------
    @property
    def chained(self) -> dict[str, Filter]:
        """The filters of the trace, one after the other, by the name of what they leave."""
        parts = {"z": self.recursion, "bar": self.post, "outer": self.outer}
        return {
            n: f for n, f in parts.items()
            if isinstance(f, Filter) and not isinstance(f, GammaLambda)
        }  # fmt: skip

    @property
    def filters(self) -> tuple[Stage, ...]:
        """Stages of all filters of the trace."""
        return tuple(stage for f in self.chained.values() for stage in f.stages)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the traces from the source to what the signal meets."""
        names: tuple[str, ...] = ("e",) if isinstance(self.recursion, Recursion) else ()
        for word, part in self.chained.items():
            names += numbered(word, len(part.stages))
        return names or ("e",)

    @property
    def delayed(self) -> bool:  # type: ignore[override]
        """Whether a filter hands out a part of what a step adds in that step, and more later."""
        gains = [gain for _, gain in self.filters]
        if self.pre is not None:
            gains += [gain for _, gain in self.pre.stages]
        return prod(gains) != 1

    @property
    def averages(self) -> bool:
        """Whether the trace is an average over the steps seen."""
        return isinstance(self.recursion, Recursion) and self.recursion.average

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the traces of what comes in."""
        stages = 0 if self.pre is None else len(self.pre.stages)
        product = isinstance(self.storage, Factorised)
        return numbered("x", stages or 1) if stages or product else ()

    @property
    def last(self) -> str:
        """Name of the trace that the signal meets."""
        return self.stages[-1]


@final
@frozen
class Composed(TraceRule):
    """The traces of a point of the rule language."""

    of: RuleConfig
    name = "rule_config"

    def config(self) -> RuleConfig:
        """Return the point."""
        return self.of

    @property
    def signal(self) -> Signal:  # type: ignore[override]
        """The signal of the point."""
        return self.of.signal

    @property
    def reward(self) -> float | None:  # type: ignore[override]
        """See `RuleConfig.reward`."""
        return self.of.reward

    @property
    def emits(self) -> bool:  # type: ignore[override]
        """Whether a filter, or pairs in time, act on what units emit."""
        return self.of.post is not None or isinstance(self.of.pre, STDPPair)

    @property
    def delayed(self) -> bool:  # type: ignore[override]
        """See `RuleConfig.delayed`."""
        return self.of.delayed

    @property
    def counts_steps(self) -> bool:  # type: ignore[override]
        """Whether an average is to be corrected for a short past."""
        return self.of.averages

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        c = self.of
        storage = c.storage
        assert isinstance(storage, Kept)
        found = {n: storage.kind.slot(rel) for n in c.stages}
        if isinstance(c.pre, STDPPair):
            found["u"] = PER_RESULT.slot(rel)
        inputs = c.inputs if storage.takes(c, rel) else ()
        return {**{n: PER_INPUT.slot(rel) for n in inputs}, **found}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        storage = self.of.storage
        assert isinstance(storage, Kept)
        return storage.advance(self.of, rel, e)

    def gradient(self, rel: RelationView, e: Traces, ell: Any) -> Any:
        c = self.of
        assert isinstance(c.storage, Kept)
        found = c.storage.gradient(c, e, ell)
        return c.recursion.read(rel, found) if isinstance(c.recursion, Recursion) else found
