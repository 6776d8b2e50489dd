"""RTRL and SnAp on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


class RTRL:
    """R04, Williams & Zipser 1989: M_t = J_t M_{t-1} + F_t, g_t = M_tᵀ q_t."""

    def __init__(self) -> None:
        self.m = 0.0

    def step(self, now: Now, draw: None = None) -> Record:
        pushed = np.tensordot(now.J, self.m, axes=1) if np.ndim(self.m) else 0.0
        self.m = self.keep(pushed + now.F)
        return Record({"m": self.m}, now.q, {"w": np.tensordot(now.q, self.m, axes=1)})

    def keep(self, m: np.ndarray) -> np.ndarray:
        return m


class SnAp(RTRL):
    """R13, Menick et al. 2021: M_t = Q_n ⊙ (J_t M_{t-1} + F_t).

    Q_n keeps entry (k; j, i) if unit k is reached from unit i in at most n - 1 steps of the pattern
    of J (which contains the diagonal: the leak). ``connected`` (n, n) says where J may be non-zero.
    With n = 1 only the own unit's entries stay, and J_ii holds the recurrent self-weight (R14).
    """

    def __init__(self, order: int, connected: np.ndarray) -> None:
        super().__init__()
        hop = (np.asarray(connected) != 0) | np.eye(len(connected), dtype=bool)
        self.reached = np.linalg.matrix_power(hop.astype(int), order - 1) > 0

    def keep(self, m: np.ndarray) -> np.ndarray:
        return m * self.reached[:, None, :]


class SnAp1:
    """R14 written out: E_ji ← J_ii E_ji + D_i â_j, J_ii = (1 - α) + D_i W_ii; g_ji = q_i E_ji."""

    def __init__(self) -> None:
        self.e = 0.0

    def step(self, now: Now, draw: None = None) -> Record:
        own = 1 - now.net.alpha + now.D * np.diag(now.net.weights["w"][: now.net.n])
        self.e = own * self.e + np.outer(now.a, now.D)
        return Record({"e": self.e}, now.q, {"w": self.e * now.q})
