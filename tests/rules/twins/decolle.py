"""DECOLLE on its own neurons, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .record import Arrays, Record
from .spiking import fast_sigmoid


@dataclass
class Layer:
    """One layer of DECOLLE neurons with its fixed random readout ``G`` (n, o)."""

    w: np.ndarray
    b: np.ndarray
    G: np.ndarray

    def __post_init__(self) -> None:
        m, n = self.w.shape
        self.q, self.p, self.r = np.zeros(m), np.zeros(m), np.zeros(n)


class Decolle:
    """R36, Kaiser et al. 2020; α, β the two input filters, γ and ρ the refractory trace.

    q ← β q + (1 - β) s_in;  p ← α p + (1 - α) q (the new q);  u = p W - ρ r + b with the r that
    holds the spikes before this step;  s = Θ(u);  r ← γ r + (1 - γ) s.
    y = s G, err = dL/dy of the mean squared error of each layer against the one target;
    dW_ji = (G err)_i ψ_i p_j, db_i = (G err)_i ψ_i, r and p s' past are constants.
    """

    def __init__(
        self, layers: list[Layer], alpha: float, beta: float, gamma: float, rho: float
    ) -> None:
        self.layers, self.alpha, self.beta = layers, alpha, beta
        self.gamma, self.rho = gamma, rho

    def step(self, x: np.ndarray, target: np.ndarray) -> Record:
        traces: Arrays = {}
        grads: Arrays = {}
        signals, s = [], x
        for k, layer in enumerate(self.layers):
            layer.q = self.beta * layer.q + (1 - self.beta) * s
            layer.p = self.alpha * layer.p + (1 - self.alpha) * layer.q
            u = layer.p @ layer.w - self.rho * layer.r + layer.b
            s, psi = (u > 0).astype(float), fast_sigmoid(u)
            layer.r = self.gamma * layer.r + (1 - self.gamma) * s
            err = 2 * (s @ layer.G - target) / len(target)
            signals.append(layer.G @ err)
            grads[f"w{k}"] = np.outer(layer.p, psi * signals[-1])
            grads[f"b{k}"] = psi * signals[-1]
            traces |= {f"p{k}": layer.p, f"q{k}": layer.q, f"r{k}": layer.r}
        return Record(traces, signals, grads)
