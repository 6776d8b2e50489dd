"""Homes (b) and (c): recurrent LIF and adaptive LIF with a linear or leaky readout.

v_t = β v_{t-1} + x_t W_in + z_{t-1} W_rec - ϑ z̄_{t-1},   z̄ detached,
a_t = ρ a_{t-1} + z_{t-1},   z_t = Θ(v_t - ϑ - γ a_t),   ψ_t = surrogate(v_t - ϑ - γ a_t),
y_t = κ y_{t-1} + z_t W_out + b,   L_t = mean_k (y_k - y*_k)².

γ = 0 is LIF, κ = 0 the linear readout. Weights are (pre, post). What is not detached: the spikes
that act on other neurons through W_rec, and the neuron's own spike acting on its threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .record import Arrays, Record, drive


def fast_sigmoid(u: np.ndarray, slope: float = 10.0) -> np.ndarray:
    """Return 1 / (1 + slope |u|)², Zenke & Ganguli 2018."""
    return 1 / (1 + slope * np.abs(u)) ** 2


@dataclass
class Now:
    """One step of the model. ``before`` is what the recurrent weights read, z_{t-1}."""

    net: Net
    x: np.ndarray
    target: np.ndarray
    before: np.ndarray
    psi_before: np.ndarray
    v: np.ndarray
    a: np.ndarray
    z: np.ndarray
    psi: np.ndarray
    y: np.ndarray
    err: np.ndarray  # dL/dy
    q: np.ndarray  # dL/dz at this step
    loss: float


class Net:
    """Weights ``w_in``, ``w_rec``, ``w_out``, ``b``; constants β, ϑ, ρ, γ, κ and the surrogate."""

    def __init__(
        self, weights: Arrays, *, beta: float = 0.8, threshold: float = 1.0, rho: float = 0.9,
        gamma: float = 0.0, kappa: float = 0.0, connected: np.ndarray | None = None,
        surrogate: Callable[[np.ndarray], np.ndarray] = fast_sigmoid,
    ) -> None:  # fmt: skip
        self.weights = {name: np.array(w, float) for name, w in weights.items()}
        self.beta, self.threshold, self.rho, self.gamma = beta, threshold, rho, gamma
        self.kappa, self.surrogate = kappa, surrogate
        self.n = self.weights["w_rec"].shape[0]
        self.connected = connected  # (pre, post): other recurrent weights are zero and stay so
        if connected is not None:
            self.weights["w_rec"] *= connected

    @staticmethod
    def drawn(n: int, m: int, o: int, seed: int, **options: Any) -> Net:
        rng = np.random.default_rng(seed)
        weights = {
            "w_in": rng.normal(size=(m, n)) * 0.8, "w_rec": rng.normal(size=(n, n)) * 0.4,
            "w_out": rng.normal(size=(n, o)), "b": rng.normal(size=o) * 0.1,
        }  # fmt: skip
        return Net(weights, **options)

    def rest(self, x: np.ndarray, target: np.ndarray) -> Now:
        """Return the state before the first step: nothing has spiked."""
        zero, o = np.zeros(self.n), len(self.weights["b"])
        psi = self.surrogate(np.full(self.n, -self.threshold))
        return Now(self, x, target, zero, psi, zero, zero, zero, psi, np.zeros(o), zero, zero, 0.0)

    def now(self, last: Now, x: np.ndarray, target: np.ndarray) -> Now:
        w, z = self.weights, last.z
        v = self.beta * last.v + x @ w["w_in"] + z @ w["w_rec"] - self.threshold * z
        a = self.rho * last.a + z
        u = v - self.threshold - self.gamma * a
        new, psi = (u > 0).astype(float), self.surrogate(u)
        y = self.kappa * last.y + new @ w["w_out"] + w["b"]
        err = 2 * (y - target) / len(y)
        loss = float(np.mean((y - target) ** 2))
        return Now(self, x, target, z, last.psi, v, a, new, psi, y, err, w["w_out"] @ err, loss)


def steps(net: Net, xs: np.ndarray, targets: np.ndarray) -> list[Now]:
    """Return every step of the model with fixed weights."""
    nows = [net.rest(xs[0], targets[0])]
    for x, target in zip(xs, targets, strict=True):
        nows.append(net.now(nows[-1], x, target))
    return nows[1:]


def run(
    rule: Any, net: Net, xs: np.ndarray, targets: np.ndarray, draws: Any = None, lr: float = 0.0
) -> list[Record]:
    """Run a twin over ``xs`` (T, m).

    The readout is trained by its own exact trace: ẑ ← κ ẑ + z, dL/dW_out = ẑ ⊗ err.
    """
    last = net.rest(xs[0], targets[0])
    filtered, ones = np.zeros(net.n), 0.0

    def step(t: int) -> Record:
        nonlocal last, filtered, ones
        now = net.now(last, xs[t], targets[t])
        filtered, ones = net.kappa * filtered + now.z, net.kappa * ones + 1
        readout = {"w_out": np.outer(filtered, now.err), "b": ones * now.err}
        record = rule.step(now, None if draws is None else draws[t])
        record.loss = now.loss
        record.grads = {**readout, **record.grads}
        if net.connected is not None:
            record.grads["w_rec"] = record.grads["w_rec"] * net.connected
        if "feedback" in net.weights:  # R32: B takes the increments of W_out
            record.grads["feedback"] = readout["w_out"]
        last = now
        return record

    return drive(step, net.weights, len(xs), lr)


def train(
    rule: Any, net: Net, xs: np.ndarray, targets: np.ndarray, draws: Any = None,
    steps: int = 400, lr: float = 0.01,
) -> list[Record]:  # fmt: skip
    """Return the online SGD trajectory: one update a step, states and traces carried on."""
    return run(rule, net, xs[:steps], targets[:steps], draws, lr)


def bptt(
    net: Net, xs: np.ndarray, targets: np.ndarray, *, recurrent: bool = True
) -> dict[str, np.ndarray]:
    """Return the gradients by back-propagation with surrogates.

    δy_t = err_t + κ δy_{t+1};  δz_t = W_out δy_t + W_rec δv_{t+1} + δa_{t+1};
    δv_t = ψ δz_t + β δv_{t+1};  δa_t = -γ ψ δz_t + ρ δa_{t+1}.
    ``recurrent=False`` leaves the spikes that travel through W_rec out, as e-prop does.
    """
    dy, dv, da = np.zeros(len(net.weights["b"])), np.zeros(net.n), np.zeros(net.n)
    grads = {"w_in": 0.0, "w_rec": 0.0}
    for now in reversed(steps(net, xs, targets)):
        dy = now.err + net.kappa * dy
        dz = net.weights["w_out"] @ dy + da + (net.weights["w_rec"] @ dv if recurrent else 0)
        dv = now.psi * dz + net.beta * dv
        da = -net.gamma * now.psi * dz + net.rho * da
        grads["w_in"] = grads["w_in"] + np.outer(now.x, dv)
        grads["w_rec"] = grads["w_rec"] + np.outer(now.before, dv)
    return grads
