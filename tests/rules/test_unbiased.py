"""Rules that draw random numbers: the mean over draws is the gradient of the whole sequence."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp.oracle import unrolled_gradient
from tests.models import build, data
from tests.rules.test_battery import square

LENGTH, BATCH, CALLS = 4, 30, 30
RULES = ["uoro", "kf_rtrl", "r_kf_rtrl", "forward_gradient", "forward_gradient(4)", "ok", "ok(2)"]
QUICK, REST = ["gru", "masked"], ["rnn", "two_layers", "lstm"]
MODELS = [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in REST)]
# Where influence stays at one position, or inputs are two, these keep it as it is.
STILL = {("r_kf_rtrl", "masked"), ("ok(2)", "masked")}
# What is kept where a mean is exact to rounding, and so has no spread of its own.
FLAT = 1e-11


def made(model: str, rule: str, length: int = LENGTH) -> etp.Learner:
    x, y = data(1, 1)
    return etp.compile(
        build(model), rule, square, backend="numpy", dtype="float64",
        example=(x[0, 0], y[0, 0]), length=length, seed=3,
    )  # fmt: skip


def means(model: str, rule: str, length: int = LENGTH) -> dict[str, np.ndarray]:
    """Means over copies of one example, each with draws of its own, for several calls."""
    x, y = (np.repeat(a, BATCH, 1) for a in data(length, 1))
    learner = made(model, rule, length)
    found = [learner.grad(x, y, reduction="sum")[0] for _ in range(CALLS)]
    return {n: np.array([g[n] / BATCH for g in found]) for n in found[0]}


def exact(model: str, length: int = LENGTH) -> dict[str, np.ndarray]:
    x, y = data(length, 1)
    compiled = made(model, "bptt", length).engine.last()[0]
    arrays = {**compiled.step.params, **compiled.step.states, **compiled.loss.constants}
    return unrolled_gradient(
        compiled.loss.program, arrays, {"x": x, "target": y}, np.ones((length, 1))
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rule", RULES)
def test_the_mean_over_draws_is_the_gradient(rule, model):
    want, got = exact(model), means(model, rule)
    assert set(got) == set(want)
    scale = max(np.abs(g).max() for g in want.values())
    assert scale > 1e-3, "the model is dead: nothing is compared"
    drawn = 0
    for n, g in got.items():
        error = g.std(axis=0, ddof=1) / np.sqrt(CALLS)
        off = np.abs(g.mean(axis=0) - want[n])
        assert (off < 5 * error + FLAT * scale).all(), (n, (off / (error + FLAT * scale)).max())
        drawn += int((error > 1e-6 * scale).sum())
    assert drawn or (rule, model) in STILL, "no gradient varies: nothing is drawn"


@pytest.mark.parametrize("rule", RULES)
def test_the_status_says_unbiased(rule):
    found = made("rnn", rule).report().parameters
    assert "unbiased" in {p.status for p in found.values()}


def test_a_sum_of_as_many_products_as_steps_is_exact():
    got, want = means("gru", f"ok({LENGTH})"), exact("gru")
    for n, g in got.items():
        np.testing.assert_allclose(g.mean(axis=0), want[n], rtol=0, atol=1e-8)


def test_the_best_sum_varies_less():
    spread = {rule: sum(g.var(axis=0).sum() for g in means("gru", rule).values())
              for rule in ("kf_rtrl", "ok", "ok(2)")}  # fmt: skip
    assert spread["ok(2)"] < spread["ok"] < spread["kf_rtrl"]
