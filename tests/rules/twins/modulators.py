"""Credit by cell type: MDGL on LIF neurons, ModProp on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from . import leaky_tanh, spiking
from .record import Arrays, Record


def type_means(w: np.ndarray, types: np.ndarray, connected: np.ndarray) -> np.ndarray:
    """Return (pre, post) means of ``w`` over existing synapses by type of pre and of post."""
    means = np.zeros_like(w)
    for p in set(types):
        for q in set(types):
            block = np.ix_(types == p, types == q)
            some = connected[block]
            means[block] = w[block][some].mean() if some.any() else 0.0
    return means


class MDGL:
    """R52, Liu et al. 2021, online form (instantaneous error), on the recurrent LIF network.

    e_pq = ψ_p z̄_q (pre q, post p);  c = dL/dz;  with w̄ the means by cell type of W_rec (pre, post)
    g_pq = c_p e_pq,t + e_pq,t-1 Σ_j w̄_pj [p → j exists] c_j ψ_j: p's spike of t - 1 acted on j.
    ``types`` None takes the exact W (one-hop truncation); ``diffuse`` sums over all j of a type
    whether p → j exists or not (NL-MDGL).
    """

    def __init__(
        self, types: np.ndarray | None, connected: np.ndarray, diffuse: bool = False
    ) -> None:
        self.types, self.connected, self.diffuse = types, connected, diffuse
        self.zbar: dict[str, np.ndarray | float] = {"w_in": 0.0, "w_rec": 0.0}
        self.e: dict[str, np.ndarray | float] = {"w_in": 0.0, "w_rec": 0.0}

    def step(self, now: spiking.Now, draw: None = None) -> Record:
        w = now.net.weights["w_rec"]
        if self.types is not None:
            w = type_means(w, self.types, self.connected)
        if not self.diffuse:
            w = w * self.connected
        local = w @ (now.q * now.psi)
        traces: Arrays = {"modulator": local}
        grads: Arrays = {}
        for name, pre in (("w_in", now.x), ("w_rec", now.before)):
            self.zbar[name] = now.net.beta * self.zbar[name] + pre
            before = self.e[name]
            self.e[name] = np.outer(self.zbar[name], now.psi)
            grads[name] = now.q * self.e[name] + local * before
            traces |= {f"zbar:{name}": self.zbar[name], f"e:{name}": self.e[name]}
        return Record(traces, now.q, grads)


class ModProp:
    """R53, Liu et al. 2022, on the leaky tanh RNN, types of cells, S taps.

    e is the trace of D-RTRL (E ← (1 - α) E + D ⊗ â). With W^s the s-th power of the recurrent
    weights (pre, post), (W^s)_αβ its means over pairs of types (over all pairs: after two hops
    a missing synapse is no missing path), μ the typical slope of the activation:
    g = q E_t + Σ_{s=1..S} E_{t-s} ⊙ Γ_s,  Γ_s = μ^{s-1} (W^s)_αβ (q ⊙ D).
    The last hop has its true slope D; ``types`` None takes the powers themselves.
    """

    def __init__(self, types: np.ndarray | None, taps: int, mu: float) -> None:
        self.types, self.taps, self.mu = types, taps, mu
        self.past: list[np.ndarray] = []
        self.e: np.ndarray | float = 0.0

    def step(self, now: leaky_tanh.Now, draw: None = None) -> Record:
        w = now.net.weights["w"][: now.net.n]
        self.e = (1 - now.net.alpha) * self.e + np.outer(now.a, now.D)
        g, power = now.q * self.e, np.eye(now.net.n)
        for s, old in enumerate(reversed(self.past[-self.taps :]), start=1):
            power = power @ w
            mean = power
            if self.types is not None:
                mean = type_means(power, self.types, np.ones(w.shape, bool))
            g = g + old * (self.mu ** (s - 1) * mean @ (now.q * now.D))
        self.past.append(np.array(self.e))
        return Record({"e": self.e}, now.q, {"w": g})
