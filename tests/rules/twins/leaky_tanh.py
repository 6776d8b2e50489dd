"""Home (a): the leaky tanh RNN with a linear readout and the mean squared error.

â_t = [h_{t-1}; x_t; 1],  u_t = â_t W,  h_t = (1 - α) h_{t-1} + α tanh(u_t),
y_t = h_t W_out + b,      L_t = mean_k (y_k - y*_k)².

``W`` is (n + m + 1, n), so that an influence is indexed (k; j, i) for dh_k / dW_ji and the
immediate one is F[k, j, i] = δ_ki D_i â_j with D = α tanh'(u). The Jacobian is
J = (1 - α) I + diag(D) W_recᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .record import Arrays, Record, drive


@dataclass
class Now:
    """One step of the model, with its derivatives."""

    net: Net
    x: np.ndarray
    target: np.ndarray
    before: np.ndarray  # h_{t-1}
    h: np.ndarray
    a: np.ndarray  # â
    D: np.ndarray
    J: np.ndarray
    err: np.ndarray  # dL/dy
    q: np.ndarray  # dL/dh
    loss: float

    @property
    def F(self) -> np.ndarray:
        """Return the immediate influence, (n, n + m + 1, n)."""
        n = len(self.h)
        return np.einsum("ki,i,j->kji", np.eye(n), self.D, self.a) * self.net.mask


class Net:
    """Weights of the model: ``w`` (n + m + 1, n), ``w_out`` (n, o), ``b`` (o,)."""

    def __init__(
        self, w: Any, w_out: Any, b: Any, alpha: float, mask: np.ndarray | None = None
    ) -> None:
        self.weights: Arrays = {
            "w": np.array(w, float), "w_out": np.array(w_out, float), "b": np.array(b, float)
        }  # fmt: skip
        self.alpha = alpha
        self.mask = np.ones_like(self.weights["w"]) if mask is None else mask
        self.n = self.weights["w"].shape[1]

    @staticmethod
    def drawn(n: int, m: int, o: int, alpha: float, seed: int, **options: Any) -> Net:
        rng = np.random.default_rng(seed)
        w = rng.normal(size=(n + m + 1, n)) * 1.2 / np.sqrt(n)
        return Net(w, rng.normal(size=(n, o)), rng.normal(size=o) * 0.1, alpha, **options)

    def next(self, h: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return â, tanh(u) and the new state."""
        a = np.concatenate([h, x, [1.0]])
        phi = np.tanh(a @ (self.weights["w"] * self.mask))
        return a, phi, (1 - self.alpha) * h + self.alpha * phi

    def read(self, h: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
        """Return dL/dy and the loss."""
        y = h @ self.weights["w_out"] + self.weights["b"]
        return 2 * (y - target) / len(target), float(np.mean((y - target) ** 2))

    def now(self, h: np.ndarray, x: np.ndarray, target: np.ndarray) -> Now:
        a, phi, new = self.next(h, x)
        D = self.alpha * (1 - phi**2)
        recurrent = (self.weights["w"] * self.mask)[: self.n]
        J = (1 - self.alpha) * np.eye(self.n) + D[:, None] * recurrent.T
        err, loss = self.read(new, target)
        return Now(self, x, target, h, new, a, D, J, err, self.weights["w_out"] @ err, loss)


def run(
    rule: Any, net: Net, xs: np.ndarray, targets: np.ndarray, draws: Any = None, lr: float = 0.0
) -> list[Record]:
    """Run a twin over ``xs`` (T, m); the readout is trained by its instantaneous gradient."""
    state = np.zeros(net.n)

    def step(t: int) -> Record:
        nonlocal state
        now = net.now(state, xs[t], targets[t])
        record = rule.step(now, None if draws is None else draws[t])
        record.loss = now.loss
        record.grads |= {"w_out": np.outer(now.h, now.err), "b": now.err}
        state = now.h
        return record

    return drive(step, net.weights, len(xs), lr)


def train(
    rule: Any, net: Net, xs: np.ndarray, targets: np.ndarray, draws: Any = None,
    steps: int = 400, lr: float = 0.02,
) -> list[Record]:  # fmt: skip
    """Return the online SGD trajectory: one update a step, states and traces carried on."""
    return run(rule, net, xs[:steps], targets[:steps], draws, lr)


def bptt(net: Net, xs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return dΣL/dW by back-propagation through time (R01; Werbos 1990).

    δ_t = q_t + J_{t+1}ᵀ δ_{t+1},  g = Σ (D_t δ_t) ⊗ â_t.
    """
    h, steps = np.zeros(net.n), []
    for x, target in zip(xs, targets, strict=True):
        steps.append(net.now(h, x, target))
        h = steps[-1].h
    delta, g = np.zeros(net.n), np.zeros_like(net.weights["w"])
    for now, after in zip(reversed(steps), [None, *reversed(steps[1:])], strict=True):
        delta = now.q + (0 if after is None else after.J.T @ delta)
        g += np.outer(now.a, now.D * delta)
    return g * net.mask


def summed_loss(net: Net, w: np.ndarray, xs: np.ndarray, targets: np.ndarray) -> float:
    """Return ΣL for another recurrent weight, for finite differences."""
    other = Net(w, net.weights["w_out"], net.weights["b"], net.alpha, net.mask)
    h, loss = np.zeros(net.n), 0.0
    for x, target in zip(xs, targets, strict=True):
        h = other.next(h, x)[2]
        loss += other.read(h, target)[1]
    return loss
