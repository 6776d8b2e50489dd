"""Rules that run a noisy copy of the states beside them."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from tests.models import build, data
from tests.rules.test_battery import deviation, gradient, oracle, square
from tests.rules.test_unbiased import CALLS, LENGTH, exact, means

MODELS = ["gru", "two_layers", "masked"]


@pytest.mark.parametrize("model", MODELS)
def test_node_perturbation_has_the_gradient_as_its_mean(model):
    """At a small sigma the error of its mean is below what can be seen."""
    want, got = exact(model), means(model, "node_perturbation(sigma=1e-6)")
    scale = max(np.abs(g).max() for g in want.values())
    for n, g in got.items():
        error = g.std(axis=0, ddof=1) / np.sqrt(CALLS)
        assert (np.abs(g.mean(axis=0) - want[n]) < 5 * error + 1e-6 * scale).all(), n


def test_node_perturbation_is_off_by_sigma_squared():
    """With the same draws and their negatives, what is left beside noise falls as sigma squared."""

    def mean(sigma):
        found = means("gru", f"node_perturbation(sigma={sigma})", 2)
        return np.concatenate([g.mean(axis=0).ravel() for g in found.values()])

    still, small, large = mean(1e-7), mean(0.05), mean(0.2)
    assert np.abs(large - still).max() > 4 * np.abs(small - still).max() > 1e-6


def test_node_perturbation_has_its_own_window():
    with pytest.raises(etp.NotSupportedError, match="use window=0"):
        etp.compile(
            build("gru"), "node_perturbation", square, backend="numpy", window=1,
            example=(np.zeros(2), np.zeros(2)),
        )  # fmt: skip
    with pytest.raises(etp.ETPError, match="sigma of NodePerturbation"):
        etp.rules.NodePerturbation(sigma=0.0)


@pytest.mark.parametrize("model", [*MODELS, "lstm", "alif", "plain"])
@pytest.mark.parametrize("window", [0, 1])
def test_kernl_of_one_step_is_bptt(model, window):
    worst = deviation(gradient(model, "kernl", length=1, window=window), oracle(model, 1))
    assert max(worst.values()) < 1e-9, worst


def test_the_kernel_is_learned_from_the_mean_over_the_batch():
    """Each example has noise of its own, and one kernel learns from all."""
    x, y = data(LENGTH, 1)
    found = {}
    for size in (1, 64):
        learner = etp.compile(
            build("gru"), etp.rules.KeRNL(sigma=0.1, rate=1.0), square, backend="numpy",
            dtype="float64", batch_size=size,
        )  # fmt: skip
        learner.grad(np.repeat(x, size, 1), np.repeat(y, size, 1))
        found[size] = np.abs(learner.rule_arrays["kernel.A"] - np.eye(3)).max()
    assert found[64] > 0
    assert found[64] != found[1]
