"""Actor and critic on one model: a trace of reward over a trace of sensitivity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ModelError, compose

from ..learner import Learner
from ..model import Module
from ..place import placed
from .agent import Agent, as_update
from .groups import reaching
from .policies import Policy, as_policy
from .stream import learner_for, look, single
from .update import share


@frozen
class PolicyLoss:
    r"""$c_v v + c_\pi \log\pi(a) + c_H H(\pi)$ of an output $[v, y]$.

    The target holds the three factors and the code of the action.
    """

    policy: Policy

    @property
    def __name__(self) -> str:
        return "policy_loss"

    def __call__(self, output: Any, target: Any) -> Any:
        """Return the combination for one example."""
        y = output[1:]
        return (target[0] * output[0] + target[1] * self.policy.log_probability(y, target[3:])
                + target[2] * self.policy.entropy(y))  # fmt: skip


class ActorCritic(Agent):
    r"""Actor-critic whose reward traces stand on the traces of any learning rule.

    A model gives the value of an observation and the policy, $[v, y]$. Weights fall into three
    groups, found by what they can reach: those that reach the value only (``"critic"``), the
    policy only (``"actor"``), or both (``"shared"``: what lies before the two heads).

    .. math:: e_C &\leftarrow \gamma\lambda_C\, e_C + \nabla v, \qquad
              e_A \leftarrow \gamma\lambda_A\, e_A + \nabla \log\pi(a) \\
              e_R &\leftarrow \gamma\lambda_R\, e_R
                  + \hat M^\top \nabla_h [v + \eta\log\pi(a)] \\
              \theta &\leftarrow \theta + \alpha\,\delta\,e

    with $\hat M$, the influence of weights on states, from whatever rule is chosen: RTRL or RFLO
    make it RTRRL (Lemmel & Grosu, AAAI 2025, eqs. of their algorithm 1), D-RTRL on an
    element-wise recurrence with `ObGD` the streaming actor-critic of recurrent trace units.

    Parameters
    ----------
    model
        A model with output ``[v, y]``, or a compiled `etp.Learner` of one: then its rule, options
        and parameters are taken, and it stays as it is.
    policy
        The number of actions to choose from, or `Categorical` or `Gaussian`.
    gamma
        $\gamma$.
    lam
        $\lambda$, a number, or one for each of ``critic``, ``actor`` and ``shared``.
    eta
        $\eta$, the share of the policy in the traces of shared weights; 0 leaves them to the
        value.
    entropy
        Rate at which weights also follow the gradient of the policy's entropy, without a trace.
        It costs a second gradient per step.
    rate
        A number, a number for each group, or an update: `Fixed`, `ObGD`, `AdaptiveObGD`, ...
    rule
        A learning rule that can stream, D-RTRL by default.
    seed
        Of the actions drawn, and of the random numbers of the model.
    options
        For `etp.compile`.

    Raises
    ------
    etp.ModelError
        If something is out of range, or the output does not fit the policy.
    etp.NotSupportedError
        If a batch of environments is asked for.
    """

    @placed
    def __init__(
        self, model: Module | Learner, policy: int | Policy, gamma: float = 0.99,
        lam: float | Mapping[str, float] = 0.8, *, eta: float = 1.0, entropy: float = 0.0,
        rate: Any = 1e-3, rule: Any = None, seed: int = 0, **options: Any,
    ) -> None:  # fmt: skip
        self.policy = as_policy(policy)
        named = lam if isinstance(lam, Mapping) else dict.fromkeys(GROUPS, lam)
        if set(named) != set(GROUPS):
            raise ModelError(
                compose(f"lam is given for {sorted(named)}",
                        how=f"give one for each of {', '.join(GROUPS)}, or one number")
            )  # fmt: skip
        self.lam = {n: share(f"lam[{n!r}]", x) for n, x in named.items()}
        self.eta, self.entropy = share("eta", eta), share("entropy", entropy)
        if not isinstance(model, Learner):
            options["seed"] = seed
        learner = learner_for(model, rule, PolicyLoss(self.policy), options)
        super().__init__(learner, gamma, as_update(rate))
        self.rng = np.random.default_rng(seed)

    @placed
    def act(self, observation: Any) -> Any:
        """Return an action for an observation, of one example and without a batch axis.

        First it completes the transition before: `td_error` is known, and the weights change.
        """
        self._arrive(observation)
        output = look(self.learner, observation)
        self._check_output(output.shape)
        action, code = self.policy.draw(output[1:], self.rng)
        targets = [np.concatenate([factors, code]) for factors in self._factors()]
        self._meet(observation, float(output[0]), targets)
        return action

    @placed
    def learn(self, reward: float, done: bool = False, *, final: Any = None) -> None:
        """Give the reward that followed the last action.

        Parameters
        ----------
        reward
            It may be 0.
        done
            Whether the episode ended: the weights change at once, with no value ahead, and the
            next observation begins another episode.
        final
            Where an episode is cut off without having ended: the observation it was left in,
            whose value then stands for what would have come.
        """
        self._told_reward(reward, done, final)

    def _check_output(self, shape: tuple[int, ...]) -> None:
        wanted = (1 + self.policy.width,)
        if shape != wanted:
            raise ModelError(
                compose(f"the output of the model has shape {shape}, and a value and a "
                        f"{type(self.policy).__name__} policy of {self.policy.actions} take "
                        f"{wanted}", how="end the model with xp.concat([value, policy])")
            )  # fmt: skip

    def _factors(self) -> list[tuple[float, float, float]]:
        """Return the factors of value, policy and entropy in each gradient that is needed."""
        found = [(1.0, self.eta, 0.0)]
        if self.eta == 0:
            found.append((0.0, 1.0, 0.0))
        if self.entropy:
            found.append((0.0, 0.0, 1.0))
        return found

    def _combined(
        self, gs: list[dict[str, Any]], groups: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        policy = {n: x / self.eta for n, x in gs[0].items()} if self.eta else gs[1]
        traced = {n: policy[n] if groups[n] == "actor" else x for n, x in gs[0].items()}
        direct = {n: self.entropy * x for n, x in gs[-1].items()} if self.entropy else {}
        return traced, direct

    def _group(self, observation: Any) -> dict[str, str]:
        """Return what each weight reaches: the value, the policy, or both."""
        engine = self.learner.engine
        program = engine.trace(engine.row(single(observation), None)).program
        value = reaching(program, 0, 1)
        policy = reaching(program, 1, 1 + self.policy.width)
        return {
            n: "actor" if n in policy - value else "critic" if n in value - policy else "shared"
            for n in self.learner.params
        }

    def _decay(self, group: str) -> float:
        return self.gamma * self.lam[group]

    def state_dict(self) -> dict[str, Any]:
        """Return all that a later run needs to go on: arrays of NumPy and plain numbers."""
        return {**super().state_dict(), "random": self.rng.bit_generator.state}

    @placed
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; see `Agent`."""
        super().load_state_dict(state)
        self.rng.bit_generator.state = state["random"]


GROUPS = ("critic", "actor", "shared")
