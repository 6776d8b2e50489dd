"""Sketched RTRL: exact at full rank on every kind of product, and its certificate is true."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp import xp
from tests.models import build, data
from tests.rules.test_battery import deviation, square

LENGTH, BATCH = 5, 2


class Convolved(etp.Module):
    """Units along a line that see their neighbours through one kernel."""

    def __init__(self, rng):
        self.kernel = etp.Param(rng.normal(size=(3, 2, 2)))
        self.w, self.b = etp.Param(rng.normal(size=(2, 8))), etp.Param(rng.normal(size=2))
        self.out = etp.nn.Linear(8, 2, rng=rng)
        self.h = etp.State((4, 2))

    def __call__(self, x):
        drive = etp.conv(self.h.value, self.kernel, self.b, padding="SAME")
        self.h.value = xp.tanh(drive + xp.reshape(etp.matmul(x, self.w), (4, 2)))
        return self.out(xp.reshape(self.h.value, (8,)))


class Tied(etp.Module):
    """One weight used twice, and a normalisation that mixes positions."""

    def __init__(self, rng):
        self.w, self.v = etp.Param(rng.normal(size=(3, 3))), etp.Param(rng.normal(size=(2, 3)))
        self.out = etp.nn.Linear(3, 2, rng=rng)
        self.g, self.h = etp.State((3,)), etp.State((3,))

    def __call__(self, x):
        drive = etp.matmul(self.h.value, self.w) + etp.matmul(x, self.v)
        drive = drive - xp.mean(drive)
        self.g.value = 0.6 * self.g.value + etp.matmul(xp.tanh(self.h.value), self.w)
        self.h.value = xp.tanh(drive) + 0.3 * self.g.value
        return self.out(self.h.value)


OWN = {"conv": Convolved, "tied": Tied}
MODELS = ["gru", "conv", "tied", "two_layers", "masked"] + [
    pytest.param(n, marks=pytest.mark.slow) for n in ("lstm", "alif", "plain", "rtu", "coupled")
]


def made(model, rule, **options):
    x, y = data(1, 1)
    net = OWN[model](np.random.default_rng(0)) if model in OWN else build(model)
    return etp.compile(
        net, rule, square, backend="numpy", dtype="float64", example=(x[0, 0], y[0, 0]), **options
    )


def gradient(model, rule, **options):
    return made(model, rule, **options).grad(*data(LENGTH, BATCH), reduction="sum")[0]


@pytest.mark.parametrize("model", MODELS)
def test_full_rank_is_exact(model):
    worst = deviation(gradient(model, "sk_rtrl(40)"), gradient(model, "bptt"))
    assert max(worst.values()) < 1e-9, worst


@pytest.mark.parametrize("model", ["gru", "conv", "tied", "two_layers"])
def test_a_cut_leaves_something_out(model):
    worst = deviation(gradient(model, "sk_rtrl(1)"), gradient(model, "bptt"))
    assert max(worst.values()) > 1e-6


@pytest.mark.parametrize("model", ["gru", "two_layers"])
def test_the_certificate_bounds_the_error(model):
    x, y = data(12, BATCH)
    sketched, exact = made(model, "sk_rtrl(1)"), made(model, "rtrl", window=0)
    least = np.inf
    for t in range(12):
        sketched.step(x[t], y[t])
        exact.step(x[t], y[t])
        for name, bound in sketched.traces.items():
            if name.startswith("e_bound."):
                weight = name.removeprefix("e_bound.").removesuffix(".bound")
                error = _error(sketched.traces, exact.traces, weight)
                assert (error <= bound + 1e-12).all()
                if error.max() > 1e-3:
                    least = min(least, (bound / np.maximum(error, 1e-12)).min())
    assert 1 - 1e-9 <= least < 50, "the bound is never near"


def _error(sketched, exact, weight):
    """Return the Frobenius norm of what is missing of the influence of a weight, by example."""
    total = 0.0
    for name, m in exact.items():
        if not name.startswith(f"e.{weight}."):
            continue
        state = name.removeprefix(f"e.{weight}.")
        low = np.einsum(
            "brp,br...->b...p", sketched[f"e_L.{weight}.{state}"], sketched[f"e_R.{weight}.R"]
        )
        own = sketched.get(f"e_S.{state}.{weight}.S.{state}")
        rest = m - low
        if own is not None:
            for o in range(own.shape[-1]):
                rest[..., o, o % m.shape[-1]] -= own[..., o]
        total = total + (rest**2).sum(axis=tuple(range(1, rest.ndim)))
    return np.sqrt(total)


class Late(etp.Module):
    """Two layers of which the second reads what the first held before."""

    def __init__(self, rng):
        self.w, self.v = etp.Param(rng.normal(size=(2, 4))), etp.Param(rng.normal(size=(4, 3)))
        self.out = etp.nn.Linear(3, 2, rng=rng)
        self.h, self.g = etp.State((4,)), etp.State((3,))

    def __call__(self, x):
        self.g.value = 0.7 * self.g.value + etp.matmul(xp.tanh(self.h.value), self.v)
        self.h.value = 0.5 * self.h.value + etp.matmul(x, self.w)
        return self.out(xp.tanh(self.g.value))


def test_layers_of_different_reach():
    """A first layer acts on its own positions, and through the next on all of that one's."""
    x, y = np.random.default_rng(0).normal(size=(2, LENGTH, BATCH, 2))
    found = {}
    for rule in ("bptt", "sk_rtrl(3)", "sk_rtrl(1)"):
        net = Late(np.random.default_rng(0))
        lr = etp.compile(net, rule, square, backend="numpy", dtype="float64", batch_size=BATCH)
        found[rule] = np.asarray(lr.grad(x, y)[0]["w"])
    assert np.abs(found["bptt"]).max() > 1e-3
    np.testing.assert_allclose(found["sk_rtrl(3)"], found["bptt"], rtol=1e-10, atol=1e-14)
    assert np.abs(found["sk_rtrl(1)"] - found["bptt"]).max() > 1e-4
