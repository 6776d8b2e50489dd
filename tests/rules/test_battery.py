"""What must hold for every rule on every cell, by comparison with unrolled back-propagation."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

import etp
from etp.compiler.status import DIRECT, EXACT
from etp.oracle import unrolled_gradient
from tests.models import CELLS, DIAGONAL, build, data, marked

# One rule of each kind: the sequence, a linear trace, a factorised one, all states. What holds of
# every registered rule is in test_verdicts.py and test_certificate.py.
RULES = ["bptt", "d_rtrl", "pp_prop", "rtrl"]
MODELS = [*CELLS, "lif+leaky", "gru+leaky"]
LENGTH, BATCH = 6, 3
# The whole product is in the slow set; these keep every mechanism in the fast one.
QUICK = ("gru", "lstm", "alif", "masked", "two_layers", "coupled")


# Of the slow rows one in three is run: every model, and every value of every other axis.
THINNED = 3


def product(*, quick: tuple[str, ...] = QUICK, **axes: object) -> pytest.MarkDecorator:
    """Return the product of models and further axes; outside of the quick models slow, and thin."""
    names, values = list(axes), list(axes.values())
    rows = [
        pytest.param(model, *rest, marks=() if model in quick else pytest.mark.slow)
        for i, model in enumerate(MODELS)
        for k, rest in enumerate(itertools.product(*values))  # type: ignore[call-overload]
        if model in quick or (i + k) % THINNED == 0
    ]
    return pytest.mark.parametrize(("model", *names), rows)


def square(output, target):
    """Sum of squares with a curvature that differs between outputs."""
    d = output - target
    return etp.xp.sum(d * d * d * 0.2 + d * d)


def learner(model: str, rule: str, **options) -> etp.Learner:
    x, y = data(1, 1)
    return etp.compile(
        build(model), rule, square, backend="numpy", dtype="float64",
        example=(x[0, 0], y[0, 0]), length=LENGTH, **options,
    )  # fmt: skip


def gradient(model: str, rule: str, length: int = LENGTH, **options) -> dict[str, np.ndarray]:
    return learner(model, rule, **options).grad(*data(length, BATCH), reduction="sum")[0]


@cache
def oracle(model: str, length: int = LENGTH) -> dict[str, np.ndarray]:
    x, y = data(length, BATCH)
    compiled = learner(model, "bptt").engine.last()[0]
    arrays = {**compiled.step.params, **compiled.step.states, **compiled.loss.constants}
    return unrolled_gradient(
        compiled.loss.program, arrays, {"x": x, "target": y}, np.ones((length, BATCH))
    )


def deviation(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> dict[str, float]:
    assert set(got) == set(want)
    scale = max(np.abs(g).max() for g in want.values())
    assert scale > 1e-3, "the model is dead: nothing is compared"
    return {n: float(np.abs(got[n] - want[n]).max() / scale) for n in want}


def check_close(got, want, tolerance):
    worst = deviation(got, want)
    assert max(worst.values()) < tolerance, worst


@pytest.mark.parametrize("model", marked(MODELS))
def test_models_are_alive(model):
    grads = oracle(model)
    dead = [n for n, g in grads.items() if not np.abs(g).max() > 1e-6]
    assert not dead


@pytest.mark.parametrize("model", ["gru", "lstm", "lif", "two_layers", "masked"])
def test_oracle_equals_finite_differences(model):
    if model == "lif":
        pytest.skip("a surrogate derivative is no derivative of the step function")
    x, y = data(4, 2)
    lr = learner(model, "bptt")

    def loss(params):
        lr.params = params
        return lr.grad(x, y, reduction="sum")[1]["loss"]

    start = {n: np.array(p) for n, p in lr.params.items()}
    numeric = etp.oracle.finite_differences(loss, start, 1e-6)
    lr.params = start
    check_close(lr.grad(x, y, reduction="sum")[0], numeric, 1e-7)


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", marked(MODELS))
def test_one_step_equals_bptt(model, rule, window):
    """At T = 1 there is no past, so every rule with the symmetric signal is exact."""
    check_close(gradient(model, rule, length=1, window=window), oracle(model, 1), 1e-9)


@pytest.mark.parametrize("rule", ["bptt", "rtrl"])
@pytest.mark.parametrize("model", marked(MODELS))
def test_exact_rules_equal_bptt(model, rule):
    check_close(gradient(model, rule, length=20), oracle(model, 20), 1e-8)


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("model", DIAGONAL)
def test_d_rtrl_is_exact_on_position_wise_models(model, window):
    check_close(gradient(model, "d_rtrl", length=20, window=window), oracle(model, 20), 1e-9)


@product(rule=RULES, window=[0, 1, 2])
def test_status_tells_the_truth(model, rule, window):
    """Exact means equal to BPTT, and what is not exact differs."""
    lr = learner(model, rule, window=window)
    worst = deviation(gradient(model, rule, window=window), oracle(model))
    for name, found in lr.report().parameters.items():
        if found.status == EXACT:
            assert worst[name] < 1e-10, (name, found.reason, worst[name])
        else:
            assert worst[name] > 1e-7, (name, found.status, found.reason, worst[name])


@product(rule=[r for r in RULES if r != "bptt"])
def test_a_window_of_the_whole_sequence_is_bptt(model, rule):
    check_close(gradient(model, rule, window=LENGTH), oracle(model), 1e-10)


@product(rule=["d_rtrl", "pp_prop"], window=[0, 1, 3], quick=("gru", "lstm", "masked"))
def test_schedules_agree(model, rule, window):
    length = 7
    step = gradient(model, rule, length=length, window=window, schedule="step")
    for chunk in (1, 3, 5, 20):
        got = gradient(model, rule, length=length, window=window, schedule=chunk)
        check_close(got, step, 1e-10)
    check_close(gradient(model, rule, length=length, window=window), step, 1e-10)


@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop", "rtrl"])
@pytest.mark.parametrize("model", ["rnn", "gru", "lstm", "alif"])
def test_streaming_equals_the_sequence(model, rule):
    x, y = data(LENGTH, BATCH)
    lr = learner(model, rule)
    total: dict[str, np.ndarray] = {}
    for t in range(LENGTH):
        lr.step(x[t], y[t])
        for name, g in lr.gradients.items():
            total[name] = total.get(name, 0) + g / LENGTH
    check_close(total, lr.grad(x, y)[0], 1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", ["gru", "lif", "masked"])
def test_batch_is_the_sum_of_its_examples(model, rule):
    x, y = data(LENGTH, BATCH)
    lr = learner(model, rule)
    total: dict[str, np.ndarray] = {}
    for i in range(BATCH):
        for name, g in lr.grad(x[:, [i]], y[:, [i]], reduction="sum")[0].items():
            total[name] = total.get(name, 0) + g
    check_close(lr.grad(x, y, reduction="sum")[0], total, 1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_examples_do_not_see_each_other(rule):
    """Masking all but one example, the gradient must not feel a change of another."""
    x, y = data(LENGTH, BATCH)
    lr = learner("gru", rule)
    mask = np.zeros((LENGTH, BATCH))
    mask[:, 1] = 1
    before = lr.grad(x, y, mask, reduction="sum")[0]
    moved = x.copy()
    moved[:, 0] += 10
    after = lr.grad(moved, y, mask, reduction="sum")[0]
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert max(np.abs(g).max() for g in before.values()) > 1e-3


def test_rules_differ():
    """Where a rule is approximate it is so in its own way."""
    found = {
        (rule, window): gradient("gru", rule, window=window)
        for rule in RULES for window in (0, 1) if rule not in ("bptt", "rtrl")
    }  # fmt: skip
    keys = list(found)
    for i, a in enumerate(keys):
        for b in keys[:i]:
            assert max(deviation(found[a], found[b]).values()) > 1e-4, (a, b)


def test_direct_only_is_reported():
    found = learner("plain", "d_rtrl").report().parameters
    assert found["cell.u"].status == DIRECT
    assert "matmul" in found["cell.u"].reason or "product" in found["cell.u"].reason


@product(rule=RULES, schedule=["auto", "step"], quick=("gru", "lstm", "alif"))
def test_jax_agrees(model, rule, schedule):
    pytest.importorskip("jax")
    x, y = data(LENGTH, BATCH)
    got = [
        etp.compile(build(model), rule, square, backend=b, schedule=schedule).grad(x, y)[0]
        for b in ("numpy", "jax")
    ]
    check_close({n: np.asarray(g) for n, g in got[1].items()}, got[0], 1e-5)


def test_a_rule_of_ones_own():
    """A rule written outside the package runs under every schedule, and is not called exact."""
    from attrs import frozen

    @frozen
    class Faded(etp.rules.TraceRule):
        """D-RTRL with a faster fading past."""

        name = "faded"

        def advance(self, rel, e):
            return {"e": 0.5 * rel.D @ e["e"] + rel.u * rel.x}

    x, y = data(7, BATCH)
    found = [
        etp.compile(build("leaky"), Faded, square, backend="numpy", dtype="float64", schedule=s)
        for s in ("step", 3, "auto")
    ]
    step, *others = [lr.grad(x, y, reduction="sum")[0] for lr in found]
    for got in others:
        check_close(got, step, 1e-10)
    assert max(deviation(step, oracle("leaky", 7)).values()) > 1e-3
    assert found[0].report().parameters["cell.w"].status == "approximate"
