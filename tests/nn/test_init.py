"""Initial weights: distribution, shape, element type and reproducibility."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etp import init

SHAPE = (400, 100)


@pytest.mark.parametrize(
    ("make", "std", "limit"),
    [
        (init.glorot, np.sqrt(2 / 500), np.sqrt(6 / 500)),
        (init.he, np.sqrt(2 / 400), None),
        (init.lecun, np.sqrt(1 / 400), None),
        (init.orthogonal, np.sqrt(1 / 400), None),
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
