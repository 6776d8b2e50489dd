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


def swift_td(data, gamma, lam, alpha0, eta, theta, decay):
    """Feature by feature, in the order of the paper: first the error, then the new features."""
    n = data[0][0].shape[1]
    w, h, h_old, beta = np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, np.log(alpha0))
    bounded = 0
    for features, rewards in data:
        z, p, z_bar, z_delta, h_temp = (np.zeros(n) for _ in range(5))
        v_old = v_delta = 0.0
        delta_w = np.zeros(n)
        for t in range(len(features) + 1):
            end = t == len(features)
            x = np.zeros(n) if end else features[t]
            v = w @ x
            if t == 0:
                v_old = v
            else:
                delta = rewards[t - 1] + gamma * v - v_old
                for i in range(n):
                    delta_w[i] = delta * z[i] - z_delta[i] * v_delta
                    w[i] += delta_w[i]
                    beta[i] += theta / np.exp(beta[i]) * (delta - v_delta) * p[i]
                    beta[i] = min(beta[i], np.log(eta))
                    h_old[i] = h[i]
                    h[i] = h_temp[i] + delta * z_bar[i] - z_delta[i] * v_delta
                    z[i], p[i], z_bar[i] = (gamma * lam * q[i] for q in (z, p, z_bar))
                v_old = v
            if end:
                break
            tau = sum(np.exp(beta) * x**2)
            b = z @ x
            v_delta = delta_w @ x if t else 0.0
            bounded += tau > eta
            for i in range(n):
                z_delta[i] = min(1, eta / tau) * np.exp(beta[i]) * x[i]
                z[i] += z_delta[i] * (1 - b)
                p[i] += h_old[i] * x[i]
                z_bar[i] += z_delta[i] * (1 - b - z_bar[i] * x[i])
                h_temp[i] = h[i] - h_old[i] * x[i] * (z[i] - z_delta[i]) - h[i] * z_delta[i] * x[i]
                if tau > eta:
                    h_temp[i] = h[i] = h_old[i] = z_bar[i] = 0
                    beta[i] += np.log(decay) * x[i] ** 2
    return w, bounded
