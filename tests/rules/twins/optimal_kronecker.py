"""Optimal Kronecker-sum approximation (OK, r-OK) on the leaky tanh RNN."""

from __future__ import annotations

import numpy as np

from .leaky_tanh import Now
from .record import Record


def unbiased_rounding(sigma: np.ndarray, rank: int, signs: np.ndarray) -> tuple[np.ndarray, int]:
    """Return L (q, rank) with E[L Lᵀ] = diag(sigma) and the least variance; Benzing 2019, thm 1.

    ``sigma`` (q,) descends, ``signs`` (q,). The k largest are kept exactly, k the smallest with
    σ_{k+1} ≤ S/p, where S = Σ_{i>k} σ_i and p = rank - k. For the rest, z0_i = √(1 - p σ_i / S)
    has norm √(q - k - p); with q = rank + 1 it is a unit vector, Z Zᵀ = I - z0 z0ᵀ, and their block
    of L is √(S/p) diag(signs) Z.
    """
    q = len(sigma)
    assert q == rank + 1
    k = 0
    while k < rank - 1 and sigma[k] * (rank - k) > sigma[k:].sum():
        k += 1
    rest, p = sigma[k:], rank - k
    total = rest.sum()
    L = np.zeros((q, rank))
    L[np.arange(k), np.arange(k)] = np.sqrt(sigma[:k])
    if total > 0:
        z0 = np.sqrt(np.maximum(0, 1 - p * rest / total))
        # The reflection of the first axis to z0, without that axis, is a basis of what is
        # orthogonal to z0. Its choice cancels in L Lᵀ, but not in the signs of the next SVD.
        v = z0.copy()
        v[0] += 1 if z0[0] >= 0 else -1
        Z = (np.eye(q - k) - 2 * np.outer(v, v) / (v @ v))[:, 1:]
        L[k:, k:] = np.sqrt(total / p) * signs[k:, None] * Z
    return L, k


def settled_qr(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and R with a diagonal of R that is not negative."""
    q, r = np.linalg.qr(x)
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    return q * sign, sign[:, None] * r


class OK:
    """R28, Benzing et al. 2019 (r-OK); signs (r + 1,) a step.

    The terms {(a_c, J B_c)} and (â, diag D) are Σ a_c ⊗ B_c over q = r + 1 columns. With
    [a_c] = Q_a R_a (m', q) and [vec B_c] = Q_b R_b (n², q), the core R_a R_bᵀ = U diag(σ) Vᵀ is
    rounded to rank r by `unbiased_rounding`: a ← Q_a U L, B ← Q_b V L;
    g_ji = Σ_c a_cj (B_cᵀ q)_i.

    Where one of the k largest is kept and p = 1, σ_{k+1} ≤ S/p always holds, so k ≤ r - 1.
    The draws act on the singular pairs, whose common sign is not determined by the SVD: here the
    diagonals of R_a and R_b are not negative, and the component of u that is largest in size is
    positive. What is compared is the estimate Σ a ⊗ B, which rotations of Z leave as it is.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.a: np.ndarray | None = None
        self.B: np.ndarray | None = None

    def step(self, now: Now, signs: np.ndarray) -> Record:
        n, r = now.net.n, self.rank
        if self.a is None:
            self.a, self.B = np.zeros((r, len(now.a))), np.zeros((r, n, n))
        left = np.vstack([self.a, now.a]).T
        pushed = np.einsum("kl,clm->ckm", now.J, self.B)
        right = np.vstack([pushed.reshape(r, -1), np.diag(now.D).reshape(1, -1)]).T
        qa, ra = settled_qr(left)
        qb, rb = settled_qr(right)
        u, sigma, vt = np.linalg.svd(ra @ rb.T)
        flip = np.sign(u[np.abs(u).argmax(axis=0), np.arange(r + 1)])
        u, vt = u * flip, vt * flip[:, None]
        L, _ = unbiased_rounding(sigma, r, signs)
        self.a = (qa @ u @ L).T
        self.B = (qb @ vt.T @ L).T.reshape(r, n, n)
        gradient = np.einsum("cj,cki,k->ji", self.a, self.B, now.q)
        estimate = np.einsum("cj,cki->kji", self.a, self.B)
        return Record({"a": self.a, "b": self.B, "m": estimate}, now.q, {"w": gradient})
