"""Real-time recurrent reinforcement learning on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Net

CRITIC, ACTOR, SHARED = "critic", "actor", "shared"


class RTRRL:
    """R67, Lemmel & Grosu 2025.

    The output is [v, logits] = h W_out + b: column 0 is the critic, the others the actor.
    With the influence M̂ of W on h (RTRL, or RFLO: the leak alone),
    e_C ← γ λ_C e_C + ∇_C v;  e_A ← γ λ_A e_A + ∇_A log π(a);
    e_R ← γ λ_R e_R + M̂ᵀ ∇_h [v + η log π(a)];  all move by α δ.
    δ = R + γ v(h') - v(h), both values of the weights before the change, h' looked ahead from h by
    them; then the change; then h' is computed again by the changed weights and taken.
    """

    def __init__(
        self, net: Net, alpha: float, gamma: float, lam: dict[str, float], eta: float,
        exact: bool = True,
    ) -> None:  # fmt: skip
        self.net, self.alpha, self.gamma, self.lam, self.eta = net, alpha, gamma, lam, eta
        self.exact, self.h = exact, np.zeros(net.n)
        n, rows = net.n, len(net.weights["w"])
        self.M = np.zeros((n, rows, n))
        self.e = {name: np.zeros_like(w) for name, w in net.weights.items()}
        self.out = np.zeros(len(net.weights["b"]))

    def read(self, h: np.ndarray) -> np.ndarray:
        return h @ self.net.weights["w_out"] + self.net.weights["b"]

    def observe(self, x: np.ndarray) -> np.ndarray:
        """Take an observation in; return [v, logits]."""
        net = self.net
        now = net.now(self.h, x, np.zeros_like(self.out))
        J = now.J if self.exact else (1 - net.alpha) * np.eye(net.n)
        self.M = np.tensordot(J, self.M, axes=1) + now.F
        self.h = now.h
        self.out = self.read(self.h)
        return self.out

    def choose(self, action: int) -> None:
        """Put the present step into the traces."""
        p = np.exp(self.out[1:] - self.out[1:].max())
        log_p = -p / p.sum()
        log_p[action] += 1
        heads = np.concatenate([[1.0], log_p])
        fade = self.gamma * np.array(
            [self.lam[CRITIC], *[self.lam[ACTOR]] * len(log_p)]
        )  # fmt: skip
        self.e["w_out"] = fade * self.e["w_out"] + np.outer(self.h, heads)
        self.e["b"] = fade * self.e["b"] + heads
        back = self.net.weights["w_out"] @ np.concatenate([[1.0], self.eta * log_p])
        self.e["w"] = self.gamma * self.lam[SHARED] * self.e["w"] + np.tensordot(back, self.M, 1)

    def learn(self, reward: float, x: np.ndarray | None) -> float:
        """Change the weights given the next observation, or None at the end of an episode."""
        ahead = 0.0 if x is None else self.read(self.net.next(self.h, x)[2])[0]
        delta = reward + self.gamma * ahead - self.out[0]
        for name, trace in self.e.items():
            self.net.weights[name] += self.alpha * delta * trace
        return delta
