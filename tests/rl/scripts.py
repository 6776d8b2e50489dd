"""The algorithms as their papers print them, in NumPy for linear values; no code of the package."""

from __future__ import annotations

from typing import Any

import numpy as np


def episodes(seed: int, n: int, lengths: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return features (T, n) and rewards (T,) of some episodes."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((t, n)), rng.standard_normal(t)) for t in lengths]


def following(features: np.ndarray, t: int) -> np.ndarray:
    """The features after step t; zero when the episode has ended."""
    return features[t + 1] if t + 1 < len(features) else np.zeros_like(features[0])


def td_lambda(data, gamma, lam, alpha, kind):
    """Sutton & Barto, section 12.2, for accumulating, replacing and dutch traces."""
    w = np.zeros(data[0][0].shape[1])
    for features, rewards in data:
        z = np.zeros_like(w)
        for t, (x, r) in enumerate(zip(features, rewards, strict=True)):
            delta = r + gamma * w @ following(features, t) - w @ x
            if kind == "accumulating":
                z = gamma * lam * z + x
            elif kind == "replacing":
                z = np.where(x != 0, x, gamma * lam * z)
            else:
                z = gamma * lam * z + (1 - alpha * gamma * lam * (z @ x)) * x
            w = w + alpha * delta * z
    return w


def online_lambda_return(data, gamma, lam, alpha):
    """The forward view: after each step all updates so far are made again (van Seijen 2016).

    At horizon h the update of step k aims at the interim return, made of n-step returns that
    bootstrap on the weights that stood when their last feature was met.
    """
    w = np.zeros(data[0][0].shape[1])
    for features, rewards in data:
        length = len(features)
        kept = [w]  # kept[h]: the final weights of horizon h
        for h in range(1, length + 1):
            u = kept[0]
            for k in range(h):
                total, reward = 0.0, 0.0
                for n in range(1, h - k + 1):
                    reward += gamma ** (n - 1) * rewards[k + n - 1]
                    ahead = following(features, k + n - 1)
                    g = reward + gamma**n * kept[k + n - 1] @ ahead
                    weight = (1 - lam) * lam ** (n - 1) if n < h - k else lam ** (h - k - 1)
                    total += weight * g
                u = u + alpha * (total - u @ features[k]) * features[k]
            kept.append(u)
        w = kept[-1]
    return w


def lambda_returns(values, rewards, gamma, lam):
    """Offline returns of one episode that ends, for values that stay as they are."""
    g = 0.0
    found = np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        ahead = values[t + 1] if t + 1 < len(values) else 0.0
        g = rewards[t] + gamma * ((1 - lam) * ahead + lam * g)
        found[t] = g
    return found


def obgd(data, gamma, lam, lr, kappa):
    """The optimiser of the published code: one trace sum over all tensors."""
    w = np.zeros(data[0][0].shape[1])
    for features, rewards in data:
        e = np.zeros_like(w)
        for t, (x, r) in enumerate(zip(features, rewards, strict=True)):
            delta = r + gamma * w @ following(features, t) - w @ x
            e = gamma * lam * e + x
            bound = max(abs(delta), 1.0) * np.abs(e).sum() * lr * kappa
            w = w + (lr / bound if bound > 1 else lr) * delta * e
    return w


def adaptive_obgd(data, gamma, lam, lr, kappa, beta2, eps):
    w, k = np.zeros(data[0][0].shape[1]), 0
    v = np.zeros_like(w)
    for features, rewards in data:
        e = np.zeros_like(w)
        for t, (x, r) in enumerate(zip(features, rewards, strict=True)):
            k += 1
            delta = r + gamma * w @ following(features, t) - w @ x
            e = gamma * lam * e + x
            v = beta2 * v + (1 - beta2) * (delta * e) ** 2
            root = np.sqrt(v / (1 - beta2**k) + eps)
            bound = max(abs(delta), 1.0) * np.abs(e / root).sum() * lr * kappa
            w = w + (lr / bound if bound > 1 else lr) * delta * e / root
    return w


def tidbd(data, gamma, lam, alpha0, theta):
    w = np.zeros(data[0][0].shape[1])
    beta, h = np.full_like(w, np.log(alpha0)), np.zeros_like(w)
    for features, rewards in data:
        z = np.zeros_like(w)
        for t, (x, r) in enumerate(zip(features, rewards, strict=True)):
            delta = r + gamma * w @ following(features, t) - w @ x
            for i in range(len(w)):
                beta[i] += theta * delta * x[i] * h[i]
                a = np.exp(beta[i])
                z[i] = gamma * lam * z[i] + x[i]
                w[i] += a * delta * z[i]
                h[i] = h[i] * max(1 - a * x[i] * z[i], 0) + a * delta * z[i]
    return w
