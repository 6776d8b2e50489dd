"""States of every kind: kept, assigned twice, started anywhere, trained starts, not hidden."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from etp.oracle import unrolled_gradient
from tests.learner.setups import arrays, same
from tests.models import data
from tests.rules.test_battery import check_close, square

LENGTH, BATCH = 6, 3
X, Y = data(LENGTH, BATCH)
EVERY = [("bptt", 0, "auto"), ("rtrl", 0, "auto"), ("d_rtrl", 0, "step"), ("d_rtrl", 1, "auto"),
         ("d_rtrl", 2, 4)]  # fmt: skip


class Started(etp.Module):
    """Two trained starts, a constant one, a state assigned twice and one that is kept."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.h0 = etp.Param(rng.normal(size=3))
        self.h = etp.State(init=self.h0)
        self.c = etp.State((3,), init=etp.Param(rng.normal(size=3)))
        self.k = etp.State((3,), init=0.7)
        self.d = etp.State((3,), init=rng.normal(size=3))
        self.w = etp.Param(rng.normal(size=(2, 3)))
        self.a = etp.Param(rng.normal(size=3))

    def __call__(self, x: Any) -> Any:
        decay = etp.element_wise(self.a, xp.sigmoid)
        self.d.value = 0.8 * self.d.value
        self.c.value = 0.7 * self.c.value + 0.2 * xp.tanh(self.h.value)
        self.h.value = decay * self.h.value + xp.tanh(etp.matmul(x, self.w)) * self.k.value
        self.d.value = self.d.value + 0.1 * self.h.value
        self.h.value = self.h.value + 0.1 * self.c.value
        return (self.h.value + self.d.value)[:2]


class NotHidden(etp.Module):
    """A counter, a switch and a running mean, which carry no derivative, beside a hidden state."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(2, 3)))
        self.h = etp.State((3,))
        self.n = etp.State((), init=5, dtype="int32")
        self.on = etp.State((), init=True, dtype="bool")
        self.mean = etp.State((3,), init=0.1)

    def __call__(self, x: Any) -> Any:
        z = etp.matmul(x, self.w)
        self.n.value = self.n.value + 2
        self.on.value = xp.logical_not(self.on.value)
        self.mean.value = 0.9 * self.mean.value + 0.1 * etp.stop_gradient(z)
        gain = xp.where(self.on.value, 1.0, 0.5) / xp.astype(self.n.value, z.dtype)
        self.h.value = 0.8 * self.h.value + xp.tanh(z - self.mean.value) * gain
        return self.h.value[:2] * xp.astype(self.n.value, z.dtype)


def learner(model: etp.Module, rule: str = "d_rtrl", **options: Any) -> etp.Learner:
    fixed = {"backend": "numpy", "dtype": "float64"}
    return etp.compile(model, rule, square, **{**fixed, **options})


def oracle(lr: etp.Learner) -> dict[str, np.ndarray]:
    """Return unrolled back-propagation of what the learner met last."""
    c = lr.engine.last()[0]
    given = {**c.step.params, **c.step.states, **c.loss.constants}
    return unrolled_gradient(c.loss.program, given, {"x": X, "target": Y}, np.ones((LENGTH, BATCH)))


# -- values --------------------------------------------------------------------------------
def test_a_state_that_is_not_assigned_keeps_its_value() -> None:
    class Kept(etp.Module):
        def __init__(self) -> None:
            self.w = etp.Param(np.ones((2, 2)))
            self.k = etp.State((2,), init=np.array([2.0, 3.0]))

        def __call__(self, x: Any) -> Any:
            return etp.matmul(x, self.w) * self.k.value

    lr = learner(Kept())
    want = X.sum(-1, keepdims=True) * np.array([2.0, 3.0])
    np.testing.assert_allclose(lr.predict(X), want, atol=1e-12)
    check_close(lr.grad(X, Y, reduction="sum")[0], oracle(lr), 1e-12)
    lr.step(X[0], Y[0])
    np.testing.assert_array_equal(lr.states["k"], np.tile([2.0, 3.0], (BATCH, 1)))
    assert lr.report().parameters["w"].status == "exact"


def test_the_eager_model_starts_where_the_compiled_one_does() -> None:
    model = Started()
    np.testing.assert_array_equal(model.h.value, model.h0.value)
    lr = learner(model)
    want = []
    for i in range(BATCH):
        model.reset_states()
        want.append([model(x) for x in X[:, i]])
    np.testing.assert_allclose(lr.predict(X), np.swapaxes(want, 0, 1), atol=1e-12)
    model.reset_states()
    np.testing.assert_array_equal(model.c.value, model.c.init)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_states_without_derivative_are_carried(backend: str) -> None:
    pytest.importorskip(backend)
    lr = learner(NotHidden(), backend=backend, dtype="float32")
    for t in range(3):
        lr.step(X[t], Y[t])
    found = arrays(lr.states)
    np.testing.assert_array_equal(found["n"], np.full(BATCH, 11, np.int32))
    np.testing.assert_array_equal(found["on"], np.full(BATCH, False))
    assert found["n"].dtype == np.int32
    assert found["on"].dtype == np.bool_
    model = NotHidden()
    for x in X[:3, 0]:
        model(x.astype(np.float32))
    np.testing.assert_allclose(found["mean"][0], model.mean.value, rtol=1e-5)
    assert not any(np.asarray(x).any() for n, x in lr.traces.items() if n != "e.w.h")


# -- gradients -----------------------------------------------------------------------------
@pytest.mark.parametrize(("rule", "window", "schedule"), EVERY)
@pytest.mark.parametrize("model", [Started, NotHidden])
def test_gradients_equal_bptt(model: Any, rule: str, window: int, schedule: Any) -> None:
    lr = learner(model(), rule, window=window, schedule=schedule)
    grads = lr.grad(X, Y, reduction="sum")[0]
    check_close(grads, oracle(lr), 1e-10)
    assert {p.status for p in lr.report().parameters.values()} == {"exact"}
    for name in {"h0", "c.init", "w", "a"} & set(grads):
        assert np.abs(grads[name]).max() > 1e-3, name


def test_the_gradient_of_a_start_is_that_of_finite_differences() -> None:
    lr = learner(Started())
    start = arrays(lr.params)

    def loss(params: Any) -> float:
        lr.params = params
        return lr.grad(X, Y, reduction="sum")[1]["loss"]

    numeric = etp.oracle.finite_differences(loss, start, 1e-6)
    lr.params = start
    check_close(lr.grad(X, Y, reduction="sum")[0], numeric, 1e-7)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_a_trained_start_streams(backend: str) -> None:
    """Steps add up to the sequence, also after a reset, and a start is read once."""
    pytest.importorskip(backend)
    lr = learner(Started(), backend=backend, dtype="float32")
    want = arrays(lr.grad(X, Y)[0])
    for _ in range(2):
        total: dict[str, Any] = {}
        for t in range(LENGTH):
            lr.step(X[t], Y[t])
            for name, g in lr.gradients.items():
                total[name] = total.get(name, 0) + np.asarray(g) / LENGTH
        check_close(total, want, 1e-5)
        lr.reset()
    assert set(lr.states) == set()
    lr.step(X[0], Y[0])
    assert set(lr.states) == {"h", "c", "k", "d"}


def test_a_trained_start_survives_a_checkpoint() -> None:
    whole, first = learner(Started()), learner(Started())
    for t in range(LENGTH):
        whole.step(X[t], Y[t], optimizer=etp.optim.sgd(0.01))
    for t in range(3):
        first.step(X[t], Y[t], optimizer=etp.optim.sgd(0.01))
    resumed = learner(Started())
    resumed.load_state_dict(first.state_dict())
    for lr in (resumed, pickle.loads(pickle.dumps(first))):
        for t in range(3, LENGTH):
            lr.step(X[t], Y[t], optimizer=etp.optim.sgd(0.01))
        assert same(lr.state_dict(), whole.state_dict())
    kept = learner(NotHidden())
    kept.step(X[0], Y[0])
    other = learner(NotHidden())
    other.load_state_dict(kept.state_dict())
    assert kept.step(X[1], Y[1]) == other.step(X[1], Y[1])


def test_training_moves_a_start() -> None:
    lr = learner(Started())
    before = arrays(lr.params)
    history = lr.fit([(X, Y)], etp.optim.adam(0.02), epochs=40, update="sequence")
    assert history.loss[-1] < 0.9 * history.loss[0]
    for name in ("h0", "c.init"):
        assert np.abs(np.asarray(lr.params[name]) - before[name]).max() > 1e-3
    # The next sequence starts from what was learned.
    h0 = {**before, "h0": np.full(3, 9.0)}
    lr.params = before
    near = np.asarray(lr.predict(X))
    lr.params = h0
    assert np.abs(np.asarray(lr.predict(X)) - near).max() > 0.1


def test_a_start_behind_a_recurrent_product_is_not_called_exact() -> None:
    class Mixed(etp.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.u = etp.Param(rng.normal(size=(2, 2)))
            self.h = etp.State(init=etp.Param(rng.normal(size=2)))

        def __call__(self, x: Any) -> Any:
            self.h.value = xp.tanh(etp.matmul(self.h.value, self.u) + x)
            return self.h.value

    lr = learner(Mixed())
    grads = lr.grad(X, Y, reduction="sum")[0]
    found = lr.report().parameters["h.init"]
    assert found.status == "direct-only"
    assert np.abs(grads["h.init"] - oracle(lr)["h.init"]).max() > 1e-3
    full = learner(Mixed(), "rtrl")
    check_close(full.grad(X, Y, reduction="sum")[0], oracle(full), 1e-10)


# -- declarations --------------------------------------------------------------------------
def test_a_start_that_is_not_trained_is_a_number() -> None:
    class Fixed(etp.Module):
        def __init__(self) -> None:
            self.w = etp.Param(np.ones((2, 2)))
            self.h = etp.State(init=etp.Param(np.full(2, 0.5), trainable=False))

        def __call__(self, x: Any) -> Any:
            self.h.value = 0.5 * self.h.value + etp.matmul(x, self.w)
            return self.h.value

    lr = learner(Fixed())
    assert list(lr.grad(X, Y)[0]) == ["w"]
    np.testing.assert_allclose(lr.predict(X)[0], 0.25 + X[0].sum(-1, keepdims=True) + np.zeros(2))


def test_mistakes_in_a_state() -> None:
    with pytest.raises(etp.ModelError, match="a State needs a shape"):
        etp.State()
    with pytest.raises(etp.ModelError, match="leave dtype out"):
        etp.State(init=etp.Param(np.ones(2)), dtype="int32")
    with pytest.raises(etp.ShapeError, match=r"init has shape \(3,\) and was given \(2,\)"):
        etp.State((3,), init=etp.Param(np.ones(2)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": etp.Param(np.ones(3))}, {"shape": "a"}, {"shape": (2.5,)}, {"shape": -1},
        {"shape": (None,)}, {"shape": (2,), "init": "x"},
    ],
)  # fmt: skip
def test_a_state_of_nonsense_is_refused(wrong):
    with pytest.raises(etp.ModelError, match=r"State[\s\S]*test_states\.py"):
        etp.State(**wrong)


def test_a_counter_without_axes_stays_whole():
    assert etp.State(init=np.array(0, dtype="int32")).value.dtype == np.int32
