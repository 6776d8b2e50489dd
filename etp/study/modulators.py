"""A modulator for supervised tasks, for rules that ask for one beside the data."""

from __future__ import annotations

from typing import Any, cast

import attrs
from attrs import evolve, frozen

from etp_ir.errors import NotSupportedError

from .. import losses
from ..given import mistake
from ..rules import LearningRule
from ..signals import Modulatory
from ..tasks import Task


@frozen
class Surprise:
    r"""How much worse a step went than for who knows nothing, as a function of the output.

    .. math:: m^t = \pm\,(L^t - L_0)

    Parameters
    ----------
    loss
        The loss :math:`L` of a task, as `etp.losses.get` takes it.
    baseline
        The loss :math:`L_0` of who knows nothing.
    sign
        1 for a modulator with the sign of a loss, -1 for a reward.
    """

    loss: Any
    baseline: float
    sign: float = 1.0

    def __call__(self, output: Any, target: Any) -> Any:
        """Return the modulator of a step of one example."""
        return self.sign * (losses.get(self.loss)(output, target) - self.baseline)

    def __str__(self) -> str:
        what = f"the loss of each step less that of who knows nothing, {self.baseline:.3g}"
        return what if self.sign > 0 else f"the negative of {what}"


def supplied(rule: LearningRule, task: Task) -> LearningRule:
    """Return the rule, with a modulator where it asks for one: a task has none beside its data.

    Raises
    ------
    NotSupportedError
        If what it asks for is no `etp.signals.Modulatory` signal.
    """
    if not rule.modulated:
        return rule
    signal = rule.signal
    fields = {f.name: f.alias for f in attrs.fields(cast(Any, type(rule)))}
    if rule.reward is not None or not isinstance(signal, Modulatory) or "signal" not in fields:
        raise mistake(
            NotSupportedError, f"{rule.name} asks for a modulator beside the data, and the task "
            f"{task.name} has none",
            "train it in Python with (xs, ys, mask, modulator) as batches of learner.fit, and look "
            "at it with etp.study.audit.audit(..., modulator=)",
        )  # fmt: skip
    alias = fields["signal"] or "signal"
    sign = -1.0 if alias == "reward" else 1.0
    given = Surprise(task.loss, float(task.chance["loss"]), sign)
    return evolve(cast(Any, rule), **{alias: evolve(signal, function=given)})


def told(rule: LearningRule) -> str:
    """Return in words which modulator was supplied, or nothing."""
    given = rule.signal.function if isinstance(rule.signal, Modulatory) else None
    return str(given) if isinstance(given, Surprise) else ""
