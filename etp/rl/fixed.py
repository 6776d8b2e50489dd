"""TD(lambda) with given rates, and true online TD(lambda)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir.errors import ModelError, compose

from .traces import Arrays, trace_named
from .update import Slots, Transition, Update, positive


def _rates(rate: Any) -> Any:
    rates = rate.values() if isinstance(rate, Mapping) else [rate]
    if not all(isinstance(r, (int, float, np.number)) and r >= 0 for r in rates) or rate == {}:
        raise ModelError(
            compose(f"{rate!r} is no rate", how="give a number >= 0, or one for each group: "
                    "{'critic': 1e-2, 'actor': 1e-2, 'shared': 1e-3}")
        )  # fmt: skip
    return dict(rate) if isinstance(rate, Mapping) else float(rate)


@frozen(kw_only=True)
class Fixed(Update):
    r"""TD($\lambda$) with a given rate (Sutton 1988).

    .. math:: z \leftarrow \gamma\lambda z + \nabla v, \quad w \leftarrow w + \alpha\,\delta\,z

    Memory: one trace per weight. Time: one pass over it per step.

    Attributes
    ----------
    rate
        $\alpha$, a number, or one for each group of weights.
    """

    rate: Any = field(default=0.01, converter=_rates)

    def __attrs_post_init__(self) -> None:
        if self.trace == "dutch" and not isinstance(self.rate, float):
            raise ModelError(
                compose("a dutch trace holds one rate, and several were given",
                        how="give one number as rate, or trace='accumulating'")
            )  # fmt: skip

    @property
    def traces(self) -> tuple[str, ...]:
        """Names of the traces that it can stand on."""
        return ("accumulating", "replacing", "dutch")

    def rates(self, groups: Mapping[str, str]) -> dict[str, float]:
        """Return the rate of each weight.

        Raises
        ------
        etp.ModelError
            If a group has none.
        """
        if isinstance(self.rate, float):
            return dict.fromkeys(groups, self.rate)
        lacking = sorted(set(groups.values()) - set(self.rate))
        if lacking:
            raise ModelError(
                compose(f"no rate for the weights of group {lacking[0]!r}",
                        how=f"give one: rate={{..., {lacking[0]!r}: 0.01}}")
            )  # fmt: skip
        return {n: float(self.rate[group]) for n, group in groups.items()}

    def check(self, groups: Mapping[str, str]) -> None:
        """Raise if it does not fit the groups of a model's weights."""
        self.rates(groups)

    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        """Return weights and slots after one transition."""
        z = trace_named(self.trace)(held["z"], g, decay, self.rate)
        rates = self.rates(groups)
        return {n: w[n] + (rates[n] * at.delta) * z[n] for n in w}, {"z": z}


@frozen(kw_only=True)
class TrueOnline(Update):
    r"""True online TD($\lambda$) (van Seijen, Mahmood, Pilarski, Machado & Sutton 2016).

    .. math:: z &\leftarrow \gamma\lambda z
                  + (1 - \alpha\gamma\lambda\, z^\top \nabla v)\,\nabla v \\
              w &\leftarrow w + \alpha(\delta + v - v_{old})\, z - \alpha(v - v_{old})\,\nabla v

    with $v_{old}$ the value of the same state under the weights of the step before. For a linear
    value it is, after every step, equal to the online $\lambda$-return algorithm; otherwise the
    gradient stands for the features, and it approximates that. Memory and time are those of
    `Fixed`.
    """

    rate: float = field(default=0.01, validator=positive)
    trace: str = field(default="dutch")

    @property
    def traces(self) -> tuple[str, ...]:
        """Names of the traces that it can stand on."""
        return ("dutch",)

    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        """Return weights and slots after one transition."""
        z = trace_named(self.trace)(held["z"], g, decay, self.rate)
        along, back = self.rate * (at.delta + at.surprise), self.rate * at.surprise
        return {n: w[n] + along * z[n] - back * g[n] for n in w}, {"z": z}
