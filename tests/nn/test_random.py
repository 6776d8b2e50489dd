"""Random numbers in models, dropout, and the two modes a model runs in."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import etp
from etp import nn, xp
from etp.keys import Draws, Stretch
from etp.oracle.unrolled import unrolled_gradient
from tests.nn.nets import BACKENDS, compiled

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
SLOW_JAX = ["numpy", pytest.param("jax", marks=pytest.mark.slow)]
T, B = 9, 3
RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(T, B, 3)), RNG.normal(size=(T, B, 2))


class Noisy(etp.Module):
    """A cell with dropout on its input and its output, and noise on its readout."""

    def __init__(self, locked: bool = False, p: float = 0.4, std: float = 0.1) -> None:
        self.cell = nn.VanillaRNNCell(3, 5, rng=0)
        self.drop = nn.Dropout(p, locked=locked)
        self.readout = nn.Linear(5, 2, rng=1)
        self.std = std

    def __call__(self, x: Any) -> Any:
        y = self.readout(self.drop(self.cell(self.drop(x))))
        return y + self.std * etp.random.normal((2,)) if self.std else y


class Draw(etp.Module):
    """A model whose output is what a function draws."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.w = etp.Param(np.ones(1))
        self.h = etp.State((1,))

    def __call__(self, x: Any) -> Any:
        self.h.value = self.h.value * self.w
        y = xp.astype(self.draw(), xp.float64)
        return y + 0 * xp.sum(self.h.value)


def drawn(
    draw: Any, length: int = 5, batch: int = 4, backend: str = "numpy", **options: Any
) -> Any:
    """Return what a model draws, (T, B, ...)."""
    learner = compiled(Draw(draw), backend=backend, **options)
    return np.asarray(learner.predict(np.zeros((length, batch, 1)), training=True))


def arrays(grads: Any) -> dict[str, np.ndarray]:
    return {n: np.array(g) for n, g in grads.items()}


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance, err_msg=name)


def apart(a: Any, b: Any) -> float:
    return max(float(np.abs(a[n] - b[n]).max()) for n in a)


# -- distributions -------------------------------------------------------------------------
def test_draws_follow_their_distributions() -> None:
    u = drawn(lambda: etp.random.uniform((50,)), 20, 20)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01
    assert abs(u.var() - 1 / 12) < 0.003
    z = drawn(lambda: etp.random.normal((50,), 2.0, 3.0), 20, 20)
    assert abs(z.mean() - 2) < 0.1
    assert abs(z.std() - 3) < 0.1
    assert abs(((z - 2) ** 4).mean() / 81 - 3) < 0.25
    wide = drawn(lambda: etp.random.uniform((50,), -3, 5), 20, 20)
    assert -3 <= wide.min() < -2.9
    assert 4.9 < wide.max() < 5
    hits = drawn(lambda: etp.random.bernoulli(np.array([0.0, 0.2, 1.0]), (3,)), 60, 60)
    np.testing.assert_allclose(hits.mean((0, 1)), [0, 0.2, 1], atol=0.03)
    assert drawn(lambda: etp.random.bernoulli(0.5)).shape == (5, 4)


def test_every_step_example_and_call_draws_its_own_numbers() -> None:
    u = drawn(lambda: xp.stack([etp.random.uniform((6,)), etp.random.uniform((6,))]))
    assert u.shape == (5, 4, 2, 6)
    assert np.unique(u).size == u.size
    other = drawn(lambda: etp.random.uniform((6,)), seed=1)
    assert not np.intersect1d(u, other).size


def test_one_draw_per_sequence_stays_until_the_next_one() -> None:
    def draw() -> Any:
        return xp.stack([etp.random.uniform((6,)), etp.random.uniform((6,), per="sequence")])

    learner = compiled(Draw(draw))
    first, second = (learner.predict(np.zeros((5, 4, 1)), training=True) for _ in range(2))
    assert np.unique(first[:, :, 0]).size == 5 * 4 * 6
    assert np.unique(first[:, :, 1]).size == 4 * 6
    np.testing.assert_array_equal(first[0, :, 1], first[-1, :, 1])
    assert not np.intersect1d(first, second).size


def test_an_example_draws_the_same_in_every_batch_and_sequence_length() -> None:
    def draw() -> Any:
        return xp.stack([etp.random.uniform((3,)), etp.random.uniform((3,), per="sequence")])

    whole = drawn(draw, 6, 5)
    np.testing.assert_array_equal(drawn(draw, 4, 2), whole[:4, :2])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_are_exact_in_every_element_type(dtype: str) -> None:
    low = drawn(lambda: etp.random.uniform((200,)), dtype=dtype)
    full = drawn(lambda: etp.random.uniform((200,)))
    assert low.max() < 1
    np.testing.assert_allclose(low, full, rtol=0, atol=2.0**-11 if dtype == "float16" else 0)
    z = drawn(lambda: etp.random.normal((200,)), dtype=dtype)
    assert np.isfinite(z).all()


def test_bits_are_the_same_on_every_backend() -> None:
    for draw in (
        lambda: etp.random.uniform((7,)), lambda: etp.random.bernoulli(0.3, (7,)),
        lambda: etp.random.uniform((7,), per="sequence"),
    ):  # fmt: skip
        np.testing.assert_array_equal(drawn(draw), drawn(draw, backend="jax"))
    normal = drawn(lambda: etp.random.normal((7,)))
    np.testing.assert_allclose(
        normal, drawn(lambda: etp.random.normal((7,)), backend="jax"), rtol=1e-12
    )


def test_keys_do_not_collide() -> None:
    keys = [
        Stretch(seed, sequence, start, training).keys(per, 4, 3).reshape(-1, 2)
        for seed in (0, 1, 2**32, 2**32 + 1) for sequence in (0, 1) for start in (0, 4)
        for training in (True, False) for per in ("step",)
    ]  # fmt: skip
    found = np.concatenate(keys)
    assert np.unique(found, axis=0).shape == found.shape
    later = Stretch(3, 2, 4).keys("step", 4, 3)
    np.testing.assert_array_equal(later, Stretch(3, 2, 0).keys("step", 8, 3)[4:])


# -- gradients -----------------------------------------------------------------------------
def reference(learner: etp.Learner, sequence: int = 0) -> dict[str, np.ndarray]:
    """Return the unrolled gradient, the noise of every step given from outside."""
    step = learner.engine.last()[0]
    program = step.loss.program
    given = {"x": XS, "target": YS}
    for port in program.inputs_of("noise"):
        given[port.name] = Stretch(5, sequence).keys(port.role.of[0], T, B)
    params = {n: np.asarray(x) for n, x in learner.params.items()}
    held = {**params, **step.loss.constants, **step.step.states}
    return unrolled_gradient(program, held, given, np.full((T, B), 1 / (T * B)))


@pytest.mark.parametrize("locked", [False, True])
def test_gradients_are_those_of_the_noise_that_was_drawn(locked: bool) -> None:
    """Noise is a constant of its step: BPTT with dropout equals unrolled differentiation."""
    learner = compiled(Noisy(locked), "bptt", seed=5)
    for sequence in range(2):
        grads, _ = learner.grad(XS, YS)
        close(arrays(grads), reference(learner, sequence))
    assert apart(reference(learner, 0), reference(learner, 1)) > 0.01


@pytest.mark.parametrize("backend", SLOW_JAX)
@pytest.mark.parametrize(
    ("rule", "options"),
    [("d_rtrl", {}), ("d_rtrl", {"window": 0}), ("d_rtrl", {"window": 3}), ("pp_prop", {})],
)
def test_every_schedule_meets_the_same_noise(rule: str, options: Any, backend: str) -> None:
    found = [
        compiled(Noisy(), rule, backend=backend, schedule=s, seed=5, **options).grad(XS, YS)[0]
        for s in ("step", "chunk", "chunk(4)")
    ]
    for grads in found[1:]:
        close(arrays(grads), arrays(found[0]))
    plain, _ = compiled(Noisy(p=0.0, std=0.0), rule, backend=backend, **options).grad(XS, YS)
    assert apart(arrays(found[0]), arrays(plain)) > 0.01


def test_backends_meet_the_same_noise() -> None:
    found = [
        compiled(Noisy(), backend=b, schedule=s, seed=5).grad(XS, YS)[0]
        for b, s in (("numpy", "step"), ("jax", "chunk(4)"))
    ]
    close(*map(arrays, found))


@pytest.mark.parametrize("locked", [False, True])
def test_a_stream_meets_the_noise_of_a_sequence(locked: bool) -> None:
    whole, _ = compiled(Noisy(locked), seed=5).grad(XS, YS)
    learner = compiled(Noisy(locked), seed=5)
    total: dict[str, Any] = {}
    for x, y in zip(XS, YS, strict=True):
        learner.step(x, y)
        for n, g in learner.gradients.items():
            total[n] = total.get(n, 0) + np.asarray(g) / T
    close(total, arrays(whole))
    assert learner.draws == Draws(5, 1, (0, T))
    learner.reset()
    learner.step(XS[0], YS[0])
    assert learner.draws == Draws(5, 2, (1, 1))


@pytest.mark.parametrize("locked", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_pure_functions_meet_the_same_noise(locked: bool) -> None:
    import jax

    learner = compiled(Noisy(locked), backend="jax", seed=5)
    whole = arrays(learner.grad(XS, YS)[0])
    pure = learner.functional()

    def gradient(sequence: int) -> Any:
        def run(xs: Any, ys: Any) -> Any:
            def step(carry: Any, row: Any) -> Any:
                carry, grads, _, _ = pure.step(pure.params, carry, *row)
                return carry, grads

            return jax.lax.scan(step, pure.init(B, sequence), (xs, ys))[1]

        with jax.enable_x64(True):
            stacked = jax.jit(run, compiler_options=pure.compiler_options)(XS, YS)
        return {n: np.asarray(g).mean(0) for n, g in stacked.items()}

    close(gradient(0), whole)
    close(gradient(1), arrays(learner.grad(XS, YS)[0]))


def test_statuses_do_not_change() -> None:
    def statuses(net: Any) -> Any:
        learner = compiled(net)
        learner.specialise(XS[0, 0], YS[0, 0])
        return {n: r.status for n, r in learner.report().parameters.items()}

    assert statuses(Noisy()) == statuses(Noisy(p=0.0, std=0.0))


# -- modes ---------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_acts_in_training_only(backend: str) -> None:
    learner = compiled(Noisy(std=0.0), backend=backend)
    plain = compiled(Noisy(p=0.0, std=0.0), backend=backend)
    np.testing.assert_array_equal(learner.predict(XS), plain.predict(XS))
    np.testing.assert_array_equal(learner.predict(XS), learner.predict(XS))
    found = [np.asarray(learner.predict(XS, training=True)) for _ in range(400)]
    assert np.abs(found[0] - found[1]).max() > 0.1
    first = np.array([y[0] for y in found])
    expected = np.asarray(plain.predict(XS))[0]
    assert (np.abs(first.mean(0) - expected) < 6 * first.std(0) / 20 + 0.1).all()


def test_what_is_random_in_evaluation_is_the_same_in_every_call() -> None:
    learner = compiled(Noisy(p=0.0, std=1.0))
    before = learner.draws
    one, two = learner.predict(XS), learner.predict(XS)
    np.testing.assert_array_equal(one, two)
    assert learner.draws == before
    assert np.abs(one - compiled(Noisy(p=0.0, std=0.0)).predict(XS)).max() > 0.1
    assert np.abs(one - learner.predict(XS, training=True)).max() > 0.1


def test_a_model_is_traced_again_only_if_it_asks_for_its_mode() -> None:
    for net, count in ((Noisy(), 2), (Draw(lambda: etp.random.uniform()), 1)):
        learner = compiled(net)
        x = np.zeros((2, 1, 3 if isinstance(net, Noisy) else 1))
        learner.predict(x)
        learner.predict(x, training=True)
        assert len(learner.engine.steps) == count


def test_eager_calls_have_modes_and_a_seed() -> None:
    drop, x = nn.Dropout(0.5), np.ones(1000)
    with etp.evaluation():
        assert not etp.training()
        assert drop(x) is x
        with etp.evaluation(False):
            assert etp.training()
    etp.random.seed(3)
    first, second = drop(x), drop(x)
    assert set(np.unique(first)) == {0.0, 2.0}
    assert 0.4 < first.mean() / 2 < 0.6
    assert (first != second).any()
    etp.random.seed(3)
    np.testing.assert_array_equal(drop(x), first)
    assert etp.random.normal((3,)).dtype == np.float32


# -- going on ------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", SLOW_JAX)
def test_a_resumed_run_continues_bit_for_bit(backend: str, tmp_path: Path) -> None:
    batches = [(XS + k, YS) for k in range(4)]
    rate = etp.optim.adam(0.01)
    whole = compiled(Noisy(), backend=backend, seed=5)
    whole.fit(batches, rate, update=2)
    half = compiled(Noisy(), backend=backend, seed=5)
    half.fit(batches[:2], rate, update=2)
    half.step(XS[0], YS[0])
    half.step(XS[1], YS[1])
    etp.checkpoint.save(tmp_path / "run.npz", half.state_dict())
    half.step(XS[2], YS[2])
    twin = compiled(Noisy(), backend=backend, seed=0)
    twin.load_state_dict(etp.checkpoint.load(tmp_path / "run.npz")[0])
    assert twin.draws == Draws(5, 3, (2, 2))
    twin.step(XS[2], YS[2])
    for n, g in half.gradients.items():
        np.testing.assert_array_equal(np.asarray(twin.gradients[n]), np.asarray(g))
    carried = pickle.loads(pickle.dumps(twin))
    for learner in (twin, carried):
        learner.draws = Draws(5, 2)  # as without the stream
        learner.fit(batches[2:], rate, update=2)
        for n, w in whole.params.items():
            np.testing.assert_array_equal(np.asarray(learner.params[n]), np.asarray(w))


def test_a_state_dict_without_random_numbers_is_read() -> None:
    learner = compiled(Noisy(), seed=5)
    state = learner.state_dict()
    del state["random"]
    learner.load_state_dict(state)
    assert learner.draws == Draws(5)


def test_models_without_noise_stay_where_they_are() -> None:
    learner = compiled(Noisy(p=0.0, std=0.0), seed=5)
    learner.grad(XS, YS)
    learner.fit([(XS, YS)])
    learner.step(XS[0], YS[0])
    assert learner.draws == Draws(5)


def test_dropout_trains() -> None:
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(4, 64, 3))
    ys = np.cumsum(xs[..., :2], axis=0)
    learner = compiled(Noisy(p=0.1, std=0.0), seed=1)
    before = np.mean((learner.predict(xs) - ys) ** 2)
    learner.fit([(xs, ys)] * 80, etp.optim.adam(0.02), update="sequence")
    assert np.mean((learner.predict(xs) - ys) ** 2) < 0.5 * before


# -- mistakes ------------------------------------------------------------------------------
def test_draws_inside_of_a_loop_are_refused() -> None:
    class Looped(Draw):
        def __call__(self, x: Any) -> Any:
            self.h.value = etp.fori_loop(0, 3, lambda i, h: h + etp.random.uniform((1,)), x)
            return self.h.value * self.w

    with pytest.raises(etp.NotSupportedError, match="same in every round") as caught:
        compiled(Looped(None)).predict(np.zeros((2, 1, 1)))
    assert "draw for all rounds before the loop" in str(caught.value)
    assert "test_random.py" in str(caught.value)


def test_draws_in_the_branches_of_a_choice() -> None:
    class Choice(Draw):
        def __call__(self, x: Any) -> Any:
            self.h.value = etp.cond(
                x[0] > 0, lambda: etp.random.uniform((1,)), lambda: -etp.random.uniform((1,))
            )
            return self.h.value * self.w

    x = np.array([1.0, -1.0])[None, :, None] * np.ones((3, 2, 1))
    found = compiled(Choice(None)).predict(x)
    assert (found[:, 0] > 0).all()
    assert (found[:, 1] < 0).all()
    assert np.unique(np.abs(found)).size == 6


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Dropout(1.0), "a fraction of 1.0 of the features cannot be left out"),
        (lambda: nn.Dropout(-0.1), "give p from 0 up to"),
        (lambda: etp.random.uniform((2, -1)), "shape of random numbers is whole numbers"),
        (lambda: etp.random.uniform(per="epoch"), "per='epoch' is no period"),
    ],
)
def test_mistakes_are_named_with_the_line(make: Any, text: str) -> None:
    with pytest.raises(etp.ModelError, match=text) as caught:
        make()
    assert "test_random.py" in str(caught.value)
