"""What all agents share: a transition that waits for its next observation, and the life cycle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from etp_ir.errors import ModelError, compose

from ..learner import Learner
from .fixed import Fixed
from .stream import Updater, gradients, look
from .update import Transition, Update, share

FORMAT = 1


def as_update(rate: Any) -> Update:
    """Return an update; a number, or a number for each group, is a fixed rate."""
    if isinstance(rate, Update):
        return rate
    if isinstance(rate, type) and issubclass(rate, Update):
        return rate()
    return Fixed(rate=rate)


class Agent(ABC):
    r"""A learner with reward traces over the traces of its rule.

    A transition is completed when the next observation arrives: only then is
    $\delta = r + \gamma v(s') - v(s)$ known. Both values are those of the *current* weights,
    also where the network is recurrent: $v(s')$ is looked ahead from the present state of the
    stream, the weights change, and only then is the observation taken in. What is older than the
    weights is what every online algorithm carries: hidden states and traces.
    """

    def __init__(self, learner: Learner, gamma: float, rate: Update) -> None:
        self.learner, self.gamma, self.rate = learner, share("gamma", gamma), rate
        self.td_error: float | None = None
        self.slots: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, str] = {}
        self._updater: Updater | None = None
        self._count = 0
        self._clear()

    def _clear(self) -> None:
        self._gradients: list[dict[str, Any]] = []
        self._value = self._surprise = 0.0
        self._reward: float | None = None
        self._ahead: float | None = None

    # -- what differs -----------------------------------------------------------------------
    # The method by which a reward is told, for errors.
    _told = "learn"

    @abstractmethod
    def _group(self, observation: Any) -> dict[str, str]:
        """Return the group of each weight."""

    @abstractmethod
    def _decay(self, group: str) -> float:
        r"""Return $\gamma\lambda$ of a group."""

    def _combined(
        self, gs: list[dict[str, Any]], groups: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the gradient that is traced, and one that is added as it is (or nothing)."""
        return gs[0], {}

    # -- the life of a transition -------------------------------------------------------------
    def _arrive(self, observation: Any) -> None:
        """Complete the transition that waits for this observation."""
        if self._gradients and self._reward is None:
            raise ModelError(
                compose("the last step has no reward yet",
                        how=f"call {self._told}(reward, done) after each observation")
            )  # fmt: skip
        self._ahead = None
        if self._reward is not None:
            self._ahead = self._learn(self._look(observation))

    def _look(self, observation: Any) -> float:
        """Return the value of an observation under the weights of now; nothing moves on."""
        return float(np.ravel(look(self.learner, observation))[0])

    def _meet(self, observation: Any, value: float, targets: list[Any]) -> None:
        """Take an observation in, given its value under the weights of now."""
        if not self._groups:
            found = self._group(observation)
            self.rate.check(found)
            self._groups = found
        self._gradients = gradients(self.learner, observation, targets)
        self._value = value
        self._surprise = 0.0 if self._ahead is None else value - self._ahead

    def _told_reward(self, reward: Any, done: Any, final: Any) -> None:
        if not self._gradients:
            raise ModelError(
                compose("there is a reward before the first observation",
                        how="give the observation first")
            )  # fmt: skip
        if self._reward is not None:
            raise ModelError(
                compose("there are two rewards for one step",
                        how="give one reward for each observation; add up those in between")
            )  # fmt: skip
        found = float(reward)
        if not np.isfinite(found):
            raise ModelError(compose(f"the reward is {found}", how="give a finite number"))
        self._reward = found
        if final is not None:
            self._learn(self._look(final))
        elif done:
            self._learn(0.0)
        if done or final is not None:
            self.reset()

    def _learn(self, ahead: float) -> float:
        """Change the weights by the transition that is complete; return the value ahead."""
        assert self._reward is not None  # callers look first
        self.td_error = self._reward + self.gamma * ahead - self._value
        self._count += 1
        if self._updater is None:
            self._updater = Updater(self.learner, self._apply, list(self.rate.slots))
        if not self.slots:
            self.slots = self._fresh()
        numbers = {"delta": self.td_error, "surprise": self._surprise, "count": self._count}
        self.slots = self._updater(self._gradients, self.slots, numbers)
        self._gradients, self._reward = [], None
        return ahead

    def _apply(self, w: Any, gs: Any, held: Any, numbers: Any) -> tuple[Any, Any]:
        decay = {n: self._decay(self._groups[n]) for n in w}
        groups = {n: self._groups[n] for n in w}
        g, direct = self._combined(gs, groups)
        new, slots = self.rate.step(w, g, held, decay, Transition(**numbers), groups)
        return {n: x + direct[n] if n in direct else x for n, x in new.items()}, slots

    def _fresh(self) -> dict[str, dict[str, Any]]:
        learner = self.learner
        w = {n: learner.backend.to_numpy(x) for n, x in learner.params.items()
             if n in self._gradients[0]}  # fmt: skip
        to = learner.backend.asarray
        return {s: {n: to(x) for n, x in xs.items()} for s, xs in self.rate.start(w).items()}

    # -- life cycle ---------------------------------------------------------------------------
    def reset(self) -> None:
        """Begin an episode: states, traces of the rule and of reward return to their start."""
        self._clear()
        self.learner.reset()
        for slot in set(self.slots) - set(self.rate.lasting):
            first = self.rate.slots[slot]
            self.slots[slot] = {n: x * 0 + first for n, x in self.slots[slot].items()}

    @property
    def traces(self) -> dict[str, Any]:
        """Reward traces by path of the weight; empty before the first transition."""
        return dict(self.slots.get("z", {}))

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by dotted path."""
        return self.learner.params

    @property
    def groups(self) -> dict[str, str]:
        """The group of each weight; empty before the first observation."""
        return dict(self._groups)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a later run needs to go on: arrays of NumPy and plain numbers."""
        host = self.learner.backend.to_numpy

        def kept(arrays: Mapping[str, Any]) -> dict[str, Any]:
            return {n: np.array(host(x)) for n, x in arrays.items()}

        return {
            "format": FORMAT, "learner": self.learner.state_dict(),
            "update": type(self.rate).__name__,
            "slots": {s: kept(xs) for s, xs in self.slots.items()},
            "gradients": [kept(g) for g in self._gradients],
            "value": self._value, "surprise": self._surprise, "reward": self._reward,
            "count": self._count, "td_error": self.td_error, "groups": dict(self._groups),
        }  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_updater": None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        etp.ModelError
            If it belongs to another agent; nothing is changed then.
        """
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise ModelError(compose("not a state dict of an agent of etp.rl",
                                     how="give what state_dict() returned"))  # fmt: skip
        if state["update"] != type(self.rate).__name__:
            raise ModelError(
                compose(f"the state is that of {state['update']}, this agent uses "
                        f"{type(self.rate).__name__}", how="make the agent with the same update")
            )  # fmt: skip
        self.learner.load_state_dict(state["learner"])
        to = self.learner.backend.asarray
        self.slots = {s: {n: to(np.array(x)) for n, x in xs.items()}
                      for s, xs in state["slots"].items()}  # fmt: skip
        self._gradients = [{n: to(np.array(x)) for n, x in g.items()} for g in state["gradients"]]
        self._value, self._surprise = state["value"], state["surprise"]
        self._reward, self._count = state["reward"], state["count"]
        self.td_error, self._groups = state["td_error"], dict(state["groups"])
