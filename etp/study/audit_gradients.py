"""The gradient that a run was trained with, and the one of back-propagation, on one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define, field, frozen

from ..compiler.status import Status
from ..fit import parse_update
from ..learner import Learner
from ..rules import LearningRule, OnlineRule
from ..sequences import loss_weights
from .certificate_trial import quiet

Array = np.ndarray[Any, Any]
Gradient = dict[str, Any]
DRAWS = 16


@frozen
class Probe:
    """An optimiser that adds up the gradients of all updates, and changes nothing."""

    def init(self, params: Mapping[str, Any]) -> dict[str, Array]:
        """Return zeros."""
        return {f"sum.{n}": np.zeros_like(np.asarray(p)) for n, p in params.items()}

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """Return the parameters as they are, and the sums with these gradients."""
        return dict(params), {f"sum.{n}": state[f"sum.{n}"] + g for n, g in grads.items()}


def draws(rule: LearningRule) -> int:
    """Return how many gradients are averaged: several of a rule that draws random numbers."""
    return DRAWS if isinstance(rule, OnlineRule) and rule.draws else 1


def _mean(found: list[Gradient]) -> Gradient:
    return {n: sum(np.asarray(g[n]) for g in found) / len(found) for n in found[0]}


@define
class Gradients:
    """Takes gradients of both learners with the same random numbers.

    Attributes
    ----------
    studied, exact
        Learners of the rule, and of back-propagation.
    update
        When weights changed in training.
    """

    studied: Learner
    exact: Learner
    update: str | int
    _starts: tuple[dict[str, Any], dict[str, Any]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._starts = self.studied.state_dict(), self.exact.state_dict()

    def __call__(
        self, params: Mapping[str, Any], xs: Any, ys: Any, mask: Any, modulator: Any = None
    ) -> tuple[Gradient, Gradient]:
        """Return the rule's gradient and the exact one, means over steps and examples."""
        found = []
        for learner, start in zip((self.studied, self.exact), self._starts, strict=True):
            learner.load_state_dict(start)
            learner.params = params
            with quiet():
                if learner is self.studied and self.cut(len(xs)):
                    found.append(self._in_updates(xs, ys, mask, modulator))
                    continue
                heard = modulator if learner is self.studied else None
                times = range(draws(learner.options.rule))
                found.append(_mean([learner.grad(xs, ys, mask, modulator=heard)[0] for _ in times]))
        got, want = ({n: np.array(g) for n, g in grads.items()} for grads in found)
        return got, want

    def cut(self, length: int) -> int | None:
        """Return the steps between updates if the rule forgets there, else None."""
        period = parse_update(self.update)
        offline = self.studied.engine.last()[0].offline
        return period if offline and period is not None and period < length else None

    def statuses(self, length: int) -> dict[str, Status]:
        """Return the status of every parameter for the updates of the run."""
        period = parse_update(self.update) or length
        return self.studied.engine.last()[0].statuses(min(period, length), length)

    def _in_updates(self, xs: Any, ys: Any, mask: Any, modulator: Any) -> Gradient:
        """Return the sum of what training hands to the optimiser, with weights held."""
        learner, period = self.studied, self.cut(len(xs))
        assert period is not None
        whole = learner.engine.batch(xs, ys, mask).mask
        # Training averages over each update; what it is divided by there is made up for.
        even, parts = loss_weights(whole, "mean"), loss_weights(whole, "mean", period)
        scale = np.divide(even, parts, out=np.zeros_like(even), where=parts != 0)
        weights = whole * scale
        batch = (xs, ys, weights) if modulator is None else (xs, ys, weights, modulator)
        learner.fit([batch], Probe(), update=period, progress=False)
        return {n: learner.optimizer_state[f"sum.{n}"] for n in learner.params}
