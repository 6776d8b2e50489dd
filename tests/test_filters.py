"""Filters and fixed feedback as objects of their own, against sums over the past."""

from __future__ import annotations

import copy
import pickle
from math import exp
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import etp
from etp.filters import Cascade, Filter, GammaLambda
from tests.models import build, data
from tests.rules.kernels import kernel

FILTERS = [
    etp.KappaFilter(0.7), etp.PresynapticTrace(0.6), etp.DoubleExponential(0.3, 0.8),
    Cascade(2, 0.6), Cascade(0, 0.5), GammaLambda(0.9, 0.8), etp.GradExpon(0.5),
    etp.KappaFilter(0.0),
]  # fmt: skip
EACH = pytest.mark.parametrize("filter", FILTERS, ids=repr)


def fresh(filter: Filter) -> Filter:
    made = copy.deepcopy(filter)
    made.reset()
    return made


def weights(filter: Filter, length: int) -> np.ndarray:
    if isinstance(filter, etp.GradExpon):
        return filter.decay ** np.arange(length)
    return kernel(filter, length)


@EACH
@given(xs=hnp.arrays(float, (7, 2, 3), elements=st.floats(-10, 10)))
def test_a_filter_is_a_sum_over_the_past(filter: Filter, xs: np.ndarray) -> None:
    made, k = fresh(filter), weights(filter, len(xs))
    assert made.value is None
    for t, x in enumerate(xs):
        got = made.update(x)
        want = sum(k[t - s] * xs[s] for s in range(t + 1))
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
        assert made.value is got
    before = made.value
    made.reset()
    assert made.value is None
    for x in xs:
        made.update(x)
    np.testing.assert_array_equal(made.value, before)


@EACH
def test_arrays_of_any_library(filter: Filter) -> None:
    strict = pytest.importorskip("array_api_strict")
    xs = np.random.default_rng(0).normal(size=(4, 3))
    ours, theirs, jaxed = fresh(filter), fresh(filter), fresh(filter)
    for x in xs:
        ours.update(x)
        theirs.update(strict.asarray(x))
        jaxed.update(jnp.asarray(x))
    assert isinstance(jaxed.value, jax.Array)
    assert type(theirs.value) is type(strict.asarray(xs))
    np.testing.assert_allclose(np.asarray(jaxed.value), ours.value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(theirs.value), ours.value, rtol=1e-12)
    assert np.abs(ours.value).max() > 1e-3


@EACH
def test_nested_arrays_numbers_and_symbols(filter: Filter) -> None:
    nested, single, traced = fresh(filter), fresh(filter), fresh(filter)

    @jax.jit
    def run(x: Any) -> Any:
        traced.reset()
        traced.update(x)
        return traced.update(2 * x)

    nested.update({"w": 1.0, "b": (np.ones(2), np.zeros(1))})
    got = nested.update({"w": 2.0, "b": (np.full(2, 2.0), np.ones(1))})
    single.update(1.0)
    want = single.update(2.0)
    assert isinstance(want, float)
    assert got["w"] == want
    np.testing.assert_array_equal(got["b"][0], np.full(2, want))
    np.testing.assert_allclose(run(1.0), want, rtol=1e-6)


def test_another_kind_of_input_needs_a_reset() -> None:
    kappa = etp.KappaFilter(0.5)
    kappa.update(np.ones(3))
    with pytest.raises(etp.ShapeError, match=r"held shape \(3,\), got shape \(4,\)"):
        kappa.update(np.ones(4))
    with pytest.raises(etp.ShapeError, match="reset"):
        kappa.update({"w": np.ones(3)})
    np.testing.assert_array_equal(kappa.value, np.full(3, 0.5))
    kappa.reset()
    assert kappa.update(np.ones(4)).shape == (4,)


@EACH
def test_parameters_alone_make_filters_equal(filter: Filter) -> None:
    used = fresh(filter)
    used.update(np.ones(2))
    assert used == fresh(filter)
    assert hash(used) == hash(fresh(filter))
    again = pickle.loads(pickle.dumps(used))
    np.testing.assert_array_equal(again.value, used.value)
    np.testing.assert_array_equal(again.update(np.ones(2)), used.update(np.ones(2)))
    name = next(a.name for a in filter.__attrs_attrs__ if a.init)
    with pytest.raises(AttributeError):
        setattr(used, name, 0.1)


def test_a_gradient_fades_by_its_time_constant() -> None:
    assert etp.GradExpon(tau=20.0, dt=0.5).stages == ((exp(-0.5 / 20), 1.0),)
    grads = etp.GradExpon(0.9)
    x, y = data(4, 2)
    lr = etp.compile(build("coupled"), "d_rtrl", "mse", backend="numpy", dtype="float64")
    found = [grads.update(lr.grad(x[k:], y[k:])[0]) for k in range(2)]
    second = lr.grad(x[1:], y[1:])[0]
    for name, g in found[1].items():
        np.testing.assert_allclose(g, 0.9 * found[0][name] + second[name], rtol=1e-12)


@pytest.mark.parametrize("make", [
    lambda: etp.KappaFilter(1.0), lambda: etp.KappaFilter(-0.1), lambda: etp.KappaFilter("x"),
    lambda: etp.PresynapticTrace(True), lambda: etp.DoubleExponential(0.5, 2),
    lambda: Cascade(-1, 0.5), lambda: Cascade(1.5, 0.5), lambda: GammaLambda(1.1, 0.5),
    lambda: etp.GradExpon(), lambda: etp.GradExpon(0.5, tau=3.0), lambda: etp.GradExpon(tau=-1.0),
    lambda: etp.GradExpon(1.0), lambda: etp.GradExpon("x"),
])  # fmt: skip
def test_mistakes(make: Any) -> None:
    with pytest.raises(etp.ModelError, match=r"(?s)test_filters\.py.*(give|a decay is)"):
        make()


# -- fixed random feedback ------------------------------------------------------------------
def test_feedback_is_drawn_once() -> None:
    feedback = etp.FixedRandomFeedback(2, 3, seed=1)
    error = np.random.default_rng(0).normal(size=(5, 4, 2))
    got = feedback.update(error)
    np.testing.assert_allclose(got, np.einsum("tbo,no->tbn", error, feedback.matrix), rtol=1e-12)
    assert feedback.value is got
    again, other = etp.FixedRandomFeedback(2, 3, seed=1), etp.FixedRandomFeedback(2, 3, seed=2)
    np.testing.assert_array_equal(again.update(error), got)
    assert np.abs(other.update(error) - got).max() > 0.1
    feedback.reset()
    assert feedback.value is None
    assert feedback == again
    jaxed = again.update(jnp.asarray(error))
    assert isinstance(jaxed, jax.Array)
    np.testing.assert_allclose(np.asarray(jaxed), got, rtol=1e-4, atol=1e-6)
    assert etp.FixedRandomFeedback(40, 50, scale=2.0).matrix.std() == pytest.approx(2, rel=0.1)
    with pytest.raises(etp.ShapeError, match="2 elements"):
        feedback.update(np.ones(3))


def test_feedback_is_what_a_learner_draws() -> None:
    x, y = data(4, 2)
    feedback = etp.FixedRandomFeedback(2, 3, seed=5, weight="readout.weight")
    rule = etp.RuleConfig(signal=feedback)
    lr = etp.compile(build("rnn"), rule, "mse", backend="numpy", dtype="float64")
    lr.grad(x, y)
    np.testing.assert_array_equal(lr.rule_arrays["feedback.readout.weight"], feedback.matrix)
