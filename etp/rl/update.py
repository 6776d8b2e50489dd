"""What all updates by reward share: the trace, the slots kept for each parameter, the counter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir.errors import ModelError, compose
from etp_ir.types import type_of

from .traces import Arrays, trace_named

Slots = Mapping[str, Arrays]


@frozen
class Transition:
    r"""The numbers of one transition, scalars.

    Attributes
    ----------
    delta
        TD error $\delta = r + \gamma v(s') - v(s)$, both values under the current weights.
    surprise
        $v(s) - v_{old}$: how far the value of ``s`` moved when the weights last changed.
    count
        Number of the update, from 1.
    """

    delta: Any
    surprise: Any
    count: Any


@frozen(kw_only=True)
class Update(ABC):
    """How TD errors and gradients change weights; immutable, written on ``etp.xp``.

    Attributes
    ----------
    trace
        ``"accumulating"``, ``"replacing"`` or, where there is one rate, ``"dutch"``.
    """

    trace: str = field(default="accumulating")

    @trace.validator
    def _check_trace(self, attribute: Any, value: str) -> None:
        trace_named(value, self.traces)

    @property
    def traces(self) -> tuple[str, ...]:
        """Names of the traces that it can stand on."""
        return ("accumulating", "replacing")

    @property
    def slots(self) -> dict[str, float]:
        """What is kept for each weight, and what it starts from."""
        return {"z": 0.0}

    @property
    def lasting(self) -> tuple[str, ...]:
        """The slots that an end of an episode leaves as they are."""
        return ()

    @abstractmethod
    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        r"""Return weights and slots after one transition.

        Parameters
        ----------
        w, g
            Weights, and the gradient of the prediction (to be *raised* by a positive error).
        held
            Slot -> path -> array.
        decay
            $\\gamma\\lambda$ by path.
        at
            TD error and counter.
        groups
            What each weight belongs to, by path; see `ActorCritic`.
        """

    def check(self, groups: Mapping[str, str]) -> None:  # noqa: B027
        """Raise if it does not fit the groups of a model's weights."""

    def start(self, w: Arrays) -> dict[str, dict[str, Any]]:
        """Return the slots before the first step."""
        return {
            slot: {n: np.full(x.shape, first, type_of(x).dtype.numpy()) for n, x in w.items()}
            for slot, first in self.slots.items()
        }


def positive(instance: Any, attribute: Any, value: Any) -> None:
    """Raise unless an attribute is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not value > 0:
        raise ModelError(
            compose(f"{attribute.name} of {type(instance).__name__} is {value!r}",
                    how="give a number above 0")
        )  # fmt: skip


def below_one(instance: Any, attribute: Any, value: Any) -> None:
    """Raise unless an attribute is a number above 0 and below 1."""
    positive(instance, attribute, value)
    if not value < 1:
        raise ModelError(
            compose(f"{attribute.name} of {type(instance).__name__} is {value!r}",
                    how="give a number below 1")
        )  # fmt: skip


def share(what: str, value: Any) -> float:
    """Return a number between 0 and 1, both included."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not (
        0 <= value <= 1
    ):  # fmt: skip
        raise ModelError(compose(f"{what} is {value!r}", how="give a number from 0 to 1"))
    return float(value)
