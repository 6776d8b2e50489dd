"""Prediction of returns by temporal differences."""

from __future__ import annotations

from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, compose
from etp_ir.types import type_of

from ..learner import Learner
from ..model import Module
from ..place import placed
from .agent import Agent, as_update
from .stream import learner_for
from .update import share


def value_of(output: Any, target: Any) -> Any:
    """Return the value that a model's output of one element is; the loss of a `TD` agent."""
    if type_of(output).size != 1:
        raise ModelError(
            compose(f"a value is one number, and the output of the model is {type_of(output)}",
                    how="end the model with a readout of width 1")
        )  # fmt: skip
    return xp.sum(output)


class TD(Agent):
    r"""Prediction of the discounted sum of rewards, TD($\lambda$), on any model and any rule.

    .. math:: \delta = r + \gamma v(s') - v(s), \quad z \leftarrow \gamma\lambda z + \nabla v(s),
              \quad w \leftarrow w + \alpha\,\delta\,z

    with $\nabla v$ the online gradient that the learning rule leaves at that step.

    Parameters
    ----------
    model
        A model whose output is one number, or a compiled `etp.Learner` of one: then its rule,
        options and parameters are taken, and it stays as it is.
    gamma, lam
        $\gamma$ and $\lambda$.
    rate
        A number, or an update: `Fixed`, `TrueOnline`, `ObGD`, `AdaptiveObGD`, `TIDBD`.
    rule
        A learning rule that can stream, D-RTRL by default.
    options
        For `etp.compile`.

    Raises
    ------
    etp.ModelError
        If something is out of range.
    etp.NotSupportedError
        If a batch of environments is asked for.
    """

    _told = "update"

    @placed
    def __init__(
        self, model: Module | Learner, gamma: float = 0.99, lam: float = 0.8, *,
        rate: Any = 0.01, rule: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        self.lam = share("lam", lam)
        super().__init__(learner_for(model, rule, value_of, options), gamma, as_update(rate))

    @placed
    def predict(self, observation: Any) -> float:
        """Return the value of an observation, of one example and without a batch axis.

        First it completes the transition before: `td_error` is known, and the weights change.
        """
        self._arrive(observation)
        value = self._look(observation)
        self._meet(observation, value, [0.0])
        return value

    @placed
    def update(self, reward: float, done: bool = False, *, final: Any = None) -> None:
        """Give the reward that followed the last observation.

        Parameters
        ----------
        reward
            It may be 0; where several arrive between two observations, their sum.
        done
            Whether the episode ended: the weights change at once, with no value ahead, and the
            next observation begins another episode.
        final
            Where an episode is cut off without having ended: the observation it was left in,
            whose value then stands for what would have come.
        """
        self._told_reward(reward, done, final)

    def _group(self, observation: Any) -> dict[str, str]:
        return dict.fromkeys(self.learner.params, "critic")

    def _decay(self, group: str) -> float:
        return self.gamma * self.lam
