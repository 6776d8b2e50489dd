"""Initial weights: distribution, shape, element type and reproducibility."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etp import init
from etp_ir import ModelError

SHAPE = (400, 100)


@pytest.mark.parametrize(
    ("make", "std", "limit"),
    [
        (init.glorot, np.sqrt(2 / 500), np.sqrt(6 / 500)),
        (init.he, np.sqrt(2 / 400), None),
        (init.lecun, np.sqrt(1 / 400), None),
        (init.glorot_normal, np.sqrt(2 / 500), None),
        (init.he_uniform, np.sqrt(2 / 400), np.sqrt(6 / 400)),
        (init.lecun_uniform, np.sqrt(1 / 400), np.sqrt(3 / 400)),
        # What is left of the variance of a normal distribution cut at c: 1 - 2c φ(c) / (2Φ(c) - 1).
        (init.truncated_normal, 0.87962566, 2.0),
        (lambda r, s: init.truncated_normal(r, s, std=0.1, limit=1.0), 0.053956, 0.1),
        (init.orthogonal, np.sqrt(1 / 400), None),
        (lambda r, s: init.sparse(r, s, k=100, std=0.5), 0.25, None),
        (init.excitatory_inhibitory, np.sqrt(1 / 400), None),
        (lambda r, s: init.normal(r, s, std=0.5), 0.5, None),
        (lambda r, s: init.uniform(r, s, -0.3, 0.3), 0.3 / np.sqrt(3), 0.3),
        (lambda r, s: init.glorot(r, s, gain=2.0), 2 * np.sqrt(2 / 500), 2 * np.sqrt(6 / 500)),
    ],
)
def test_distribution(make: Any, std: float, limit: float | None) -> None:
    w = make(0, SHAPE)
    assert w.dtype == np.float32
    assert w.shape == SHAPE
    assert abs(w.mean()) < 4 * std / np.sqrt(w.size)
    np.testing.assert_allclose(w.std(), std, rtol=0.02)
    if limit is not None:
        assert np.abs(w).max() <= np.float32(limit)
    np.testing.assert_array_equal(w, make(0, SHAPE))
    np.testing.assert_array_equal(w, make(np.random.default_rng(0), SHAPE))
    rng = np.random.default_rng(0)
    assert np.abs(make(rng, SHAPE) - make(rng, SHAPE)).max() > 0


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = init.orthogonal(1, shape, gain=2.0).reshape(-1, shape[-1])
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_convolution_counts_its_field() -> None:
    w = init.he(0, (3, 3, 40, 50))
    np.testing.assert_allclose(w.std(), np.sqrt(2 / 360), rtol=0.03)


def test_constants() -> None:
    assert init.zeros((2,)).tolist() == [0, 0]
    assert init.ones((2,)).tolist() == [1, 1]
    assert init.constant((2,), 0.5).tolist() == [0.5, 0.5]
    assert init.zeros((2,)).dtype == np.float32


def test_uniform_and_normal_are_what_they_are_called() -> None:
    """The kurtosis is 1.8 for a uniform distribution and 3 for a normal one."""
    for name in ("glorot", "glorot_normal", "he", "he_uniform", "lecun", "lecun_uniform"):
        w = getattr(init, name)(0, SHAPE).astype(float)
        kurtosis = np.mean(w**4) / np.mean(w**2) ** 2
        uniform = name == "glorot" or "uniform" in name
        np.testing.assert_allclose(kurtosis, 1.8 if uniform else 3.0, rtol=0.05)


@pytest.mark.parametrize(("rows", "k"), [(400, 15), (400, 1), (10, 15)])
def test_sparse_has_so_many_inputs_per_unit(rows: int, k: int) -> None:
    w = init.sparse(3, (rows, 200), k=k)
    nonzero = w != 0
    assert set(nonzero.sum(axis=0)) == {min(k, rows)}
    np.testing.assert_allclose(w[nonzero].std(), 1.0, rtol=0.1)
    if k < rows:  # Every input is chosen equally often, up to chance.
        expected = 200 * k / rows
        assert np.abs(nonzero.sum(axis=1) - expected).max() < 6 * np.sqrt(expected)


@pytest.mark.parametrize("fraction", [0.8, 0.5])
def test_excitation_and_inhibition(fraction: float) -> None:
    w = init.excitatory_inhibitory(4, (300, 100), excitatory=fraction, gain=1.5).astype(float)
    split = round(300 * fraction)
    assert (w[:split] > 0).all()
    assert (w[split:] < 0).all()
    np.testing.assert_allclose(w.sum(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.mean(w**2), 1.5**2 / 300, rtol=1e-5)
    ratio = -w[split:].mean() / w[:split].mean()
    np.testing.assert_allclose(ratio, fraction / (1 - fraction), rtol=1e-4)
    assert w[:split].std() > 0.3 * w[:split].mean()


def test_diagonals() -> None:
    np.testing.assert_array_equal(init.identity(None, (2, 3), gain=0.5), 0.5 * np.eye(2, 3))
    w = init.diagonal(0, (500, 500), 0.2, 0.6)
    assert np.count_nonzero(w - np.diag(np.diag(w))) == 0
    assert 0.2 <= np.diag(w).min() < 0.21
    assert 0.59 < np.diag(w).max() <= 0.6
    np.testing.assert_allclose(np.diag(w).mean(), 0.4, atol=0.02)
    assert init.diagonal(0, (3, 5)).shape == (3, 5)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: init.truncated_normal(0, (2,), limit=0.0),
            "cannot be cut at 0.0; give a positive",
        ),
        (lambda: init.excitatory_inhibitory(0, (3, 3), 1.0), "1.0 of 3 rows leaves none"),
        (lambda: init.sparse(0, (3,)), r"two axes, got the shape \(3,\)"),
        (lambda: init.identity(0, (3, 3, 3)), "two axes"),
    ],
)
def test_what_cannot_be_made_says_so(make: Any, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make()
