"""Gradients of models with control flow, by comparison with unrolled back-propagation."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import etp
from etp.compiler.status import EXACT
from etp.oracle import unrolled_gradient
from tests.control.models import CELLS, N_IN, N_OUT, build

LENGTH, BATCH = 6, 3


def square(output, target):
    d = output - target
    return etp.xp.sum(d * d * d * 0.2 + d * d)


def data(length: int, batch: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, about half of them on either side of the conditions, and targets."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(length, batch, N_IN)) + 0.5, rng.normal(size=(length, batch, N_OUT))


def learner(model: str, rule: str, backend: str = "numpy", **options) -> etp.Learner:
    x, y = data(1, 1)
    return etp.compile(
        build(model), rule, square, backend=backend, dtype="float64",
        example=(x[0, 0], y[0, 0]), length=LENGTH, **options,
    )  # fmt: skip


@cache
def gradient(model: str, rule: str, length: int = LENGTH, **options) -> dict[str, np.ndarray]:
    found = learner(model, rule, **options).grad(*data(length), reduction="sum")[0]
    return {name: np.asarray(g) for name, g in found.items()}


@cache
def oracle(model: str, length: int = LENGTH) -> dict[str, np.ndarray]:
    """Return the gradient of the unrolled step as it was traced, choices and loops in place."""
    x, y = data(length)
    compiled = learner(model, "bptt").engine.last()[0]
    arrays = {**compiled.step.params, **compiled.step.states, **compiled.loss.constants}
    with np.errstate(all="ignore"):
        return unrolled_gradient(
            compiled.loss.program, arrays, {"x": x, "target": y}, np.ones((length, BATCH))
        )


def check_close(got, want, tolerance):
    assert set(got) == set(want)
    scale = max(np.abs(g).max() for g in want.values())
    assert scale > 1e-3, "the model is dead: nothing is compared"
    for name in want:
        assert np.isfinite(got[name]).all(), name
    worst = {n: float(np.abs(got[n] - want[n]).max() / scale) for n in want}
    assert max(worst.values()) < tolerance, worst


@pytest.mark.parametrize("model", CELLS)
def test_models_are_alive(model):
    for name, g in oracle(model).items():
        assert np.isfinite(g).all(), name
        assert np.abs(g).max() > 1e-6, name


@pytest.mark.parametrize("model", [m for m in CELLS if "adaptive" not in m and "assign" not in m])
def test_the_oracle_is_the_slope(model):
    """Except for spikes, whose derivative is chosen."""
    lr = learner(model, "bptt")
    x, y = data(3)
    start = {n: np.array(p) for n, p in lr.params.items()}
    rng = np.random.default_rng(3)
    way = {n: rng.standard_normal(p.shape) for n, p in start.items()}
    losses = []
    for sign in (1, -1):
        lr.params = {n: p + sign * 1e-6 * way[n] for n, p in start.items()}
        losses.append(lr.grad(x, y, reduction="sum")[1]["loss"])
    slope = (losses[0] - losses[1]) / 2e-6
    found = sum(np.vdot(g, way[n]) for n, g in oracle(model, 3).items())
    assert abs(slope) > 1e-3
    assert abs(found - slope) < 1e-6 * max(1, abs(slope))


@pytest.mark.parametrize("rule", ["bptt", "rtrl"])
@pytest.mark.parametrize("model", CELLS)
def test_exact_rules_equal_bptt(model, rule):
    check_close(gradient(model, rule), oracle(model), 1e-9)


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop"])
@pytest.mark.parametrize("model", CELLS)
def test_one_step_equals_bptt(model, rule, window):
    check_close(gradient(model, rule, length=1, window=window), oracle(model, 1), 1e-9)


# In the fast set where compiling takes long.
QUICK = ("adaptive", "both_branches", "dangerous", "settling", "from_parts")

POSITION_WISE = [
    m for m in CELLS if m not in ("substepped_recurrent", "dangerous") and "settling" not in m
]


@pytest.mark.parametrize("model", POSITION_WISE)
def test_traces_fold_through_the_loop(model):
    """Position-wise sub-steps and choices: D-RTRL is back-propagation, and says so."""
    lr = learner(model, "d_rtrl")
    statuses = {n: p.status for n, p in lr.report().parameters.items()}
    assert set(statuses.values()) == {EXACT}, statuses
    check_close(gradient(model, "d_rtrl"), oracle(model), 1e-9)


SAID = [pytest.param(m, r, marks=() if r == "d_rtrl" or m in QUICK else pytest.mark.slow)
        for m in CELLS for r in ("d_rtrl", "pp_prop")]  # fmt: skip


@pytest.mark.parametrize(("model", "rule"), SAID)
def test_exact_is_said_only_of_what_is(model, rule):
    lr = learner(model, rule)
    got, want = gradient(model, rule), oracle(model)
    scale = max(np.abs(g).max() for g in want.values())
    for name, found in lr.report().parameters.items():
        if found.status == EXACT:
            deviation = np.abs(got[name] - want[name]).max() / scale
            assert deviation < 1e-9, (name, found.reason, deviation)


ON_JAX = [pytest.param(m, marks=() if m in QUICK else pytest.mark.slow) for m in CELLS]


@pytest.mark.parametrize("model", ON_JAX)
def test_jax_agrees(model):
    pytest.importorskip("jax")
    for rule in ("d_rtrl", "bptt"):
        check_close(gradient(model, rule, backend="jax"), gradient(model, rule), 1e-9)


@pytest.mark.parametrize("rule", ["bptt", "rtrl"])
def test_settling_is_its_straight_line_twin(rule):
    """A loop of unknown length has the gradient of as many rounds written out."""
    twin = gradient("settling_twin", rule)
    check_close(gradient("settling", rule), twin, 1e-9)
    check_close(oracle("settling"), oracle("settling_twin"), 1e-9)


@pytest.mark.parametrize("model", ["gated", "dangerous", "nested", "settling"])
def test_a_batch_is_its_examples(model):
    """Examples choose and turn for themselves."""
    x, y = data(LENGTH)
    lr = learner(model, "d_rtrl")
    total: dict[str, np.ndarray] = {}
    for i in range(BATCH):
        for name, g in lr.grad(x[:, [i]], y[:, [i]], reduction="sum")[0].items():
            total[name] = total.get(name, 0) + g
    check_close(gradient(model, "d_rtrl"), total, 1e-12)


@pytest.mark.parametrize(
    "model", ["adaptive", "dangerous_readout", "nested", "damped", "from_parts"]
)
def test_schedules_agree(model):
    step = gradient(model, "d_rtrl", schedule="step")
    for schedule in (1, 4, "auto"):
        check_close(gradient(model, "d_rtrl", schedule=schedule), step, 1e-10)
