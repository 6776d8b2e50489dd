"""What cells start from, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etp import nn
from etp.nn.state_space import legs, spectrum
from etp_ir import ModelError

MANY = 4000


def test_the_ring_is_filled_evenly() -> None:
    cell = nn.LRUCell(2, MANY, r_min=0.4, r_max=0.9, max_phase=1.5, rng=0)
    factor, width = cell.ring.read()
    size, angle = np.hypot(factor.re, factor.im), np.arctan2(factor.im, factor.re)
    assert 0.4 <= size.min() < 0.42
    assert 0.89 < size.max() <= 0.9 + 1e-6
    assert 0 < angle.min() < 0.01
    assert 1.49 < angle.max() <= 1.5 + 1e-6
    # Even in area: the squared modulus is uniform.
    np.testing.assert_allclose(np.mean(size**2), (0.16 + 0.81) / 2, rtol=0.02)
    np.testing.assert_allclose(np.var(size**2), (0.81 - 0.16) ** 2 / 12, rtol=0.05)
    np.testing.assert_allclose(width, np.sqrt(1 - size**2), rtol=1e-5)
    np.testing.assert_allclose(np.exp(cell.gamma_log.value), width, rtol=1e-5)


def test_gamma_keeps_the_variance_of_the_input() -> None:
    cell = nn.LRUCell(8, MANY, r_max=0.95, rng=0)
    rng = np.random.default_rng(1)
    states = []
    for t in range(300):
        cell(rng.normal(size=8))
        if t > 150:
            states.append(cell.h.re.value**2 + cell.h.im.value**2)
    np.testing.assert_allclose(np.mean(states), 1.0, rtol=0.1)


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_hippo_spectrum(count: int) -> None:
    """Against the matrix as it is published: its normal part is what a rank-one term leaves."""
    n = np.arange(2 * count)
    hippo = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    normal = hippo + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5))
    values, vectors = legs(count)
    assert (values.imag > 0).all()
    np.testing.assert_allclose(normal @ vectors, vectors * values, atol=1e-10 * count)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(count), atol=1e-10)
    np.testing.assert_array_equal(spectrum("legs", count), values)


def test_the_formulas_stand_in_for_the_spectrum() -> None:
    """The largest eigenvalues of HiPPO-LegS approach those of the inverse law."""
    exact = np.sort(legs(256)[0].imag)[::-1]
    inverse = spectrum("inv", 256).imag
    np.testing.assert_allclose(inverse[:5] / exact[:5], 1.0, rtol=0.02)
    np.testing.assert_allclose(np.diff(spectrum("lin", 5).imag), np.pi)
    assert (spectrum("lin", 5).real == -0.5).all()


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
def test_short_steps_follow_the_differential_equation(method: str) -> None:
    """A constant input for one unit of time, in steps of 1 / 500."""
    cell = nn.S5Cell(1, 4, method=method, dt_min=0.002, dt_max=0.0020001, rng=0)
    for _ in range(500):
        cell(np.ones(1))
    a = -np.exp(cell.system.a_log.value) + 1j * cell.system.omega.value
    drive = cell.b.re.value[0] + 1j * cell.b.im.value[0]
    wanted = np.expm1(a) / a * drive
    found = cell.h.re.value + 1j * cell.h.im.value
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_short_steps_keep_their_digits() -> None:
    cell = nn.S4DCell(1, 4, dt_min=1e-4, dt_max=1.0001e-4, rng=0)
    a = -np.exp(cell.system.a_log.value.astype(float)) + 1j * cell.system.omega.value
    wanted = np.expm1(a * np.exp(cell.system.dt_log.value.astype(float))) / a
    _, gain = cell.system.step()
    assert gain.re.dtype == np.float32
    np.testing.assert_allclose(gain.re + 1j * gain.im, wanted, rtol=2e-6)


def test_time_scales_of_ur_lstm_are_spread_evenly() -> None:
    beta = nn.URLSTMCell(2, MANY // 4, rng=0).beta.value
    forget = 1 / (1 + np.exp(-beta))
    np.testing.assert_allclose(forget.mean(), 0.5, atol=0.03)
    np.testing.assert_allclose(forget.var(), 1 / 12, rtol=0.05)
    assert np.isfinite(beta).all()


def test_biases_that_keep_the_memory_open() -> None:
    assert nn.CFNCell(2, 3, rng=0).f.b.value.tolist() == [1, 1, 1]
    assert nn.CFNCell(2, 3, rng=0).i.b.value.tolist() == [-1, -1, -1]
    assert nn.MiniLSTMCell(2, 3, forget_bias=2.0, rng=0).f.bias.value.tolist() == [2, 2, 2]


def test_time_constants_are_trained_on_request_only() -> None:
    fixed, trained = (nn.CTRNNCell(2, 3, tau=4.0, train_tau=t, rng=0) for t in (False, True))
    assert not fixed.log_tau.trainable
    assert trained.log_tau.trainable
    np.testing.assert_allclose(np.exp(trained.log_tau.value), 4.0, rtol=1e-6)


def test_widths() -> None:
    x = np.ones(2)
    assert nn.ElmanCell(2, 3, 5, rng=0)(x).shape == (5,)
    assert nn.JordanCell(2, 3, 5, rng=0)(x).shape == (5,)
    assert nn.JordanCell(2, 3, 5, rng=0).hidden.w_rec.shape == (5, 3)
    assert nn.LRUCell(2, 3, rng=0)(x).shape == (2,)
    assert nn.S4DCell(2, 3, rng=0).h.re.shape == (2, 3)
    assert nn.RTUCell(2, 3, rng=0)(x).shape == (6,)


@pytest.mark.parametrize("name", nn.cells())
def test_a_seed_gives_the_same_cell(name: str) -> None:
    one, two, other = (nn.cells()[name](4, 6, rng=seed).named_params() for seed in (3, 3, 4))
    for path, param in one.items():
        assert param.value.dtype == np.float32
        np.testing.assert_array_equal(param.value, two[path].value)
    assert any(np.abs(p.value - other[path].value).max() > 0 for path, p in one.items())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.S4DCell(2, 3, spectrum="inf", rng=0), "no spectrum 'inf'; did you mean"),
        (lambda: nn.S4DCell(2, 3, method="zho", rng=0), "no method 'zho'; did you mean 'zoh'"),
        (lambda: nn.S5Cell(2, 3, method="bilinaer", rng=0), "did you mean 'bilinear'"),
        (lambda: nn.CTRNNCell(2, 3, tau=[1.0, 2.0, 3.0], dt=1.5, rng=0), "overshoots.*1.0"),
        (lambda: nn.RTUCell(2, 3, activation="tanhh", rng=0), "did you mean 'tanh'"),
        (lambda: nn.ALIFCell(2, 3, reset="subtrac", rng=0), "did you mean 'subtract'"),
        (lambda: nn.LeakySpikeReadout(2, 3, reset="zer", rng=0), "did you mean 'zero'"),
    ],
)
def test_what_a_cell_refuses(make: Any, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make()
