"""A rate for every weight, learned by gradient descent on the TD error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from etp_ir import namespace as xp

from .traces import Arrays, trace_named
from .update import Slots, Transition, Update, positive


@frozen(kw_only=True)
class TIDBD(Update):
    r"""TD($\lambda$) with rates learned by incremental delta-bar-delta (Sutton 1992; Kearney 2018).

    .. math:: z &\leftarrow \gamma\lambda z + \nabla v, \quad
              \beta \leftarrow \beta + \theta\,\delta\,\nabla v \odot h, \quad
              \alpha = \alpha_0 e^{\beta} \\
              w &\leftarrow w + \alpha\,\delta \odot z, \quad
              h \leftarrow h \odot [1 - \alpha \odot \nabla v \odot z]^+ + \alpha\,\delta \odot z

    The rates and $h$ outlast episodes. Memory: three arrays per weight.

    Attributes
    ----------
    rate
        $\alpha_0$, the rate of every weight at the start.
    meta
        $\theta$, the rate of the rates.
    """

    rate: float = field(default=0.01, validator=positive)
    meta: float = field(default=0.01, validator=positive)

    @property
    def slots(self) -> dict[str, float]:
        """What is kept for each weight, and what it starts from."""
        return {"z": 0.0, "beta": 0.0, "h": 0.0}

    @property
    def lasting(self) -> tuple[str, ...]:
        """The slots that an end of an episode leaves as they are."""
        return ("beta", "h")

    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        """Return weights and slots after one transition."""
        z = trace_named(self.trace)(held["z"], g, decay, None)
        beta = {n: held["beta"][n] + (self.meta * at.delta) * g[n] * held["h"][n] for n in g}
        alpha = {n: self.rate * xp.exp(b) for n, b in beta.items()}
        change = {n: at.delta * alpha[n] * z[n] for n in z}
        h = {
            n: held["h"][n] * xp.maximum(1.0 - alpha[n] * g[n] * z[n], 0.0) + change[n]
            for n in z
        }  # fmt: skip
        return {n: w[n] + change[n] for n in w}, {"z": z, "beta": beta, "h": h}
