"""Points of the rule language on every kind of product, on every backend, in every use."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import etp
from etp import RuleConfig, xp
from tests.models import build, data

T, B = 5, 3
POINTS = {
    "leak, filtered, random": RuleConfig(recursion=0.8, post="kappa(0.5)", signal="random"),
    "factors": RuleConfig(storage="factorised", recursion=None, pre="trace(0.7)"),
    "averaged factors": RuleConfig(
        storage="factorised", recursion="jacobian(0.8, True)", pre="trace(0.8)", post="kappa(0.5)"
    ),
    "pairs": RuleConfig(recursion=None, pre="stdp_pair(0.5, 0.6)"),
    "cascade": RuleConfig(recursion="cascade(1, 0.5)", pre="double_exponential(0.2, 0.6)"),
    "released": RuleConfig(scope="coupled", outer="gamma_lambda(0.9, 0.9)"),
    "random product": RuleConfig(storage="rank_one", signal="random"),
}
EACH = pytest.mark.parametrize("name", POINTS)


class Many(etp.Module):
    """Products of every kind: dense, sparse, convolution, embedding, element-wise."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)

        def param(*shape: int) -> etp.Param:
            return etp.Param(rng.normal(size=shape) * 0.7)

        self.rows, self.kernel, self.own = param(5, 6), param(3, 1, 1), param(6)
        self.w, self.out = param(6, 6), param(6, 2)
        self.pattern = etp.random_pattern(rng, 6, 6, 0.5)
        self.few = param(self.pattern.nnz)
        self.h, self.c = etp.State((6,)), etp.State((6,))

    def __call__(self, x: Any) -> Any:
        c, h = self.c.value, self.h.value
        near = xp.reshape(etp.conv(xp.reshape(h, (6, 1)), self.kernel), (6,))
        few = etp.sparse_matmul(h, self.few, sparse_mat=self.pattern)
        self.c.value = 0.5 * c + 0.5 * xp.tanh(etp.matmul(c, self.w) + etp.embedding(x, self.rows))
        self.h.value = xp.tanh(etp.element_wise(self.own) * h + near + few + self.c.value)
        return etp.matmul(self.h.value, self.out)


def learner(point: RuleConfig | str, **options: Any) -> etp.Learner:
    options = {"backend": "numpy", "dtype": "float64", **options}
    return etp.compile(Many(), point, "mse", batch_size=B, **options)


def gradient(
    made: etp.Learner, length: int = T, rows: slice = slice(None), reduction: str = "sum"
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    xs = rng.integers(0, 5, (T, B)).astype(np.int32)[:length, rows]
    ys = rng.normal(size=(T, B, 2))[:length, rows]
    released = {"modulator": np.linspace(1, 2, T)[:length]} if made.options.rule.modulated else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        grads = made.grad(xs, ys, reduction=reduction, **released)[0]
    return {n: made.backend.to_numpy(g) for n, g in grads.items()}


def close(got: Any, want: Any, tolerance: float) -> None:
    scale = max(np.abs(g).max() for g in want.values())
    assert scale > 1e-3
    for name in want:
        assert np.abs(got[name] - want[name]).max() < tolerance * scale, name


@EACH
def test_every_kind_of_product_learns(name: str) -> None:
    found = gradient(learner(POINTS[name]))
    assert set(found) == {"rows", "kernel", "own", "w", "out", "few"}
    assert all(np.abs(g).max() > 1e-3 and np.isfinite(g).all() for g in found.values())


@pytest.mark.parametrize("name", [
    pytest.param(n, marks=() if n in ("pairs", "averaged factors") else pytest.mark.slow)
    for n in POINTS
])  # fmt: skip
def test_backends_agree(name: str) -> None:
    pytest.importorskip("jax")
    want = gradient(learner(POINTS[name]))
    close(gradient(learner(POINTS[name], backend="jax", dtype="float32")), want, 1e-4)


@EACH
def test_a_batch_is_the_sum_of_its_examples(name: str) -> None:
    if POINTS[name].draws:
        pytest.skip("examples have random numbers of their own")
    whole = gradient(learner(POINTS[name]))
    parts = [gradient(learner(POINTS[name]), rows=slice(k, k + 1)) for k in range(B)]
    close({n: sum(p[n] for p in parts) for n in whole}, whole, 1e-12)


@pytest.mark.parametrize("point", [
    RuleConfig(), RuleConfig(recursion=0.9), RuleConfig(recursion=None),
    RuleConfig(storage="factorised", recursion="jacobian(0.8, True)", pre="trace(0.8)"),
    RuleConfig(pre="trace(0.6)"), RuleConfig(storage="factorised", pre="trace(0.6)"),
    RuleConfig(scope="full"), RuleConfig(storage="kronecker"),
    RuleConfig(window=1, pre="kappa(0.3)"),
], ids=repr)  # fmt: skip
def test_of_one_step_it_is_the_derivative(point: RuleConfig) -> None:
    close(gradient(learner(point), length=1), gradient(learner("bptt"), length=1), 1e-10)


@EACH
def test_learners_pickle_and_stream(name: str) -> None:
    made = learner(POINTS[name])
    want = gradient(made)
    close(gradient(learner(POINTS[name])), want, 1e-15)
    again = pickle.loads(pickle.dumps(made))
    assert again.options.rule == made.options.rule
    fresh = pickle.loads(pickle.dumps(learner(POINTS[name])))
    close(gradient(fresh), want, 1e-15)


def test_under_traces_of_reward() -> None:
    found = []
    for rule in (RuleConfig(window=1), "d_rtrl", RuleConfig(recursion=0.5)):
        rng = np.random.default_rng(0)
        net = etp.nn.Sequential(etp.nn.GRUCell(2, 3, rng=rng), etp.nn.Linear(3, 1, rng=rng))
        agent = etp.rl.TD(net, 0.9, 0.8, rate=0.1, rule=rule, backend="numpy", dtype="float64")
        for x, reward in rng.normal(size=(6, 2, 2)):
            agent.predict(x)
            agent.update(reward[0], False)
        found.append(np.concatenate([np.ravel(p) for p in agent.learner.params.values()]))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[2] - found[1]).max() > 1e-6


def test_training_lowers_the_loss() -> None:
    xs, ys = data(12, 4)
    point = RuleConfig(recursion=0.7, pre="kappa(0.3)", signal="random", step_size=0.05)
    made = etp.compile(build("coupled"), point, "mse", backend="numpy")
    losses = [made.fit([(xs, ys)]).loss[-1] for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]
