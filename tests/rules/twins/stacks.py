"""Home of rules with spatial back-propagation: feed-forward stacks of LIF layers.

v^l_t = λ v^l_{t-1} + s^{l-1}_t W^l - ϑ s̄^l_{t-1} (s̄ detached),  s^l = Θ(v^l - ϑ),  s^0 = x,
y = s^last W_out + b,  L_t = mean_k (y_k - y*_k)².
Spatial signals at one step: L^last = W_out err,  L^{l-1} = W^l (ψ^l ⊙ L^l).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .record import Arrays, Record, drive
from .spiking import fast_sigmoid


@dataclass
class Now:
    """One step: inputs, spikes and slopes of each layer, and the error of the readout."""

    net: Stack
    pre: list[np.ndarray]
    s: list[np.ndarray]
    psi: list[np.ndarray]
    target: np.ndarray
    err: np.ndarray
    loss: float

    def spatial(self, slopes: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Return L^l = dL_t/ds^l of each layer, back through ``slopes`` in place of ψ."""
        slopes = self.psi if slopes is None else slopes
        signals = [self.net.weights["w_out"] @ self.err]
        for k in range(len(self.s) - 1, 0, -1):
            signals.insert(0, self.net.weights[f"w{k}"] @ (slopes[k] * signals[0]))
        return signals


class Stack:
    """Weights ``w0`` … , ``w_out`` and ``b``."""

    def __init__(self, weights: Arrays, leak: float = 0.8, threshold: float = 1.0) -> None:
        self.weights = {name: np.array(w, float) for name, w in weights.items()}
        self.leak, self.threshold = leak, threshold
        self.depth = len(self.weights) - 2

    @staticmethod
    def drawn(sizes: list[int], o: int, seed: int, **options: Any) -> Stack:
        rng = np.random.default_rng(seed)
        weights: Arrays = {
            f"w{k}": rng.normal(size=(m, n)) for k, (m, n) in enumerate(pairwise(sizes))
        }
        weights |= {"w_out": rng.normal(size=(sizes[-1], o)), "b": rng.normal(size=o) * 0.1}
        return Stack(weights, **options)


def run(
    rule: Any, net: Stack, xs: np.ndarray, targets: np.ndarray, lr: float = 0.0
) -> list[Record]:
    """Run a twin over ``xs`` (T, m), with an update after every step where ``lr`` is given."""
    v = [np.zeros(net.weights[f"w{k}"].shape[1]) for k in range(net.depth)]
    spikes = [np.zeros_like(u) for u in v]

    def step(t: int) -> Record:
        pre, psi, s = [], [], xs[t]
        for k in range(net.depth):
            pre.append(s)
            reset = net.threshold * spikes[k]
            v[k] = net.leak * v[k] + s @ net.weights[f"w{k}"] - reset
            s = (v[k] > net.threshold).astype(float)
            spikes[k] = s
            psi.append(fast_sigmoid(v[k] - net.threshold))
        y = s @ net.weights["w_out"] + net.weights["b"]
        err = 2 * (y - targets[t]) / len(y)
        loss = float(np.mean((y - targets[t]) ** 2))
        now = Now(net, pre, list(spikes), psi, targets[t], err, loss)
        record = rule.step(now)
        record.loss = loss
        record.grads = {"w_out": np.outer(s, err), "b": err, **record.grads}
        return record

    return drive(step, net.weights, len(xs), lr)


def bptt(net: Stack, xs: np.ndarray, targets: np.ndarray) -> Arrays:
    """Return the gradients by back-propagation with surrogates, the reset detached."""
    seen: list[Now] = []

    class Keep:
        def step(self, now: Now) -> Record:
            seen.append(now)
            return Record({}, None, {})

    run(Keep(), net, xs, targets)
    carried = [np.zeros_like(s) for s in seen[0].s]
    grads = {f"w{k}": np.zeros_like(net.weights[f"w{k}"]) for k in range(net.depth)}
    for now in reversed(seen):
        ds = net.weights["w_out"] @ now.err
        for k in range(net.depth - 1, -1, -1):
            carried[k] = now.psi[k] * ds + net.leak * carried[k]
            grads[f"w{k}"] += np.outer(now.pre[k], carried[k])
            ds = net.weights[f"w{k}"] @ carried[k]
    return grads
