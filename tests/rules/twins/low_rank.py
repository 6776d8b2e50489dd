"""Unbiased low-rank influences on the leaky tanh RNN: UORO, KF-RTRL, R-KF-RTRL.

Norms are Euclidean (Frobenius). A ratio with a zero in it, as at the first step, is replaced by 1:
the product it would scale is zero, so that the estimate does not depend on the choice.
"""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


def ratio(over: np.ndarray, under: np.ndarray) -> float:
    """Return √(‖over‖ / ‖under‖), and 1 where either is zero."""
    a, b = np.linalg.norm(over), np.linalg.norm(under)
    return float(np.sqrt(a / b)) if a > 0 and b > 0 else 1.0


class UORO:
    """R25, Tallec & Ollivier 2018; signs ν (n,) a step.

    A' = J A, b_ji = ν_i D_i â_j; ρ0 = √(‖B‖/‖A'‖), ρ1 = √(‖b‖/‖ν‖);
    A ← ρ0 A' + ρ1 ν;  B ← B / ρ0 + b / ρ1;  g = (q·A) B.
    """

    def __init__(self) -> None:
        self.A: np.ndarray | float = 0.0
        self.B: np.ndarray | float = 0.0

    def step(self, now: Now, nu: np.ndarray) -> Record:
        pushed = now.J @ (self.A * np.ones(now.net.n))
        b = np.outer(now.a, nu * now.D)
        rho0, rho1 = ratio(self.B * np.ones(b.shape), pushed), ratio(b, nu)
        self.A = rho0 * pushed + rho1 * nu
        self.B = self.B / rho0 + b / rho1
        return Record({"a": self.A, "b": self.B}, now.q, {"w": (now.q @ self.A) * self.B})


class KFRTRL:
    """R26, Mujika et al. 2018; two signs (ν0, ν1) a step.

    B' = J B; ρ0 = √(‖B'‖/‖A‖), ρ1 = √(‖D‖/‖â‖);
    A ← ν0 ρ0 A + ν1 ρ1 â;  B ← ν0 B' / ρ0 + ν1 diag(D) / ρ1;  g_ji = A_j (Bᵀ q)_i.
    """

    def __init__(self) -> None:
        self.A: np.ndarray | float = 0.0
        self.B: np.ndarray | float = 0.0

    def step(self, now: Now, nu: np.ndarray) -> Record:
        pushed = now.J @ (self.B * np.ones(now.J.shape))
        rho0, rho1 = ratio(pushed, self.A * np.ones(len(now.a))), ratio(now.D, now.a)
        self.A = nu[0] * rho0 * self.A + nu[1] * rho1 * now.a
        self.B = nu[0] * pushed / rho0 + nu[1] * np.diag(now.D) / rho1
        gradient = np.outer(self.A, self.B.T @ now.q)
        return Record({"a": self.A, "b": self.B}, now.q, {"w": gradient})


class RKFRTRL:
    """R27, Marschall et al. 2020 (reverse KF-RTRL); signs ν (n,) a step.

    The influence is M[k, j, i] ≈ A_i B_kj: B' = J B; b_kj = ν_k D_k â_j; ρ0 = √(‖B'‖/‖A‖),
    ρ1 = √(‖b‖/√n);  A ← ρ0 A + ρ1 ν;  B ← B' / ρ0 + b / ρ1;  g_ji = A_i (Bᵀ q)_j.
    """

    def __init__(self) -> None:
        self.A: np.ndarray | float = 0.0
        self.B: np.ndarray | float = 0.0

    def step(self, now: Now, nu: np.ndarray) -> Record:
        n = now.net.n
        pushed = now.J @ (self.B * np.ones((n, len(now.a))))
        b = np.outer(nu * now.D, now.a)
        rho0 = ratio(pushed, self.A * np.ones(n))
        rho1 = ratio(b, nu)
        self.A = rho0 * self.A + rho1 * nu
        self.B = pushed / rho0 + b / rho1
        gradient = np.outer(self.B.T @ now.q, self.A)
        return Record({"a": self.A, "b": self.B}, now.q, {"w": gradient})
