"""Sketched RTRL with its run-time certificate, on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


class Sketched:
    """R18, SK-RTRL: M ≈ S + L Rᵀ, S the own unit's entries, L (n, r), R (P, r).

    S' = diag(J) S + F;  residual = J L Rᵀ + (J - diag J) S, cut to rank r by its SVD (the best
    cut; a randomised range finder approaches it). Certificate e ← ‖J‖₂ e + η, with η the Frobenius
    norm of the discarded part: e bounds ‖M - M̂‖_F. r = n is exact. The code of the paper may bound
    ‖J‖ otherwise: any bound of it keeps the certificate true, ‖J‖₂ is the least.
    Also records the estimate ``m`` and the discarded mass ``eta``.
    """

    def __init__(self, rank: int) -> None:
        self.rank, self.bound = rank, 0.0
        self.S: np.ndarray | None = None
        self.low: np.ndarray | float = 0.0

    def step(self, now: Now, draw: None = None) -> Record:
        shape = now.F.shape
        own = np.eye(now.net.n)[:, None, :]
        S = np.zeros(shape) if self.S is None else self.S
        off = now.J - np.diag(np.diag(now.J))
        residual = now.J @ (self.low * np.ones((shape[0], shape[1] * shape[2])))
        residual = residual + (off @ S.reshape(shape[0], -1))
        self.S = np.diag(now.J)[:, None, None] * S * own + now.F
        u, s, vt = np.linalg.svd(residual, full_matrices=False)
        self.low = (u[:, : self.rank] * s[: self.rank]) @ vt[: self.rank]
        eta = float(np.sqrt((s[self.rank :] ** 2).sum()))
        self.bound = np.linalg.norm(now.J, 2) * self.bound + eta
        m = self.S + self.low.reshape(shape)
        traces = {"s": self.S, "m": m, "bound": np.array(self.bound), "eta": np.array(eta)}
        return Record(traces, now.q, {"w": np.tensordot(now.q, m, axes=1)})
