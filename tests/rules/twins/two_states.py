"""Home (d): two coupled states with an element-wise recurrence and trained input weights.

c_t = f ⊙ c_{t-1} + x W_c - η h_{t-1},   h_t = g ⊙ h_{t-1} + tanh(c_t) + x W_h (the new c),
y = h W_out + b,  L_t = mean_k (y_k - y*_k)².
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .record import Arrays, Record, drive


class Net:
    """Weights ``w_c``, ``w_h`` (m, n), ``w_out``, ``b``; constants f, g (n,) and η."""

    def __init__(self, weights: Arrays, f: Any, g: Any, eta: float) -> None:
        self.weights = {name: np.array(w, float) for name, w in weights.items()}
        self.f, self.g, self.eta = np.asarray(f), np.asarray(g), eta

    def next(self, c: np.ndarray, h: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        new = self.f * c + x @ self.weights["w_c"] - self.eta * h
        return new, self.g * h + np.tanh(new) + x @ self.weights["w_h"]


class Block:
    """D-RTRL with one 2 × 2 block a unit (R15; exact here, as RTRL, SnAp and OSTL with H are).

    With s = 1 - tanh²(c_t):  D = [[f, -η], [s f, g - s η]] over (c, h);  a weight of c has the
    immediate effect (1, s), one of h (0, 1);  ε ← D ε + u ⊗ x;  grad = q ε_h, q = W_out err.
    """

    def __init__(self) -> None:
        self.eps = {"w_c": [0.0, 0.0], "w_h": [0.0, 0.0]}

    def step(self, net: Net, x: np.ndarray, c: np.ndarray, q: np.ndarray) -> Record:
        s, grads, traces = 1 - np.tanh(c) ** 2, {}, {}
        for name, u in (
            ("w_c", (np.ones_like(s), s)),
            ("w_h", (np.zeros_like(s), np.ones_like(s))),
        ):
            old_c, old_h = self.eps[name]
            new_c = net.f * old_c - net.eta * old_h + np.outer(x, u[0])
            new_h = s * net.f * old_c + (net.g - s * net.eta) * old_h + np.outer(x, u[1])
            self.eps[name] = [new_c, new_h]
            grads[name] = q * new_h
            traces |= {f"c:{name}": new_c, f"h:{name}": new_h}
        return Record(traces, q, grads)


def run(
    rule: Block, net: Net, xs: np.ndarray, targets: np.ndarray, lr: float = 0.0
) -> list[Record]:
    """Run over ``xs`` (T, m)."""
    c, h = np.zeros(len(net.f)), np.zeros(len(net.f))

    def step(t: int) -> Record:
        nonlocal c, h
        c, h = net.next(c, h, xs[t])
        y = h @ net.weights["w_out"] + net.weights["b"]
        err = 2 * (y - targets[t]) / len(y)
        record = rule.step(net, xs[t], c, net.weights["w_out"] @ err)
        record.loss = float(np.mean((y - targets[t]) ** 2))
        record.grads |= {"w_out": np.outer(h, err), "b": err}
        return record

    return drive(step, net.weights, len(xs), lr)
