"""What every registered rule can do, whatever it is: schedules, backends, batches, life cycle."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import etp
from etp.rules import OnlineRule, TraceRule
from tests.models import data
from tests.rules.test_battery import square
from tests.rules.zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")

LENGTH, BATCH = 6, 3
X, Y = data(LENGTH, BATCH, seed=5)
GIVEN = np.random.default_rng(3).normal(size=(LENGTH, BATCH))
RULES = etp.rules.registered()
ONLINE = [n for n, r in RULES.items() if issubclass(r, OnlineRule)]
every = pytest.mark.parametrize("rule", RULES)
online = pytest.mark.parametrize("rule", ONLINE)
# What a rule can keep, each once; where compiling takes long the others are in the slow set.
KINDS = {"d_rtrl", "pp_prop", "uoro", "eprop", "dni", "three_factor", "kernl", "tbptt"}
some_online, some = (
    pytest.mark.parametrize(
        "rule", [pytest.param(n, marks=() if n in KINDS else pytest.mark.slow) for n in names]
    )
    for names in (ONLINE, RULES)
)
models = pytest.mark.parametrize(
    "model", ["lif_recurrent", pytest.param("two_states", marks=pytest.mark.slow)]
)


# Roots of small singular values magnify what rounding leaves of them.
ROUNDED = {"ok": 1e-6}
# Those that need units which act on each other, which "two_states" has not.
BETWEEN_UNITS = {"mdgl", "mod_prop"}


def learner(rule: str, model: str = "lif_recurrent", **options: Any) -> etp.Learner:
    if model == "two_states" and rule in BETWEEN_UNITS:
        pytest.skip("refused: no unit acts on another")
    fixed = {"backend": "numpy", "dtype": "float64", "example": (X[0, 0], Y[0, 0]), "seed": 7}
    return etp.compile(
        ZOO[model](0), rule, square, length=LENGTH, batch_size=BATCH, **{**fixed, **options}
    )


def given(lr: etp.Learner, rows: Any = ...) -> dict[str, Any]:
    """Return the modulator, for rules that ask for one."""
    return {"modulator": GIVEN[rows]} if lr.options.rule.modulated else {}


def gradient(lr: etp.Learner) -> dict[str, np.ndarray]:
    found = lr.grad(X, Y, reduction="sum", **given(lr))[0]
    return {n: np.asarray(g) for n, g in found.items()}


def near(got: Any, want: Any, tolerance: float) -> None:
    assert set(got) == set(want)
    scale = max(float(np.abs(w).max()) for w in want.values())
    assert scale > 1e-3, "nothing is compared"
    for n in want:
        assert np.abs(np.asarray(got[n]) - want[n]).max() <= tolerance * scale, n


def couples(lr: etp.Learner) -> bool:
    """Whether the rule learns arrays from all examples of a batch."""
    return any(x.learned for x in lr.engine.last()[0].steps.shared.values())


def as_numpy(arrays: Any) -> dict[str, np.ndarray]:
    return {n: np.asarray(x) for n, x in arrays.items()}


# -- the same numbers, however they are computed ---------------------------------------------
@some_online
@models
def test_schedules_agree(rule: str, model: str) -> None:
    step = gradient(learner(rule, model, schedule="step"))
    for schedule in (2, 4, "auto"):
        near(gradient(learner(rule, model, schedule=schedule)), step, 1e-10)


@some
@models
def test_backends_agree(rule: str, model: str) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        got = gradient(learner(rule, model, backend="jax"))
    near(got, gradient(learner(rule, model)), ROUNDED.get(rule, 1e-9))


@some_online
@models
def test_a_stream_is_the_sequence(rule: str, model: str) -> None:
    lr, whole = learner(rule, model, window=0), learner(rule, model, window=0)
    total: dict[str, np.ndarray] = {}
    # A sum over the batch in place of the mean, also for what a signal learns from its weight.
    mask = np.full(BATCH, float(BATCH))
    for t in range(LENGTH):
        lr.step(X[t], Y[t], mask, **given(lr, t))
        total = {n: total.get(n, 0) + g for n, g in lr.gradients.items()}
    near(total, gradient(whole), 1e-10)
    for n, x in whole.rule_arrays.items():
        np.testing.assert_allclose(lr.rule_arrays[n], x, rtol=1e-10, atol=1e-12)


@every
def test_what_a_mask_leaves_out_at_the_end_counts_for_nothing(rule: str) -> None:
    lr, mask = learner(rule), np.arange(LENGTH) < 4
    if isinstance(lr.options.rule.signal, etp.SyntheticGradient):
        pytest.skip("credit is foretold: it arrives where the loss is masked, too")
    modulator = {n: m[:4] for n, m in given(lr).items()}
    short = learner(rule).grad(X[:4], Y[:4], reduction="sum", **modulator)[0]
    got = lr.grad(X, Y, mask.astype(float), reduction="sum", **given(lr))[0]
    near(got, short, 1e-10)


# -- batches ---------------------------------------------------------------------------------
@every
@models
def test_a_batch_is_the_sum_of_its_examples(rule: str, model: str) -> None:
    lr = learner(rule, model)
    if couples(lr) or getattr(lr.options.rule, "draws", False):
        pytest.skip("draws differ from example to example, or examples learn together")
    total: dict[str, np.ndarray] = {}
    for i in range(BATCH):
        modulator = {n: m[:, [i]] for n, m in given(lr).items()}
        found = lr.grad(X[:, [i]], Y[:, [i]], reduction="sum", **modulator)[0]
        total = {n: total.get(n, 0) + g for n, g in found.items()}
    near(gradient(lr), total, 1e-12)


@every
def test_examples_do_not_see_each_other(rule: str) -> None:
    mask, moved = np.zeros((LENGTH, BATCH)), X.copy()
    mask[:, 1] = 1
    moved[:, 0] += 10
    found = []
    for x in (X, moved):
        lr = learner(rule)
        if couples(lr):
            pytest.skip("examples learn together")
        found.append(lr.grad(x, Y, mask, reduction="sum", **given(lr))[0])
    for n, g in found[0].items():
        np.testing.assert_array_equal(g, found[1][n])
    assert max(np.abs(g).max() for g in found[0].values()) > 1e-3


# -- life cycle ------------------------------------------------------------------------------
@online
@models
def test_a_stream_goes_on_where_it_was_left(rule: str, model: str) -> None:
    """Bit for bit: through a state dict, and through a pickle."""
    lr, descent = learner(rule, model), etp.optim.sgd(0.01)

    def go(made: etp.Learner, rows: Any) -> list[float]:
        return [made.step(X[t], Y[t], optimizer=descent, **given(made, t)) for t in rows]

    go(lr, range(3))
    other = learner(rule, model, seed=1)
    other.load_state_dict(lr.state_dict())
    copies = [other, pickle.loads(pickle.dumps(lr))]
    want = go(lr, range(3, LENGTH))
    for made in copies:
        assert go(made, range(3, LENGTH)) == want
        for kind in ("params", "traces", "states", "gradients", "rule_arrays"):
            have, expected = getattr(made, kind), getattr(lr, kind)
            assert set(have) == set(expected), kind
            for n, x in expected.items():
                np.testing.assert_array_equal(have[n], x, err_msg=f"{kind} {n}")


@every
def test_a_pickle_has_the_same_gradient(rule: str) -> None:
    lr = learner(rule)
    copy = pickle.loads(pickle.dumps(lr))
    near(gradient(copy), gradient(lr), 0.0)


@some
@models
def test_reports_and_programs_can_be_read(rule: str, model: str) -> None:
    lr = learner(rule, model)
    assert lr.options.rule.name in str(lr.report())
    stages = lr.program
    for program in (stages.traced, stages.compiled, stages.batched, stages.scheduled):
        assert str(program).startswith("program @")
    assert str(lr.graph)


@some
@pytest.mark.parametrize("update", ["step", 4, "sequence"])
def test_every_rule_trains(rule: str, update: Any) -> None:
    # Small noise makes no unit spike that would not have.
    lr = learner(rule, "two_states" if rule == "node_perturbation" else "lif_recurrent")
    before = as_numpy(lr.params)
    mask = np.ones((LENGTH, BATCH))
    mask[2, 1] = 0
    batch = (X, Y, mask, *given(lr).values())
    history = lr.fit([batch, batch], etp.optim.sgd(0.01), update=update)
    assert np.isfinite(history.loss).all()
    for n, old in before.items():
        assert np.isfinite(lr.params[n]).all()
        assert np.abs(lr.params[n] - old).max() > 0, n


# -- pure functions --------------------------------------------------------------------------
@some_online
@models
def test_pure_steps_are_those_of_the_stream(rule: str, model: str) -> None:
    """With the arrays of the rule and its random numbers in the carry."""
    jax = pytest.importorskip("jax")
    lr = learner(rule, model, backend="jax")
    with jax.enable_x64(True):
        pure, size = lr.functional(), 0.0
        carry, step = pure.init(BATCH), jax.jit(pure.step, compiler_options=pure.compiler_options)
        for t in range(LENGTH):
            carry, grads, loss, _ = step(pure.params, carry, X[t], Y[t], **given(lr, t))
            assert float(loss) == pytest.approx(lr.step(X[t], Y[t], **given(lr, t)), rel=1e-12)
            for n, g in as_numpy(lr.gradients).items():
                np.testing.assert_allclose(grads[n], g, rtol=0, atol=1e-11 * (1 + np.abs(g).max()))
                size = max(size, float(np.abs(g).max()))
        assert size > 1e-3
        for n, x in lr.rule_arrays.items():
            np.testing.assert_allclose(carry[n], x, rtol=1e-10, atol=1e-12)


def test_a_rule_that_keeps_nothing_has_no_pure_steps() -> None:
    pytest.importorskip("jax")
    with pytest.raises(etp.NotSupportedError, match="cannot stream"):
        learner("bptt", backend="jax").functional()


def test_every_kind_of_rule_is_among_them() -> None:
    made = [r() for r in RULES.values()]
    assert any(isinstance(r, TraceRule) and r.draws for r in made)
    assert any(r.modulated for r in made)
    assert any(couples(learner(r.name)) for r in made)
