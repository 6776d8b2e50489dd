"""What stands on the axes of the rule language beside scopes, filters and signals.

Recursions say how a trace goes on from step to step, storages which numbers are kept of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, field, frozen

from etp_ir import ops
from etp_ir.errors import NotSupportedError

from ..filters import Stage, chain
from ..given import mistake
from .base import PER_RESULT, PER_WEIGHT, Kind, LearningRule, Traces
from .checks import decay, discount, flag, number
from .registry import resolve

if TYPE_CHECKING:
    from ..compiler.view import RelationView
    from .config import RuleConfig


# -- recursions ----------------------------------------------------------------------------
class Recursion(ABC):
    """How a trace becomes that of the next step.

    Attributes
    ----------
    average
        Whether it is an average over the steps seen and not their sum: new terms count
        ``1 - decay``, and what is read is divided by ``1 - decay**steps``.
    """

    word: ClassVar[str]
    decay: float
    average: bool = False

    @abstractmethod
    def onward(self, rel: RelationView, e: Any) -> Any:
        """Return a trace moved on by one step."""

    def advance(self, rel: RelationView, e: Any, source: Any) -> Any:
        """Return the trace after a step that adds ``source``."""
        return self.onward(rel, e) + (source * (1 - self.decay) if self.average else source)

    def read(self, rel: RelationView, found: Any) -> Any:
        """Return a gradient read from it, with the correction of an average."""
        if not self.average or self.decay == 0:
            return found
        # 1 before the first step, where the traces are 0.
        seen = ops.maximum(rel.count, 1.0)
        return found * ops.div(1.0, ops.sub(1.0, ops.pow_(self.decay, seen)))


@frozen
class Jacobian(Recursion):
    r"""The derivative of the new states by the old, :math:`e^t = d\,D^t e^{t-1} + u^t x^t`.

    Parameters
    ----------
    decay
        A factor :math:`d` in [0, 1] beside it.
    average
        See `Recursion`.
    """

    word = "jacobian"
    decay: float = field(default=1.0, validator=discount)
    average: bool = field(default=False, validator=flag)

    def __attrs_post_init__(self) -> None:
        if self.average and self.decay == 1:
            raise mistake(NotSupportedError, "Jacobian(decay=1) has no average",
                          "give a decay below 1, or average=False")  # fmt: skip

    @property
    def plain(self) -> bool:
        """Whether it is the derivative itself."""
        return self.decay == 1

    def onward(self, rel: RelationView, e: Any) -> Any:
        return rel.D @ e if self.plain else self.decay * (rel.D @ e)


@frozen
class Leak(Recursion):
    r"""One number in place of the derivative, :math:`e^t = d\,e^{t-1} + u^t x^t`.

    Parameters
    ----------
    decay
        :math:`d` in [0, 1).
    average
        See `Recursion`.
    """

    word = "leak"
    decay: float = field(validator=decay)
    average: bool = field(default=False, validator=flag)

    def onward(self, rel: RelationView, e: Any) -> Any:
        return self.decay * e


# -- a pair of traces ----------------------------------------------------------------------
@frozen
class STDPPair:
    r"""Pairs of what comes in with what the unit does, in both orders of time.

    .. math:: u^t x^t \;\to\; a_+\,u^t \bar x^t + a_-\,\bar u^{t-1} x^t, \qquad
              \bar x^t = \lambda_+ \bar x^{t-1} + x^t, \;
              \bar u^t = \lambda_- \bar u^{t-1} + u^t

    Parameters
    ----------
    pre, post
        :math:`\lambda_+` and :math:`\lambda_-` in [0, 1).
    causal, acausal
        :math:`a_+` and :math:`a_-`.

    References
    ----------
    Apolinario and Roy, Transactions on Machine Learning Research 2024 (S-TLLR).
    """

    word = "stdp_pair"
    pre: float = field(validator=decay)
    post: float = field(validator=decay)
    causal: float = field(default=1.0, validator=number)
    acausal: float = field(default=-1.0, validator=number)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The filter of what comes in."""
        return ((self.pre, 1.0),)


# -- storages ------------------------------------------------------------------------------
class Storage(ABC):
    """Which numbers are kept of the influence of weights on states.

    Attributes
    ----------
    scope
        The scope that it has by default.
    whole
        Whether the whole influence is projected at random, and nothing else can be followed.
    """

    word: ClassVar[str]
    scope: ClassVar[str] = "diagonal"
    whole: ClassVar[bool] = False


class Kept(Storage):
    """Traces of relations, put together from recursion and filters."""

    kind: ClassVar[Kind]

    def takes(self, c: RuleConfig, rel: RelationView) -> bool:
        """Return whether traces of what comes in are kept for a relation."""
        return True

    @abstractmethod
    def advance(self, c: RuleConfig, rel: RelationView, e: Traces) -> Mapping[str, Any]:
        """Return the traces after the step."""

    @abstractmethod
    def gradient(self, c: RuleConfig, e: Traces, ell: Any) -> Any:
        """Return the gradient that they give."""


def numbered(word: str, count: int) -> tuple[str, ...]:
    """Return names for a number of stages."""
    return (word,) if count == 1 else tuple(f"{word}{k + 1}" for k in range(count))


def _inputs(c: RuleConfig, rel: RelationView, e: Traces) -> dict[str, Any]:
    """Return the stages of the filter of what comes in; the last is what weights are credited by.

    An element-wise weight is multiplied with one.
    """
    names = c.inputs
    stages = () if c.pre is None else c.pre.stages
    found = chain(stages, [e[n] for n in names[: len(stages)]], rel.pre) or [rel.pre]
    return dict(zip(names, found, strict=True))


def _traced(c: RuleConfig, rel: RelationView, e: Traces, source: Any) -> dict[str, Any]:
    """Return the stages of recursion, filter and outer trace, fed with a source."""
    names, new = c.stages, {}
    if isinstance(c.recursion, Recursion):
        new[names[0]] = source = c.recursion.advance(rel, e[names[0]], source)
        names = names[1:]
    filters = c.filters
    if not filters:
        return new or {names[0]: source}
    found = chain(filters, [e[n] for n in names], source)
    return {**new, **dict(zip(names, found, strict=True))}


@frozen
class PerWeight(Kept):
    """One number per weight and state."""

    word = "per_weight"
    kind = PER_WEIGHT

    def advance(self, c: RuleConfig, rel: RelationView, e: Traces) -> Mapping[str, Any]:
        if c.pre is None:
            return _traced(c, rel, e, rel.u * rel.x)
        new = _inputs(c, rel, e)
        source = rel.u * new[c.inputs[-1]]
        if isinstance(c.pre, STDPPair):
            source = c.pre.causal * source + (c.pre.acausal * e["u"]) * rel.pre
            new["u"] = c.pre.post * e["u"] + rel.u
        return {**new, **_traced(c, rel, e, source)}

    def gradient(self, c: RuleConfig, e: Traces, ell: Any) -> Any:
        return ell @ e[c.last]


@frozen
class Factorised(Kept):
    """One number per input and per result, whose product stands for the trace.

    An average of what results contribute is not multiplied with a sum of ones, so there
    element-wise weights have no factor of an input.
    """

    word = "factorised"
    kind = PER_RESULT

    def takes(self, c: RuleConfig, rel: RelationView) -> bool:
        return rel.has_input or not c.averages

    def advance(self, c: RuleConfig, rel: RelationView, e: Traces) -> Mapping[str, Any]:
        new = _inputs(c, rel, e) if self.takes(c, rel) else {}
        return {**new, **_traced(c, rel, e, rel.u)}

    def gradient(self, c: RuleConfig, e: Traces, ell: Any) -> Any:
        return (ell @ e[c.last]) * e.get(c.inputs[-1])


class Projected(Storage):
    """Random products whose mean is the whole influence, by the rule of that name."""

    scope = "full"
    whole = True
    rule: ClassVar[str]

    def made(self, c: RuleConfig) -> LearningRule:
        """Return the rule with the signal of the point."""
        found: Any = resolve(self.rule)
        return evolve(found, feedback=c.signal)


@frozen
class RankOne(Projected):
    """The product of a vector over states and one over parameters."""

    word = "rank_one"
    rule = "uoro"


@frozen
class Kronecker(Projected):
    """The Kronecker product of a vector over inputs and a matrix over states."""

    word = "kronecker"
    rule = "kf_rtrl"
