"""KeRNL on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


class KeRNL:
    """R20, Roth et al. 2019, algorithm 1; draws ζ (n,) ~ σ N(0, 1) a step.

    s̃_t = f(s̃_{t-1}, x_t) + ζ_t (so that Ω, which holds ζ_t, and s̃ - s see the same draw);
    κ = max(0, 1 - α);  Γ ← κ Γ - Ω (the old Ω);  Ω ← κ Ω + ζ;  B ← κ B + D ⊗ â;
    ε = A Ω - (s̃ - s);  A ← A - η ε Ωᵀ and α ← α - η (Aᵀ ε) ⊙ Γ, both with the old A;
    g_ji = (Aᵀ q)_i B_ji with the new A. A starts at the identity, α at ``alpha`` (Marschall: 0.8).
    """

    def __init__(self, n: int, eta: float, alpha: float = 0.8) -> None:
        self.A, self.alpha, self.eta = np.eye(n), np.full(n, alpha), eta
        self.omega, self.gamma, self.noisy = np.zeros(n), np.zeros(n), np.zeros(n)
        self.B: np.ndarray | float = 0.0

    def step(self, now: Now, zeta: np.ndarray) -> Record:
        self.noisy = now.net.next(self.noisy, now.x)[2] + zeta
        kappa = np.maximum(0, 1 - self.alpha)
        self.gamma = kappa * self.gamma - self.omega
        self.omega = kappa * self.omega + zeta
        self.B = kappa * self.B + np.outer(now.a, now.D)
        miss = self.A @ self.omega - (self.noisy - now.h)
        slope = self.A.T @ miss
        self.A = self.A - self.eta * np.outer(miss, self.omega)
        self.alpha = self.alpha - self.eta * slope * self.gamma
        traces = {
            "b": self.B, "omega": self.omega, "gamma": self.gamma, "noisy": self.noisy,
            "off": self.noisy - now.h, "a": self.A, "alpha": self.alpha,
        }  # fmt: skip
        ell = self.A.T @ now.q
        return Record(traces, ell, {"w": self.B * ell})
