"""The verdict is true: every registered rule on many kinds of models, against unrolled BPTT."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from scipy import stats

import etp
from etp.compiler.status import APPROXIMATE, DIRECT, EXACT, UNBIASED, UNREACHABLE, Status
from etp.oracle import unrolled_gradient
from etp.rules import LearningRule, OnlineRule
from etp_ir.core import Output, Role
from etp_ir.interpreter import evaluate
from tests.compiler.oracles import Probe
from tests.models import data
from tests.rules.zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")

LENGTH, BATCH = 6, 2
EQUAL, APART = 1e-10, 1e-6
# What is too small beside the other gradients to be compared: rounding would tell.
SMALL = 1e-6
# Where one draw of data leaves a difference too small to be seen, another shows it.
SCALES = (1.0, 1.7, 0.6, 4.0, 8.0)
# A model of each mechanism; the others are in the slow set.
FAST = (
    "ctrnn", "indrnn", "leaky", "leaky_tanh", "lif_one_leak", "lif_recurrent", "lif_stack",
    "lif_into_leaky_readout", "two_states", "self_loops_alone", "tied", "used_twice", "heads",
    "sparse", "embedded",
)  # fmt: skip
RULES = etp.rules.registered()
DRAWING = [n for n, r in RULES.items() if r.unbiased]
models = pytest.mark.parametrize(
    "model", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in ZOO]
)
rules = pytest.mark.parametrize("rule", RULES)


# -- one rule on one model -------------------------------------------------------------------
@cache
def probe(model: str, k: int = 0) -> Probe:
    x, y = data(LENGTH, BATCH, seed=5 + k)
    if k:
        return evolve(probe(model), x=SCALES[k] * x, y=y)
    return Probe(ZOO[model](0), x, y)


@cache
def truth(model: str, k: int = 0) -> dict[str, np.ndarray]:
    p = probe(model)
    return evolve(probe(model, k)).exact(p.learner("bptt"))


def windows(rule: LearningRule) -> list[int]:
    return sorted({0, rule.default_window}) if isinstance(rule, OnlineRule) else [1]


def gradient(p: Probe, lr: etp.Learner) -> dict[str, np.ndarray]:
    """Return the gradient of a rule, given a modulator where it asks for one."""
    given = {}
    if lr.options.rule.modulated:
        given["modulator"] = np.random.default_rng(3).normal(size=(LENGTH, BATCH))
    return lr.grad(p.x, p.y, reduction="sum", **given)[0]


def statuses(lr: etp.Learner) -> dict[str, Status]:
    return lr.engine.last()[0].statuses(LENGTH, LENGTH)


def errors(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the largest error of each gradient, relative to its own largest entry."""
    assert set(got) == set(want)
    assert all(np.isfinite(g).all() for g in got.values())
    top = max(float(np.abs(w).max()) for w in want.values())
    assert top > 1e-3, "the model is dead: nothing is compared"
    return {
        n: float(np.abs(got[n] - w).max()) / max(float(np.abs(w).max()), SMALL * top)
        for n, w in want.items()
    }


def holds(status: str, worst: float) -> bool:
    """Whether the largest error over all data is as the status says."""
    if status in (EXACT, UNREACHABLE):
        return worst < EQUAL
    # The mean over draws has tests of its own; what needs no draws is to be called exact.
    return worst > APART


@cache
def direct(model: str) -> dict[str, np.ndarray]:
    """The gradient of every step alone, from the states that were met, summed over steps."""
    p = probe(model)
    c = p.learner("bptt").engine.last()[0]
    fixed = {**c.step.params, **c.loss.constants}
    x, y = (port.name for port in c.loss.program.inputs_of("input", "target"))
    total: dict[str, np.ndarray] = {}
    for i in range(BATCH):
        states = dict(c.step.states)
        for t in range(LENGTH):
            rows = {x: p.x[t : t + 1, [i]], y: p.y[t : t + 1, [i]]}
            found = unrolled_gradient(c.loss.program, {**fixed, **states}, rows, np.ones((1, 1)))
            total = {n: total.get(n, 0) + g for n, g in found.items()}
            out = evaluate(c.loss.program, {**fixed, **states, x: p.x[t, i], y: p.y[t, i]})
            states = {n: out[f"state({n})"] for n in states}
    return total


def accepted(p: Probe, rule: LearningRule, window: int) -> etp.Learner | None:
    """Return the learner, or None where the rule is refused, with what to do instead."""
    try:
        return p.learner(rule, window=window)
    except etp.ETPError as error:
        told = str(error)
    assert "\n" in told, f"{rule.name} is refused, and not told how to go on: {told}"
    return None


def check(model: str, name: str) -> bool:
    """Hold every status of a rule on a model against its gradient; False if it is refused."""
    rule = RULES[name]()
    for window in windows(rule):
        p = probe(model)
        lr = accepted(p, rule, window)
        if lr is None:
            return False
        found, worst = statuses(lr), dict.fromkeys(truth(model), 0.0)
        for k in range(len(SCALES)):
            q = evolve(p, x=probe(model, k).x, y=probe(model, k).y)
            got = gradient(q, lr)
            for n, e in errors(got, truth(model, k)).items():
                worst[n] = max(worst[n], e)
            if k == 0:
                for n, s in found.items():
                    if s.status == DIRECT and not rule.delayed:
                        np.testing.assert_allclose(
                            got[n], direct(model)[n], rtol=0,
                            atol=EQUAL * max(np.abs(direct(model)[n]).max(), 1e-3),
                        )  # fmt: skip
            if all(holds(s.status, worst[n]) for n, s in found.items()):
                break
        wrong = {
            n: f"called {s.status} ({s.reason}), off by {worst[n]:.1e}"
            for n, s in found.items() if not holds(s.status, worst[n])
        }  # fmt: skip
        assert not wrong, f"{name}, window {window}, on {model}: {wrong}"
        idle = {n for n, w in truth(model).items() if not w.any()}
        assert idle >= {n for n, s in found.items() if s.status == UNREACHABLE}
    return True


# -- the whole product -----------------------------------------------------------------------
def pairs() -> list[Any]:
    """Return all models with all rules; of those in the fast set each model with half of them."""
    return [
        pytest.param(model, rule, marks=() if model in FAST and (i + k) % 2 else pytest.mark.slow)
        for i, model in enumerate(ZOO) for k, rule in enumerate(RULES)
    ]  # fmt: skip


@pytest.mark.parametrize(("model", "rule"), pairs())
def test_the_verdict_is_true(model: str, rule: str) -> None:
    if not check(model, rule):
        pytest.skip("refused, with a reason")


@rules
def test_no_rule_is_refused_on_recurrent_models(rule: str) -> None:
    """Else nothing would be said about it."""
    made = RULES[rule]()
    window = windows(made)[-1]
    found = [accepted(probe(model), made, window) for model in FAST[:4]]
    # Types of cells have a meaning only where units act on units by a dense product.
    assert sum(lr is not None for lr in found) >= (1 if rule in ("mdgl", "mod_prop") else 3)


def test_there_are_enough_models_and_every_status_is_among_them() -> None:
    assert len(ZOO) >= 40
    assert 5 * len(FAST) >= len(ZOO)
    met: set[str] = set()
    for model in ("plain", "one_is_idle", "leaky_tanh"):
        for rule in ("d_rtrl", "uoro"):
            met |= {s.status for s in statuses(probe(model).learner(rule)).values()}
    assert met == {EXACT, APPROXIMATE, DIRECT, UNBIASED, UNREACHABLE}


@models
def test_models_are_alive_and_spike(model: str) -> None:
    p = probe(model)
    c = p.learner("bptt").engine.last()[0]
    found, want = statuses(p.learner("bptt")), truth(model)
    for n, s in found.items():
        assert (np.abs(want[n]).max() > 1e-6) == (s.status != UNREACHABLE), n
    program = c.loss.program
    spikes = [n.output for n in program.nodes if n.primitive.name == "spike"]
    if not spikes:
        return
    extra = tuple(Output(v, Role("value", (str(k),))) for k, v in enumerate(spikes))
    program = evolve(program, outputs=(*program.outputs, *extra))
    x, y = (port.name for port in program.inputs_of("input", "target"))
    fired = []
    for i in range(BATCH):
        states = dict(c.step.states)
        for t in range(LENGTH):
            given = {**c.step.params, **c.loss.constants, **states, x: p.x[t, i], y: p.y[t, i]}
            out = evaluate(program, given)
            states = {n: out[f"state({n})"] for n in states}
            fired += [out[f"value({k})"].mean() for k in range(len(spikes))]
    assert 0.03 < np.mean(fired) < 0.97


# -- means over draws ------------------------------------------------------------------------
CALLS, COPIES = 40, 10
# The chance that a true verdict is rejected anywhere, over all rules, models and elements.
CHANCE, TESTS = 0.01, 20_000
LIMIT = float(stats.t.isf(CHANCE / TESTS / 2, CALLS - 1))
SOME = ("leaky_tanh", "lif_recurrent", "two_states", "heads", "tied")


@pytest.mark.parametrize(
    "model", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in ZOO]
)
@pytest.mark.parametrize("rule", DRAWING)
def test_unbiased_means_that_the_mean_over_draws_is_the_gradient(rule: str, model: str) -> None:
    p = probe(model)
    x, y = (np.repeat(a[:4, :1], COPIES, 1) for a in (p.x, p.y))
    one = evolve(p, x=p.x[:4, :1], y=p.y[:4, :1])
    lr = p.learner(rule, backend="numpy")
    want, found = one.exact(p.learner("bptt")), statuses(lr)
    calls = [lr.grad(x, y, reduction="sum")[0] for _ in range(CALLS)]
    drawn = 0
    top = max(np.abs(w).max() for w in want.values())
    for n, s in found.items():
        each = np.array([g[n] / COPIES for g in calls])
        error = each.std(axis=0, ddof=1) / np.sqrt(CALLS)
        z = np.abs(each.mean(axis=0) - want[n]) / (error + 1e-12 * top)
        if s.status in (UNBIASED, EXACT):
            assert z.max() < LIMIT, (n, s, z.max())
        varies = bool((error > 1e-9 * top).any())
        assert not (varies and s.status == EXACT), n
        drawn += varies
    assert drawn or UNBIASED not in {s.status for s in found.values()}
