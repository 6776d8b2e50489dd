"""Pair-based STDP, alone and modulated by reward, on two spike trains."""

from __future__ import annotations

import numpy as np

from .record import Record


class STDP:
    """R47, pair-based with all pairs (Morrison et al. 2008), and R-STDP (Izhikevich 2007).

    x̄ ← λ_pre x̄ + z_pre and ȳ ← λ_post ȳ + z_post, both advanced before use (SpikingJelly), so that
    a coincident pair adds A₊ - A₋;  e_ji = A₊ x̄_j z_post,i - A₋ ȳ_i z_pre,j;  E ← λ_E E + e;
    potentiation is -e to a rule that descends: g = -e, or g = -R E with a reward R each step.
    """

    def __init__(
        self, decay_pre: float, decay_post: float, plus: float, minus: float,
        decay_e: float | None = None,
    ) -> None:  # fmt: skip
        self.decay_pre, self.decay_post, self.decay_e = decay_pre, decay_post, decay_e
        self.plus, self.minus = plus, minus
        self.x: np.ndarray | float = 0.0
        self.y: np.ndarray | float = 0.0
        self.E: np.ndarray | float = 0.0

    def step(self, pre: np.ndarray, post: np.ndarray, reward: float = 1.0) -> Record:
        self.x = self.decay_pre * self.x + pre
        self.y = self.decay_post * self.y + post
        e = self.plus * np.outer(self.x, post) - self.minus * np.outer(pre, self.y)
        traces = {"x": self.x, "y": self.y, "e": e}
        if self.decay_e is None:
            return Record(traces, 1.0, {"w": -e})
        self.E = self.decay_e * self.E + e
        return Record({**traces, "E": self.E}, reward, {"w": -reward * self.E})


def run(
    rule: STDP, pre: np.ndarray, post: np.ndarray, rewards: np.ndarray | None = None
) -> list[Record]:
    """Run over spike trains (T, m) and (T, n)."""
    rewards = np.ones(len(pre)) if rewards is None else rewards
    return [rule.step(p, q, r).copied() for p, q, r in zip(pre, post, rewards, strict=True)]
