"""Decoupled neural interfaces (synthetic gradients) on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


class DNI:
    """R50, Jaderberg et al. 2017 as written by Marschall et al. 2020.

    ã_t = [h_t; y*_t; 1];  δ̂_t = A ã_t estimates dΣ_{s≥t} L_s / dh_t, the present loss included.
    target = q_{t-1} + J_tᵀ (Ā ã_t);  A ← A - η (A ã_{t-1} - target) ã_{t-1}ᵀ;
    after every ``every`` steps Ā ← A;  g = â ⊗ (D ⊙ A ã_t) with the new A.
    At the first step there is no ã_{t-1}: A stays, and the step counts towards the refresh.
    The readout is trained by its own instantaneous gradient.
    """

    def __init__(self, A: np.ndarray, eta: float, every: int = 5) -> None:
        self.A, self.copy, self.eta, self.every = np.array(A), np.array(A), eta, every
        self.before, self.q, self.t = None, None, 0

    def step(self, now: Now, draw: None = None) -> Record:
        self.t += 1
        tilde = np.concatenate([now.h, now.target, [1.0]])
        if self.before is not None:
            target = self.q + now.J.T @ (self.copy @ tilde)
            self.A = self.A - self.eta * np.outer(self.A @ self.before - target, self.before)
        if self.t % self.every == 0:
            self.copy = self.A.copy()
        self.before, self.q = tilde, now.q
        delta = self.A @ tilde
        traces = {"a": self.A, "copy": self.copy, "tilde": tilde, "q": self.q}
        return Record(traces, delta, {"w": np.outer(now.a, now.D * delta)})
