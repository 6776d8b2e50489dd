"""Forward gradients and node perturbation on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


class ForwardGradient:
    """R06, Baydin et al. 2022 and Silver et al. 2022 (DODGE); probes v (K, n + m + 1, n).

    ṡ_t = J_t ṡ_{t-1} + F_t v (the same v over the whole sequence);  g_t = Σ_K (q·ṡ_t) v / K.
    The probes cover the recurrent weight; the readout keeps its own gradient.
    """

    def __init__(self, probes: np.ndarray) -> None:
        self.v = probes
        self.s: np.ndarray | float = 0.0

    def step(self, now: Now, draw: None = None) -> Record:
        K = len(self.v)
        driven = np.einsum("j,pji,i->pi", now.a, self.v, now.D)
        self.s = self.s * np.ones((K, now.net.n)) @ now.J.T + driven
        gradient = np.einsum("p,pji->ji", self.s @ now.q, self.v) / K
        return Record({"s": self.s}, now.q, {"w": gradient})


class NodePerturbation:
    """R58, Williams 1992 through time, with a paired baseline; draws ξ (n,) ~ σ N(0, 1) a step.

    A second copy of the state is perturbed, h̃_t = f(h̃_{t-1}, x_t) + ξ_t, and read by the same
    readout. E ← λ E + (ξ_t / σ²) ⊙ D_t ⊗ â_t with D and â of the unperturbed trajectory, and
    g = (L̃_t - L_t) E. ξ moves the state, so that D carries it to the weights; λ = 1 is unbiased
    as σ → 0.
    """

    def __init__(self, sigma: float, decay: float = 1.0) -> None:
        self.sigma, self.decay = sigma, decay
        self.e: np.ndarray | float = 0.0
        self.noisy: np.ndarray | float = 0.0

    def step(self, now: Now, xi: np.ndarray) -> Record:
        start = self.noisy * np.ones(now.net.n)
        self.noisy = now.net.next(start, now.x)[2] + xi
        self.e = self.decay * self.e + np.outer(now.a, now.D * xi / self.sigma**2)
        difference = now.net.read(self.noisy, now.target)[1] - now.loss
        traces = {"e": self.e, "noisy": self.noisy, "off": self.noisy - now.h}
        return Record(traces, difference, {"w": difference * self.e})
