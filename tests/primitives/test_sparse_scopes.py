"""A sparse product is the dense one with a mask, under every rule, scope and schedule."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import etp
from etp import xp

N, T, B = 6, 5, 2
RNG = np.random.default_rng(0)
MASK = np.roll(np.eye(N), 1, 1) + np.diag([1.0, 0, 1, 0, 0, 1])
ROWS, COLS = np.nonzero(MASK)
W = RNG.normal(size=ROWS.size)
X, Y = RNG.normal(size=(T, B, N)), RNG.normal(size=(T, B, N))


class Net(etp.Module):
    def __init__(self, sparse: bool) -> None:
        self.w = etp.Param(W if sparse else dense(W))
        self.b = etp.Param(np.linspace(-1, 1, N))
        self.h = etp.State((N,))
        self.sparse = sparse

    def __call__(self, x):
        h = self.h.value
        if self.sparse:
            z = etp.sparse_matmul(h, self.w, sparse_mat=(ROWS, COLS, (N, N)), bias=self.b)
        else:
            z = etp.matmul(h, MASK * self.w, self.b)
        self.h.value = 0.5 * h + xp.tanh(z + x)
        return self.h.value


def dense(values):
    out = np.zeros((N, N))
    out[ROWS, COLS] = values
    return out


def gradient(sparse, rule, **options):
    def square(output, target):
        d = output - target
        return xp.sum(d * d * d * 0.2 + d * d)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        learner = etp.compile(
            Net(sparse), rule, square, backend="numpy", dtype="float64",
            example=(X[0, 0], Y[0, 0]), **options,
        )  # fmt: skip
        found = learner.grad(X, Y, reduction="sum")[0]
    statuses = {n: p.status for n, p in learner.report().parameters.items()}
    return (found["w"] if sparse else found["w"][ROWS, COLS]), found["b"], statuses


CASES = [
    ("bptt", {}), ("rtrl", {}), ("pp_prop", {"window": 0}), ("pp_prop", {}),
    *(("d_rtrl", {"scope": scope, "schedule": schedule})
      for scope in ("diagonal", "coupled", "sparse_n(2)", "sparse_n(3)", "layered")
      for schedule in ("step", "auto", 2)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "options"), CASES)
def test_as_the_dense_product_with_a_mask(rule, options):
    found, expected = gradient(True, rule, **options), gradient(False, rule, **options)
    for a, b in zip(found[:2], expected[:2], strict=True):
        assert np.abs(b).max() > 1e-2
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert found[2] == expected[2]


def test_hops_follow_the_nonzeros():
    """Each further hop comes closer to the whole; five steps lead no further than four hops."""
    want = gradient(True, "bptt")[0]
    scopes = ("diagonal", "sparse_n(2)", "sparse_n(4)")
    off = [np.abs(gradient(True, "d_rtrl", scope=s, window=0)[0] - want).max() for s in scopes]
    assert off[0] > 2 * off[1] > 1e-2, off
    assert off[2] < 1e-9
