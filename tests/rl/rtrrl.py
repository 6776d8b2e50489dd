"""RTRRL in NumPy, from its equations: a tanh network with RTRL below two linear heads.

Its gradient at a step is M^T grad_h [v + eta log pi], with the influence M = dh/dtheta carried by
real-time recurrent learning; every weight of a head has the gradient of that head.
"""

from __future__ import annotations

import numpy as np


def softmax(y):
    p = np.exp(y - y.max())
    return p / p.sum()


class RTRRL:
    def __init__(self, w, gamma, lam, eta, rates, seed, entropy=0.0):
        self.w = {k: np.array(x, np.float64) for k, x in w.items()}
        self.gamma, self.lam, self.eta, self.rates = gamma, lam, eta, rates
        self.entropy = entropy
        self.rng = np.random.default_rng(seed)
        self.begin()

    def begin(self):
        n = self.w["b"].shape[0]
        self.h = np.zeros(n)
        self.m = {k: np.zeros((n, *self.w[k].shape)) for k in ("w_in", "w_rec", "b")}
        self.e = {k: np.zeros_like(x) for k, x in self.w.items()}

    def forward(self, x):
        w = self.w
        h = np.tanh(x @ w["w_in"] + self.h @ w["w_rec"] + w["b"])
        return h, float(h @ w["wv"][:, 0] + w["bv"][0]), h @ w["wp"] + w["bp"]

    def take_in(self, x):
        """Advance state and influence, draw an action, and return it with the value."""
        w, before = self.w, self.h
        h, v, y = self.forward(x)
        d = 1 - h**2
        jacobian = d[:, None] * w["w_rec"].T
        n, eye = len(h), np.eye(len(h))
        immediate = {
            "w_in": np.einsum("k,kj,i->kij", d, eye, x),
            "w_rec": np.einsum("k,kj,i->kij", d, eye, before),
            "b": np.diag(d),
        }
        self.m = {k: np.einsum("kl,l...->k...", jacobian, m) + immediate[k]
                  for k, m in self.m.items()}  # fmt: skip
        self.h = h
        p = softmax(y)
        a = int(np.argmax(y + self.rng.gumbel(size=len(y))))
        log_slope = np.eye(len(y))[a] - p
        slope_h = w["wv"][:, 0] + self.eta * w["wp"] @ log_slope
        g = {k: np.einsum("k,k...->...", slope_h, m) for k, m in self.m.items()}
        g.update(wv=h[:, None], bv=np.ones(1), wp=np.outer(h, log_slope), bp=log_slope)
        self.g, self.v = g, v
        # dH/dy for H = -sum p log p
        slope = -p * (np.log(p) + -(p * np.log(p)).sum())
        self.gh = {k: np.einsum("k,k...->...", w["wp"] @ slope, m) for k, m in self.m.items()}
        self.gh.update(wv=0 * h[:, None], bv=np.zeros(1), wp=np.outer(h, slope), bp=slope)
        assert n == len(before)
        return a

    def learn(self, reward, ahead):
        delta = reward + self.gamma * ahead - self.v
        for k, x in self.g.items():
            group = {"wv": "critic", "bv": "critic", "wp": "actor", "bp": "actor"}.get(k, "shared")
            self.e[k] = self.gamma * self.lam[group] * self.e[k] + x
            self.w[k] = self.w[k] + self.rates[group] * delta * self.e[k]
            self.w[k] = self.w[k] + self.entropy * self.gh[k]
        return delta


def run(script, episodes):
    """Return actions and errors; ``episodes`` are observations (T, n) and rewards (T,)."""
    actions, errors = [], []
    for xs, rewards in episodes:
        script.begin()
        for t, x in enumerate(xs):
            if t:
                errors.append(script.learn(rewards[t - 1], script.forward(x)[1]))
            actions.append(script.take_in(x))
        errors.append(script.learn(rewards[-1], 0.0))
    return actions, errors
