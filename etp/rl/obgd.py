"""Overshooting-bounded steps: the rate falls where a step would carry the prediction too far."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from attrs import field, frozen

from etp_ir import namespace as xp

from .traces import Arrays, total, trace_named
from .update import Slots, Transition, Update, below_one, positive


@frozen(kw_only=True)
class ObGD(Update):
    r"""Overshooting-bounded gradient descent (Elsayed, Vasan & Mahmood 2024, "stream-x").

    .. math:: z &\leftarrow \gamma\lambda z + \nabla v, \quad
              M = \alpha\kappa\,\max(|\delta|, 1)\,\lVert z\rVert_1 \\
              w &\leftarrow w + \frac{\alpha}{\max(1, M)}\,\delta\, z

    The norm is over the traces of *all* weights together, not tensor by tensor. Memory: one trace
    per weight.

    Attributes
    ----------
    rate
        $\alpha$, the largest rate.
    kappa
        $\kappa$, the margin; 2 for values and 3 for policies in the paper.
    """

    rate: float = field(default=1.0, validator=positive)
    kappa: float = field(default=2.0, validator=positive)

    def bounded(self, z: Arrays, delta: Any) -> Any:
        """Return the rate for a trace and an error."""
        norm = total({n: xp.abs(x) for n, x in z.items()})
        reach = self.rate * self.kappa * xp.maximum(xp.abs(delta), 1.0) * norm
        return self.rate / xp.maximum(reach, 1.0)

    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        """Return weights and slots after one transition."""
        z = trace_named(self.trace)(held["z"], g, decay, None)
        along = self.bounded(z, at.delta) * at.delta
        return {n: w[n] + along * z[n] for n in w}, {"z": z}


@frozen(kw_only=True)
class AdaptiveObGD(ObGD):
    r"""ObGD with a scale for each weight, as Adam has it (Elsayed, Vasan & Mahmood 2024).

    .. math:: \nu \leftarrow \beta\nu + (1 - \beta)(\delta z)^2, \quad
              \tilde z = \frac{z}{\sqrt{\nu / (1 - \beta^{k}) + \epsilon}}

    and the step of `ObGD` with $\tilde z$ in place of $z$, in the norm too; $k$ counts updates,
    also beyond the end of an episode. Memory: two arrays per weight.

    Attributes
    ----------
    beta
        $\beta$, the decay of the second moment.
    eps
        $\epsilon$, inside of the root.
    """

    beta: float = field(default=0.999, validator=below_one)
    eps: float = field(default=1e-8, validator=positive)

    @property
    def slots(self) -> dict[str, float]:
        """What is kept for each weight, and what it starts from."""
        return {"z": 0.0, "second": 0.0}

    @property
    def lasting(self) -> tuple[str, ...]:
        """The slots that an end of an episode leaves as they are."""
        return ("second",)

    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        """Return weights and slots after one transition."""
        z = trace_named(self.trace)(held["z"], g, decay, None)
        fresh = 1.0 - self.beta
        second = {n: self.beta * held["second"][n] + fresh * xp.square(at.delta * z[n]) for n in z}
        weight = -xp.expm1(log(self.beta) * at.count)
        scaled = {n: z[n] / xp.sqrt(second[n] / weight + self.eps) for n in z}
        along = self.bounded(scaled, at.delta) * at.delta
        return {n: w[n] + along * scaled[n] for n in w}, {"z": z, "second": second}
