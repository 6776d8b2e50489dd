"""What units emit, wherever a model computes it: filtered traces and shared signals by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp import xp

STEPS, BATCH, N_IN, N, N_OUT = 6, 2, 3, 4, 2
LEAK, THRESHOLD = 0.8, 0.4
RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(STEPS, BATCH, N_IN)), RNG.normal(size=(STEPS, BATCH, N_OUT))


def slope(u: Any) -> Any:
    return 1 / (1 + 10 * abs(u)) ** 2


class Layer(etp.Module):
    def __init__(self, width: int = N) -> None:
        rng = np.random.default_rng(1)
        self.w = etp.Param(rng.normal(size=(N_IN, N)))
        self.readout = etp.Param(rng.normal(size=(width, N_OUT)))
        self.v = etp.State((N,))

    def spike(self, v: Any) -> Any:
        return etp.spike(v - THRESHOLD, lambda u: 1 / (1 + 10 * xp.abs(u)) ** 2)


class OfTheNewVoltage(Layer):
    def __call__(self, x: Any) -> Any:
        before = self.spike(self.v.value)
        self.v.value = LEAK * self.v.value - THRESHOLD * before + etp.matmul(x, self.w)
        return etp.matmul(self.spike(self.v.value), self.readout)


class BeforeTheReset(Layer):
    def __call__(self, x: Any) -> Any:
        v = LEAK * self.v.value + etp.matmul(x, self.w)
        z = self.spike(v)
        self.v.value = v * (1 - z)
        return etp.matmul(z, self.readout)


class OfTheOldVoltage(Layer):
    def __call__(self, x: Any) -> Any:
        z = self.spike(self.v.value)
        self.v.value = LEAK * self.v.value - THRESHOLD * z + etp.matmul(x, self.w)
        return etp.matmul(z, self.readout)


class OfTwoThresholds(Layer):
    def __init__(self) -> None:
        super().__init__(2 * N)

    def __call__(self, x: Any) -> Any:
        self.v.value = LEAK * self.v.value + etp.matmul(x, self.w)
        both = xp.concat([self.spike(self.v.value), self.spike(self.v.value - 0.5)])
        return etp.matmul(both, self.readout)


def emitted(kind: type[Layer], v: Any, e: Any, x: Any, w: Any) -> tuple[Any, Any, Any, Any]:
    """Return voltage and its trace after the step, spikes and their trace."""
    drive, column = x @ w, np.repeat(x[:, None], N, 1)
    p, z = slope(v - THRESHOLD), (v > THRESHOLD) * 1.0
    if kind is OfTheOldVoltage:
        after = LEAK * v - THRESHOLD * z + drive
        return after, (LEAK - THRESHOLD * p) * e + column, z, p * e
    if kind is BeforeTheReset:
        u, eu = LEAK * v + drive, LEAK * e + column
        z, p = (u > THRESHOLD) * 1.0, slope(u - THRESHOLD)
        return u * (1 - z), (1 - z - u * p) * eu, z, p * eu
    if kind is OfTheNewVoltage:
        v, e = LEAK * v - THRESHOLD * z + drive, (LEAK - THRESHOLD * p) * e + column
        return v, e, (v > THRESHOLD) * 1.0, slope(v - THRESHOLD) * e
    v, e = LEAK * v + drive, LEAK * e + column
    heights = (THRESHOLD, THRESHOLD + 0.5)
    z = np.concatenate([(v > h) * 1.0 for h in heights])
    return v, e, z, np.concatenate([slope(v - h) * e for h in heights], 1)


def by_hand(kind: type[Layer], kappa: float, signal: Any) -> np.ndarray:
    model = kind()
    w, readout = np.asarray(model.w.value), np.asarray(model.readout.value)
    total = np.zeros_like(w)
    for k in range(BATCH):
        v, e, bar = np.zeros(N), np.zeros((N_IN, N)), np.zeros((N_IN, len(readout)))
        for t in range(STEPS):
            v, e, z, ez = emitted(kind, v, e, XS[t, k], w)
            bar = kappa * bar + (1 - kappa) * ez
            found = signal(z @ readout - YS[t, k], readout) * bar
            total += found.reshape(N_IN, -1, N).sum(1)
    return total


KINDS = [OfTheNewVoltage, BeforeTheReset, OfTheOldVoltage, OfTwoThresholds]


def half_square(output: Any, target: Any) -> Any:
    return 0.5 * xp.sum((output - target) ** 2)


@pytest.mark.parametrize("schedule", ["step", 2, "auto"])
@pytest.mark.parametrize("kappa", [0.0, 0.7])
@pytest.mark.parametrize("kind", KINDS)
def test_traces_of_spikes_are_filtered(kind: type[Layer], kappa: float, schedule: Any) -> None:
    lr = etp.compile(
        kind(), etp.EProp(kappa), half_square, backend="numpy", dtype="float64", schedule=schedule
    )
    got = np.asarray(lr.grad(XS, YS, reduction="sum")[0]["w"])
    want = by_hand(kind, kappa, lambda error, readout: readout @ error)
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    status = lr.report().parameters["w"].status
    assert status == ("approximate" if kappa else "exact")


@pytest.mark.parametrize("kind", KINDS)
def test_every_spike_hears_the_third_factor_once(kind: type[Layer]) -> None:
    lr = etp.compile(kind(), "three_factor", half_square, backend="numpy", dtype="float64")
    got = lr.grad(XS, YS, reduction="sum", modulator=np.ones(STEPS))[0]["w"]
    want = by_hand(kind, 0.0, lambda error, readout: np.ones(len(readout)))
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


class Skip(etp.Module):
    """Two layers, both of which the readout reads."""

    def __init__(self, skip: bool) -> None:
        rng = np.random.default_rng(2)
        self.w = etp.Param(rng.normal(size=(N_IN, N)))
        self.up = etp.Param(rng.normal(size=(N, N)))
        self.readout = etp.Param(rng.normal(size=(2 * N if skip else N, N_OUT)))
        self.v, self.u = etp.State((N,)), etp.State((N,))
        self.skip = skip

    def __call__(self, x: Any) -> Any:
        self.v.value = 0.5 * self.v.value + etp.matmul(x, self.w)
        z = xp.tanh(self.v.value)
        self.u.value = 0.5 * self.u.value + etp.matmul(z, self.up)
        q = xp.tanh(self.u.value)
        return etp.matmul(xp.concat([z, q]) if self.skip else q, self.readout)


def test_what_several_products_read_hears_it_once_too() -> None:
    found = [
        etp.compile(Skip(skip), "three_factor", "mse", backend="numpy", dtype="float64").grad(
            XS, YS, modulator=np.ones(STEPS)
        )[0]
        for skip in (True, False)
    ]
    for name in ("w", "up"):
        assert np.abs(np.asarray(found[0][name])).max() > 1e-3
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-12)
