"""OSTL and OSTTP on two stacked leaky tanh layers.

h^l_t = (1 - α) h^l_{t-1} + α tanh([h^l_{t-1}; i^l_t; 1] W^l),  i^1 = x,  i^2 = h^1_t,
y = h^2 W_out + b,  L_t = mean_k (y_k - y*_k)².
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .record import Arrays, Record, drive


class Layers:
    """Weights ``w0``, ``w1``, ``w_out``, ``b``."""

    def __init__(self, weights: Arrays, alpha: float) -> None:
        self.weights = {name: np.array(w, float) for name, w in weights.items()}
        self.alpha = alpha

    @staticmethod
    def drawn(m: int, n: int, o: int, alpha: float, seed: int) -> Layers:
        rng = np.random.default_rng(seed)
        weights = {
            "w0": rng.normal(size=(n + m + 1, n)), "w1": rng.normal(size=(2 * n + 1, n)),
            "w_out": rng.normal(size=(n, o)), "b": rng.normal(size=o) * 0.1,
        }  # fmt: skip
        return Layers(weights, alpha)


class OSTL:
    """R21, Bohnstingl et al. 2022.

    ε^l ← J^l ε^l + F^l with J^l = dh^l_t/dh^l_{t-1} of the layer alone: all of it with ``H``, the
    leak alone without. L^2 = W_out err, L^1 = W^2_in (D^2 ⊙ L^2) at this step;  g^l = (ε^l)ᵀ L^l.

    OSTTP (R42, Ortner et al. 2023): ``projections`` B^l (n, o) replace the signals, L^l = B^l y*.
    """

    def __init__(self, H: bool, projections: list[np.ndarray] | None = None) -> None:
        self.H, self.projections = H, projections
        self.eps: list[np.ndarray | float] = [0.0, 0.0]

    def step(self, net: Layers, a: list[np.ndarray], D: list[np.ndarray], err: np.ndarray,
             target: np.ndarray) -> Record:  # fmt: skip
        n = len(D[0])
        top = net.weights["w_out"] @ err
        signals = [net.weights["w1"][n : 2 * n] @ (D[1] * top), top]
        if self.projections is not None:
            signals = [B @ target for B in self.projections]
        grads, traces = {}, {}
        for k in range(2):
            J = (1 - net.alpha) * np.eye(n)
            if self.H:
                J = J + D[k][:, None] * net.weights[f"w{k}"][:n].T
            F = np.einsum("ki,i,j->kji", np.eye(n), D[k], a[k])
            self.eps[k] = np.tensordot(J, self.eps[k] * np.ones(F.shape), axes=1) + F
            grads[f"w{k}"] = np.tensordot(signals[k], self.eps[k], axes=1)
            traces[f"eps{k}"] = self.eps[k]
        return Record(traces, signals, grads)


def run(
    rule: Any, net: Layers, xs: np.ndarray, targets: np.ndarray, lr: float = 0.0
) -> list[Record]:
    """Run a twin over ``xs`` (T, m)."""
    n = net.weights["w_out"].shape[0]
    h = [np.zeros(n), np.zeros(n)]

    def step(t: int) -> Record:
        inner, a, D = xs[t], [], []
        for k in range(2):
            a.append(np.concatenate([h[k], inner, [1.0]]))
            phi = np.tanh(a[k] @ net.weights[f"w{k}"])
            h[k] = (1 - net.alpha) * h[k] + net.alpha * phi
            D.append(net.alpha * (1 - phi**2))
            inner = h[k]
        y = inner @ net.weights["w_out"] + net.weights["b"]
        err = 2 * (y - targets[t]) / len(y)
        record = rule.step(net, a, D, err, targets[t])
        record.loss = float(np.mean((y - targets[t]) ** 2))
        record.grads |= {"w_out": np.outer(inner, err), "b": err}
        return record

    return drive(step, net.weights, len(xs), lr)
