"""Rolling truncated BPTT and future-facing BPTT on the leaky tanh RNN."""

from __future__ import annotations

from collections import deque

import numpy as np

from .leaky_tanh import Now
from .record import Record


class TBPTT:
    """R02, Williams & Peng 1990: BPTT(h; h') with k2 = h and k1 = h'.

    Every k1 steps δ runs back over the last k2 steps, fed by the losses of the last k1 alone;
    at the other steps the gradient is zero. Steps before the first are not there (h_0 is given).
    """

    def __init__(self, k1: int, k2: int) -> None:
        assert k1 <= k2
        self.k1, self.k2, self.t = k1, k2, 0
        self.ring: deque[Now] = deque(maxlen=k2)

    def step(self, now: Now, draw: None = None) -> Record:
        self.t += 1
        self.ring.append(now)
        g = np.zeros_like(now.net.weights["w"])
        if self.t % self.k1 == 0:
            delta = np.zeros(now.net.n)
            for lag, then in enumerate(reversed(self.ring)):
                delta = delta + (then.q if lag < self.k1 else 0)
                g += np.outer(then.a, then.D * delta)
                delta = then.J.T @ delta
        return Record({}, now.q, {"w": g})


class FutureFacing:
    """R03, F-BPTT of Marschall et al. 2020 with horizon H.

    Ring of H steps with their credit c; at each step u_0 = q_t is added to c_t, u_b = J_{t-b+1}ᵀ
    u_{b-1} to c_{t-b} for b = 1 … H - 1; then g = â ⊗ (D ⊙ c) of the oldest, step t - H + 1.
    ``flush`` returns what the last H - 1 steps still hold when the sequence ends.
    """

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.ring: list[tuple[Now, np.ndarray]] = []

    def step(self, now: Now, draw: None = None) -> Record:
        self.ring.append((now, np.zeros(now.net.n)))
        u = now.q
        for then, credit in reversed(self.ring):
            credit += u
            u = then.J.T @ u
        credits = np.array([c for _, c in self.ring])
        g = np.zeros_like(now.net.weights["w"])
        if len(self.ring) == self.horizon:
            g = self.oldest()
        return Record({"c": credits}, now.q, {"w": g})

    def oldest(self) -> np.ndarray:
        then, credit = self.ring.pop(0)
        return np.outer(then.a, then.D * credit)

    def flush(self) -> np.ndarray:
        return sum(self.oldest() for _ in range(len(self.ring)))
