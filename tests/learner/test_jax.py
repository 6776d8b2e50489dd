"""On JAX: pure functions inside the user's own transformations, and optimisers of optax."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import etp
from etp.optax_bridge import OptaxOptimizer
from etp_ir.parser import parse
from etp_ir.printer import to_text
from etp_ir.verify import verify
from tests.learner.setups import BATCH, LENGTH, Counting, arrays, learner, same
from tests.models import build, data

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")


def compiled(model: str = "leaky", rule: str = "d_rtrl", **options: Any) -> etp.Learner:
    return learner(model, rule, **{"backend": "jax", "dtype": "float32", **options})


def near(got: Any, want: Any, tolerance: float) -> None:
    assert set(got) == set(want)
    scale = max(float(np.abs(w).max()) for w in want.values())
    assert scale > 1e-3
    for name in want:
        assert np.abs(np.asarray(got[name]) - want[name]).max() < tolerance * scale, name


# -- pure functions ------------------------------------------------------------------------
def rollout(pure: Any) -> Any:
    """Return the gradient of a sequence as a user writes it around the pure functions."""

    def gradient(params: Any, xs: Any, ys: Any, mask: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            carry, grads, loss, output = pure.step(params, carry, *row)
            return carry, (grads, loss, output)

        carry, (grads, losses, outputs) = jax.lax.scan(step, pure.init(xs.shape[1]), (xs, ys, mask))
        return {n: g.mean(0) for n, g in grads.items()}, losses.mean(), outputs, carry

    return gradient


@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop"])
def test_a_scan_of_pure_steps_is_the_gradient(rule: str) -> None:
    x, y = data(LENGTH, BATCH)
    lr = compiled("gru", rule, dtype="float64", example=(x[0, 0], y[0, 0]))
    pure = lr.functional()
    gradient = jax.jit(rollout(pure), compiler_options=pure.compiler_options)
    with jax.enable_x64(True):
        grads, loss, outputs, carry = gradient(lr.params, x, y, np.ones((LENGTH, BATCH)))
    oracle = learner("gru", rule)
    want, metrics = oracle.grad(x, y)
    near(grads, want, 1e-12)
    assert float(loss) == pytest.approx(metrics["loss"], rel=1e-12)
    np.testing.assert_allclose(outputs, oracle.predict(x), rtol=1e-12)
    for t in range(LENGTH):
        oracle.step(x[t], y[t])
    assert set(carry) == {*oracle.states, *oracle.traces}
    near({n: carry[n] for n in oracle.traces}, oracle.traces, 1e-12)


def test_pure_functions_change_nothing_and_serve_any_batch_size() -> None:
    x, y = data(LENGTH, BATCH)
    lr = compiled(example=(x[0, 0], y[0, 0]))
    pure, before = lr.functional(), lr.state_dict()
    step = jax.jit(pure.step, compiler_options=pure.compiler_options)
    carry = pure.init(BATCH)
    held = arrays(carry)
    new, grads, loss, output = step(pure.params, carry, x[0], y[0])
    assert same(arrays(carry), held)
    assert not same(arrays(new), held)
    assert output.shape == y[0].shape
    assert same(lr.state_dict(), before)
    assert {n: g.shape for n, g in grads.items()} == {n: p.shape for n, p in pure.params.items()}
    masked = pure.step(pure.params, carry, x[0], y[0], mask=np.array([0, 1, 0]))
    single = pure.step(pure.params, pure.init(1), x[0, [1]], y[0, [1]])
    near({n: BATCH * g for n, g in masked[1].items()}, arrays(single[1]), 1e-5)
    assert float(masked[2]) * BATCH == pytest.approx(float(single[2]), rel=1e-5)


def test_training_with_optax_around_the_pure_functions() -> None:
    """The user's own loop of optax equals `fit` with the same transformation."""
    x, y = data(LENGTH, BATCH)
    lr = compiled(example=(x[0, 0], y[0, 0]))
    pure, tx = lr.functional(), optax.adam(0.02)

    def loop(params: Any, xs: Any, ys: Any) -> Any:
        def step(held: Any, row: Any) -> Any:
            params, memory, carry = held
            carry, grads, loss, _ = pure.step(params, carry, *row)
            changes, memory = tx.update(grads, memory, params)
            return (optax.apply_updates(params, changes), memory, carry), loss

        (params, _, _), losses = jax.lax.scan(
            step, (params, tx.init(params), pure.init(BATCH)), (xs, ys)
        )
        return params, losses.mean()

    params, loss = jax.jit(loop, compiler_options=pure.compiler_options)(pure.params, x, y)
    before = arrays(lr.params)
    history = lr.fit([(x, y)], tx, update="step")
    near(params, arrays(lr.params), 1e-5)
    assert history.loss == [pytest.approx(float(loss), rel=1e-5)]
    assert max(np.abs(before[n] - lr.params[n]).max() for n in before) > 0.05


def test_what_pure_functions_refuse() -> None:
    x, y = data(LENGTH, BATCH)
    with pytest.raises(etp.NotSupportedError, match=r"backend 'jax'(.|\n)*or use learner.step"):
        learner().functional()
    with pytest.raises(etp.ModelError, match="nothing is compiled yet"):
        compiled().functional()
    pure = compiled(example=(x[0, 0], y[0, 0])).functional()
    carry = pure.init(BATCH)
    with pytest.raises(etp.ShapeError, match=r"x is f64\[7,3,2\], expected f32\[3,2\]"):
        pure.step(pure.params, carry, x, y[0])
    with pytest.raises(etp.ShapeError, match=r"target is i32\[3\], expected f32\[3,2\]"):
        pure.step(pure.params, carry, x[0], np.zeros(BATCH, np.int32))
    with pytest.raises(etp.ShapeError, match="takes 1 inputs, got 2"):
        pure.step(pure.params, carry, (x[0], x[0]), y[0])
    with pytest.raises(etp.ShapeError, match="'cell.h'"):
        pure.step(pure.params, pure.init(5), x[0], y[0])


# -- optax ---------------------------------------------------------------------------------
SEQUENCES = [data(LENGTH, BATCH, seed) for seed in range(3)]


@pytest.mark.parametrize("update", ["step", 3, "sequence"])
def test_optax_inside_the_rollout_equals_our_adam(update: Any) -> None:
    ours, theirs = compiled(dtype="float64"), compiled(dtype="float64")
    want = ours.fit(SEQUENCES, etp.optim.adam(0.02), update=update)
    got = theirs.fit(SEQUENCES, optax.adam(0.02), update=update)
    np.testing.assert_allclose(got.loss, want.loss, rtol=1e-6)
    near(theirs.params, arrays(ours.params), 1e-6)
    updates = {"step": 7, 3: 3, "sequence": 1}[update] * len(SEQUENCES)
    assert int(theirs.optimizer_state["0.count"]) == updates
    near(
        {n: theirs.optimizer_state[f"0.mu.{n}"] for n in ours.params},
        {n: np.asarray(ours.optimizer_state[f"m.{n}"]) for n in ours.params}, 1e-6,
    )  # fmt: skip


def test_the_program_with_optax_in_it_is_text_like_any_other() -> None:
    backend = Counting(etp.backends.get("jax"))
    backend.tree_function = backend.inner.tree_function  # type: ignore[attr-defined]
    lr = compiled(backend=backend)
    lr.fit(SEQUENCES[:1], optax.adam(0.02), update="step")
    (run,) = backend.compiled
    text = to_text(verify(run.program))
    assert text.count("foreign ") == 1
    assert 'function = "optax.update.' in text
    assert "state(optimizer.0.mu.cell.w)" in text
    assert parse(text) == run.program
    assert to_text(parse(text)) == text


def test_the_same_transformation_made_anew_compiles_nothing() -> None:
    backend = Counting(etp.backends.get("jax"))
    backend.tree_function = backend.inner.tree_function  # type: ignore[attr-defined]
    lr = compiled(backend=backend)
    for _ in range(2):
        lr.fit(SEQUENCES[:1], optax.adam(0.02))
    assert len(backend.compiled) == 1
    assert int(lr.optimizer_state["0.count"]) == 2 * LENGTH
    lr.fit(SEQUENCES[:1])
    assert len(backend.compiled) == 1
    lr.fit(SEQUENCES[:1], optax.adam(0.01))
    assert len(backend.compiled) == 2
    assert int(lr.optimizer_state["0.count"]) == LENGTH


def test_a_resumed_run_with_optax_is_the_run_itself(tmp_path: Any) -> None:
    def make() -> Any:
        schedule = optax.cosine_decay_schedule(0.05, 20)
        return optax.chain(optax.clip_by_global_norm(0.3), optax.adamw(schedule, weight_decay=0.1))

    whole = compiled()
    whole.fit(SEQUENCES, make())
    first = compiled()
    first.fit(SEQUENCES[:1], make())
    etp.checkpoint.save(tmp_path / "run", first.state_dict())
    resumed = compiled()
    resumed.load_state_dict(etp.checkpoint.load(tmp_path / "run")[0])
    pickled = pickle.loads(pickle.dumps(first))
    for lr in (resumed, pickled):
        with pytest.raises(etp.ModelError, match=r"another optimiser(.|\n)*pass optimizer="):
            lr.fit(SEQUENCES[1:])
        lr.fit(SEQUENCES[1:], make())
        assert same(lr.state_dict(), whole.state_dict())


def test_streaming_with_optax() -> None:
    ours, theirs = compiled(), compiled()
    (x, y), adam = SEQUENCES[0], optax.adam(0.02)
    for t in range(LENGTH):
        a = ours.step(x[t], y[t], optimizer=etp.optim.adam(0.02))
        b = theirs.step(x[t], y[t], optimizer=adam)
        assert a == pytest.approx(b, rel=1e-4)
    near(theirs.params, arrays(ours.params), 1e-4)
    assert isinstance(theirs.optimizer, OptaxOptimizer)


def test_what_optax_cannot_do_here() -> None:
    with pytest.raises(
        etp.NotSupportedError, match=r"optax transformation runs on backend 'jax' only"
    ):
        etp.compile(build("leaky"), loss="mse", backend="numpy").fit(SEQUENCES, optax.adam(0.02))
    needs_more = optax.GradientTransformationExtraArgs(
        lambda params: (), lambda grads, state, params, *, value: (grads, state)
    )
    with pytest.raises(etp.NotSupportedError, match="cannot run inside the training loop"):
        compiled().fit(SEQUENCES, needs_more)
