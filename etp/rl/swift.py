"""True online TD with a rate for every weight, learned, and bounded in what it corrects."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from attrs import field, frozen

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, compose

from .traces import Arrays, total
from .update import Slots, Transition, Update, below_one, positive


@frozen(kw_only=True)
class SwiftTD(Update):
    r"""SwiftTD (Javed, Sharifnassab & Sutton 2024).

    With $\phi = \nabla v$, $\alpha = e^{\beta}$, $\tau = \sum\alpha\phi^2$ and
    $\delta' = \delta + v - v_{old}$:

    .. math:: z^\delta &= \min(1, \eta/\tau)\,\alpha\odot\phi, \quad b = z^\top\phi \\
              z &\leftarrow z + z^\delta(1 - b), \quad p \leftarrow p + h_{old}\odot\phi, \quad
              \bar z \leftarrow \bar z + z^\delta(1 - b - \bar z\odot\phi) \\
              \hat h &= h - h_{old}\odot\phi\odot(z - z^\delta) - h\odot z^\delta\odot\phi \\
              w &\leftarrow w + \delta' z - (v - v_{old})\, z^\delta \\
              \beta &\leftarrow \min\big(\log\eta,\;
                  \beta + \theta e^{-\beta}(\delta' - (v - v_{old}))\odot p\big) \\
              h_{old} &\leftarrow h, \quad
              h \leftarrow \hat h + \delta'\bar z - (v - v_{old})\, z^\delta

    and then $z$, $p$ and $\bar z$ decay by $\gamma\lambda$. Where $\tau > \eta$, a step that would
    correct more than the error, $\beta$ falls by $\log(1/\mathrm{decay})\,\phi^2$, and $h$,
    $h_{old}$, $\hat h$ and $\bar z$ return to zero. Stated for a linear value; otherwise the
    gradient stands for the features. The published code also has a smallest rate; the comparison
    that should enforce it never holds, so it is left out. Memory: six arrays per weight.

    Attributes
    ----------
    rate
        $\alpha$ of every weight at the start.
    eta
        $\eta$, the largest share of an error that one step may correct, and the largest rate.
    meta
        $\theta$, the rate of the rates.
    decay
        By how much rates fall where they were too large together.
    """

    rate: float = field(default=1e-3, validator=positive)
    eta: float = field(default=0.1, validator=positive)
    meta: float = field(default=1e-3, validator=positive)
    decay: float = field(default=0.999, validator=below_one)
    trace: str = field(default="dutch")

    def __attrs_post_init__(self) -> None:
        if self.rate > self.eta:
            raise ModelError(
                compose(f"the rate {self.rate} is above eta, {self.eta}, the largest one",
                        how="give a smaller rate")
            )  # fmt: skip

    @property
    def traces(self) -> tuple[str, ...]:
        """Names of the traces that it can stand on."""
        return ("dutch",)

    @property
    def slots(self) -> dict[str, float]:
        """What is kept for each weight, and what it starts from."""
        zero = dict.fromkeys(("z", "p", "z_bar", "h", "h_old"), 0.0)
        return {**zero, "beta": log(self.rate)}

    @property
    def lasting(self) -> tuple[str, ...]:
        """The slots that an end of an episode leaves as they are."""
        return ("h", "h_old", "beta")

    def step(
        self, w: Arrays, g: Arrays, held: Slots, decay: Mapping[str, float], at: Transition,
        groups: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:  # fmt: skip
        """Return weights and slots after one transition."""
        tau = total({n: xp.exp(held["beta"][n]) * xp.square(g[n]) for n in g})
        along = total({n: held["z"][n] * g[n] for n in g})
        share = self.eta / xp.maximum(tau, self.eta)
        kept = xp.where(xp.greater(tau, self.eta), 0.0, 1.0)
        fall = (1.0 - kept) * log(self.decay)
        error = at.delta + at.surprise
        new: dict[str, dict[str, Any]] = {slot: {} for slot in self.slots}
        moved = {}
        for n, phi in g.items():
            z, p, z_bar, h, h_old, beta = (held[s][n] for s in new)
            fresh = share * xp.exp(beta) * phi
            z = z + fresh * (1.0 - along)
            p = p + h_old * phi
            z_bar = kept * (z_bar + fresh * (1.0 - along - z_bar * phi))
            ahead = kept * (h - h_old * phi * (z - fresh) - h * fresh * phi)
            back = at.surprise * fresh
            moved[n] = w[n] + error * z - back
            beta = beta + fall * xp.square(phi)
            beta = beta + self.meta * xp.exp(-beta) * at.delta * p
            new["beta"][n] = xp.minimum(beta, log(self.eta))
            new["h_old"][n], new["h"][n] = kept * h, ahead + error * z_bar - back
            for slot, x in (("z", z), ("p", p), ("z_bar", z_bar)):
                new[slot][n] = decay[n] * x
        return moved, new
