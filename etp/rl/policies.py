"""Policies: distributions over actions, given by some outputs of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, compose

from ..sequences import as_count


def _count(n: Any) -> int:
    return as_count(n, "the number of actions")


@frozen
class Policy(ABC):
    """A distribution over actions.

    Attributes
    ----------
    actions
        Number of actions to choose from, or of numbers in an action.
    """

    actions: int = field(converter=_count)

    @property
    @abstractmethod
    def width(self) -> int:
        """Outputs of the model that it takes."""

    @abstractmethod
    def log_probability(self, output: Any, action: Any) -> Any:
        """Return the logarithm of the probability (density) of an encoded action, traced."""

    @abstractmethod
    def entropy(self, output: Any) -> Any:
        """Return the entropy, traced."""

    @abstractmethod
    def draw(self, output: Any, rng: np.random.Generator) -> tuple[Any, np.ndarray[Any, Any]]:
        """Return an action and its code, (actions,) numbers."""


@frozen
class Categorical(Policy):
    r"""One of several actions, $\pi(a) = \operatorname{softmax}(y)_a$."""

    @property
    def width(self) -> int:
        """Outputs of the model that it takes."""
        return self.actions

    def log_probability(self, output: Any, action: Any) -> Any:
        """Return the logarithm of the probability of an action, encoded as one-hot."""
        return xp.sum(action * xp.log_softmax(output))

    def entropy(self, output: Any) -> Any:
        """Return the entropy, traced."""
        return -xp.sum(xp.softmax(output) * xp.log_softmax(output))

    def draw(self, output: Any, rng: np.random.Generator) -> tuple[Any, np.ndarray[Any, Any]]:
        """Return an action, a whole number, and its code."""
        # The largest of logits and Gumbel noise is a draw from the softmax.
        chosen = int(np.argmax(np.asarray(output, np.float64) + rng.gumbel(size=self.actions)))
        return chosen, np.eye(self.actions)[chosen]


@frozen
class Gaussian(Policy):
    r"""Independent normal numbers, mean $y_i$ and deviation $\operatorname{softplus}(y_{n+i})$."""

    @property
    def width(self) -> int:
        """Outputs of the model that it takes."""
        return 2 * self.actions

    def _parts(self, output: Any) -> tuple[Any, Any]:
        # A deviation of 0 would have no density.
        return output[: self.actions], xp.softplus(output[self.actions :]) + 1e-5

    def log_probability(self, output: Any, action: Any) -> Any:
        """Return the logarithm of the density at an action."""
        mean, deviation = self._parts(output)
        scaled = (action - mean) / deviation
        constant = 0.5 * float(np.log(2 * np.pi)) * self.actions
        return -xp.sum(0.5 * scaled * scaled + xp.log(deviation)) - constant

    def entropy(self, output: Any) -> Any:
        """Return the entropy, traced."""
        constant = 0.5 * float(np.log(2 * np.pi * np.e)) * self.actions
        return xp.sum(xp.log(self._parts(output)[1])) + constant

    def draw(self, output: Any, rng: np.random.Generator) -> tuple[Any, np.ndarray[Any, Any]]:
        """Return an action, an array, and its code, the same."""
        mean, deviation = self._parts(np.asarray(output, np.float64))
        action = np.asarray(mean + deviation * rng.standard_normal(self.actions))
        return action, action


def as_policy(policy: Any) -> Policy:
    """Return a policy; a whole number is that many actions to choose from."""
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, (int, np.integer)) and not isinstance(policy, bool):
        return Categorical(policy)
    raise ModelError(
        compose(f"{policy!r} is no policy",
                how="give the number of actions, or Categorical(n) or Gaussian(n) of etp.rl")
    )  # fmt: skip
