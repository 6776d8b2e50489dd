"""Traces of reward on linear features: TD(λ), true online TD(λ), ObGD.

Each ``step`` gets the transition (φ, R, φ') and changes ``w``; v = w·φ, δ = R + γ v' - v with both
values of the weights before the update. φ' = 0 ends an episode; call ``end`` then.
"""

from __future__ import annotations

import numpy as np


class TD:
    """R63, Sutton 1988; Singh & Sutton 1996 (replacing); van Seijen & Sutton 2014 (dutch).

    accumulating z ← γλ z + φ;  replacing z_i ← φ_i where φ_i ≠ 0, else γλ z_i;
    dutch z ← γλ z + (1 - α γλ z·φ) φ;  w ← w + α δ z.
    """

    def __init__(self, n: int, alpha: float, gamma: float, lam: float, kind: str) -> None:
        self.w, self.z = np.zeros(n), np.zeros(n)
        self.alpha, self.gamma, self.lam, self.kind = alpha, gamma, lam, kind

    def advance(self, phi: np.ndarray) -> None:
        faded = self.gamma * self.lam * self.z
        if self.kind == "replacing":
            self.z = np.where(phi != 0, phi, faded)
        elif self.kind == "dutch":
            self.z = faded + (1 - self.alpha * faded @ phi) * phi
        else:
            self.z = faded + phi

    def step(self, phi: np.ndarray, reward: float, after: np.ndarray) -> float:
        delta = reward + self.gamma * self.w @ after - self.w @ phi
        self.advance(phi)
        self.change(delta, phi, after)
        return delta

    def change(self, delta: float, phi: np.ndarray, after: np.ndarray) -> None:
        self.w = self.w + self.alpha * delta * self.z

    def end(self) -> None:
        self.z = np.zeros_like(self.z)


class TrueOnline(TD):
    """R63, van Seijen et al. 2016, algorithm 1; v_old is v' under the weights of the step before.

    w ← w + α (δ + v - v_old) z - α (v - v_old) φ with the dutch trace.
    """

    def __init__(self, n: int, alpha: float, gamma: float, lam: float) -> None:
        super().__init__(n, alpha, gamma, lam, "dutch")
        self.old = 0.0

    def change(self, delta: float, phi: np.ndarray, after: np.ndarray) -> None:
        v, v_after = self.w @ phi, self.w @ after
        ahead = v - self.old
        self.w = self.w + self.alpha * ((delta + ahead) * self.z - ahead * phi)
        self.old = v_after

    def end(self) -> None:
        super().end()
        self.old = 0.0


class ObGD(TD):
    """R65, Elsayed et al. 2024: M = α κ max(|δ|, 1) ‖z‖₁;  w ← w + α / max(1, M) δ z."""

    def __init__(
        self, n: int, alpha: float = 1.0, gamma: float = 0.99, lam: float = 0.8, kappa: float = 2.0
    ) -> None:
        super().__init__(n, alpha, gamma, lam, "accumulating")
        self.kappa = kappa

    def change(self, delta: float, phi: np.ndarray, after: np.ndarray) -> None:
        bound = self.alpha * self.kappa * max(abs(delta), 1) * np.abs(self.z).sum()
        self.w = self.w + self.alpha / max(1, bound) * delta * self.z


class AdaptiveObGD(ObGD):
    """R66: u ← β₂ u + (1 - β₂) (δ z)², û = u / (1 - β₂^t);  z / √(û + ε) in norm and step."""

    def __init__(self, n: int, *, beta: float = 0.999, eps: float = 1e-8, **options: float) -> None:
        super().__init__(n, **options)
        self.beta, self.eps, self.u, self.t = beta, eps, np.zeros(n), 0

    def change(self, delta: float, phi: np.ndarray, after: np.ndarray) -> None:
        self.t += 1
        self.u = self.beta * self.u + (1 - self.beta) * (delta * self.z) ** 2
        scaled = self.z / np.sqrt(self.u / (1 - self.beta**self.t) + self.eps)
        bound = self.alpha * self.kappa * max(abs(delta), 1) * np.abs(scaled).sum()
        self.w = self.w + self.alpha / max(1, bound) * delta * scaled


def forward_view(
    phis: np.ndarray, rewards: np.ndarray, alpha: float, gamma: float, lam: float
) -> list[np.ndarray]:
    """Return w_1 … w_T of the online λ-return algorithm (van Seijen et al. 2016, eqs. 5 to 7).

    At each time t all updates are made anew with returns that reach to t. ``phis`` has one row
    more than there are rewards.
    """
    n = phis.shape[1]
    latest = [np.zeros(n)]
    for t in range(1, len(rewards) + 1):
        w = np.zeros(n)
        for k in range(t):

            def to(end: int, k: int = k) -> float:
                paid = sum(gamma ** (i - k) * rewards[i] for i in range(k, end))
                return paid + gamma ** (end - k) * latest[end - 1] @ phis[end]

            mixed = sum((1 - lam) * lam ** (s - k - 1) * to(s) for s in range(k + 1, t))
            w = w + alpha * (mixed + lam ** (t - k - 1) * to(t) - w @ phis[k]) * phis[k]
        latest.append(w)
    return latest[1:]
