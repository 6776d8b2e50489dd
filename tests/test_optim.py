"""Optimisers and schedules against optax, eagerly and traced."""

from __future__ import annotations

import math
import pickle
from typing import Any

import jax
import numpy as np
import optax
import pytest

import etp.optim as optim
from etp_ir import ModelError
from etp_ir.builder import Builder
from etp_ir.core import Role
from etp_ir.interpreter import evaluate
from etp_ir.parser import parse
from etp_ir.tracer import Tracer, operand
from etp_ir.types import type_of
from etp_ir.verify import verify

RNG = np.random.default_rng(0)
SHAPES = {"cell.w": (3, 4), "cell.b": (4,), "gain": ()}
STEPS = 20

PAIRS: dict[str, tuple[Any, Any]] = {
    "sgd": (optim.sgd(0.1), optax.sgd(0.1)),
    "momentum": (optim.sgd(0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
    "nesterov": (optim.sgd(0.1, 0.9, nesterov=True), optax.sgd(0.1, 0.9, nesterov=True)),
    "sgd with decay": (
        optim.sgd(0.1, 0.9, weight_decay=0.01),
        optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.1, 0.9)),
    ),
    "adam": (optim.adam(1e-2), optax.adam(1e-2)),
    "adam, large eps": (
        optim.adam(1e-2, beta1=0.5, beta2=0.9, eps=0.1),
        optax.adam(1e-2, b1=0.5, b2=0.9, eps=0.1),
    ),
    "adam without memory": (optim.adam(1e-2, beta1=0.0), optax.adam(1e-2, b1=0.0)),
    "adamw": (optim.adamw(1e-2, 0.1), optax.adamw(1e-2, weight_decay=0.1)),
    "rmsprop": (optim.rmsprop(1e-2), optax.rmsprop(1e-2, eps_in_sqrt=False)),
    "rmsprop with momentum": (
        optim.rmsprop(1e-2, 0.8, eps=1e-3, momentum=0.9),
        optax.rmsprop(1e-2, 0.8, eps=1e-3, momentum=0.9, eps_in_sqrt=False),
    ),
    "clipped": (
        optim.adam(1e-2, clip_norm=0.5),
        optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2)),
    ),
    "clipped momentum": (
        optim.sgd(0.1, 0.9, clip_norm=3.0),
        optax.chain(optax.clip_by_global_norm(3.0), optax.sgd(0.1, 0.9)),
    ),
    "cosine": (
        optim.sgd(optim.cosine(0.2, 15, final=0.02)),
        optax.sgd(optax.cosine_decay_schedule(0.2, 15, alpha=0.1)),
    ),
}


def start() -> dict[str, Any]:
    return {path: RNG.normal(size=shape) for path, shape in SHAPES.items()}


def gradients() -> list[dict[str, Any]]:
    """Gradients of varying length, one set all zero."""
    scale = RNG.exponential(size=STEPS)
    scale[7] = 0.0
    return [{p: s * RNG.normal(size=shape) for p, shape in SHAPES.items()} for s in scale]


def traced_update(optimizer: Any, params: Any, state: Any) -> Any:
    """Return one update as a program."""
    builder = Builder("update", float_dtype=type_of(params["cell.w"]).dtype, track_source=True)

    def opened(prefix: str, arrays: Any, role: str) -> dict[str, Tracer]:
        return {
            k: Tracer(builder, builder.input(prefix + k, type_of(x), role))
            for k, x in arrays.items()
        }

    given = [opened("g.", params, "input"), opened("s.", state, "state"),
             opened("", params, "param")]  # fmt: skip
    new_params, new_state = optimizer.update(*given)
    assert list(new_params) == list(params)
    assert list(new_state) == list(state)
    pairs = [(operand(builder, x), Role("param", (k,))) for k, x in new_params.items()]
    pairs += [(operand(builder, x), Role("state", (f"s.{k}",))) for k, x in new_state.items()]
    program = builder.finish(pairs)
    assert not builder.bindings
    verify(program)
    assert parse(str(program)) == program
    for out, array in zip(program.outputs[len(params) :], state.values(), strict=True):
        assert out.type == type_of(array)
    return program


@pytest.mark.parametrize("name", list(PAIRS))
def test_twenty_steps_equal_optax(name: str) -> None:
    ours, theirs = PAIRS[name]
    initial, grads = start(), gradients()
    params = initial
    state = ours.init(params)
    traced_params, traced_state = params, state
    program = traced_update(ours, params, state)

    @jax.jit
    def advance(grad: Any, memory: Any, params: Any) -> Any:
        changes, memory = theirs.update(grad, memory, params)
        return optax.apply_updates(params, changes), memory

    with jax.enable_x64(True):
        expected = jax.tree.map(jax.numpy.asarray, params)
        memory = theirs.init(expected)
        for grad in grads:
            params, state = ours.update(grad, state, params)
            results = evaluate(program, {
                **{f"g.{k}": x for k, x in grad.items()},
                **{f"s.{k}": x for k, x in traced_state.items()},
                **traced_params,
            })  # fmt: skip
            traced_params = {k: results[f"param({k})"] for k in params}
            traced_state = {k: results[f"state(s.{k})"] for k in state}
            expected, memory = advance(grad, memory, expected)
    assert int(state["step"]) == STEPS == int(traced_state["step"])
    for path, array in expected.items():
        assert np.abs(np.asarray(array) - initial[path]).max() > 1e-3
        np.testing.assert_allclose(params[path], array, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(traced_params[path], array, rtol=1e-12, atol=1e-13)


def test_rmaxprop_equals_its_equation() -> None:
    ours, params, grads = optim.get("rmaxprop"), start(), gradients()
    state = ours.init(params)
    program = traced_update(ours, params, state)
    wanted, v = dict(params), dict.fromkeys(params, 0.0)
    for grad in grads:
        given = {**{f"g.{n}": x for n, x in grad.items()}, **params}
        traced = evaluate(program, {**given, **{f"s.{n}": x for n, x in state.items()}})
        params, state = ours.update(grad, state, params)
        for n, g in grad.items():
            v[n] = np.maximum(0.9 * v[n], g**2)
            wanted[n] = wanted[n] - 1e-3 * g / (np.sqrt(v[n]) + 1e-8)
            np.testing.assert_allclose(params[n], wanted[n], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(traced[f"param({n})"], wanted[n], rtol=1e-12, atol=1e-14)


def test_schedules() -> None:
    """Against direct formulas: optax takes its rates in single precision."""
    cosine = optim.cosine(0.2, 10, final=0.02)
    warm = optim.linear_warmup(cosine, 5)
    for step in range(20):
        fallen = 0.02 + 0.18 * (1 + math.cos(math.pi * min(step, 10) / 10)) / 2
        np.testing.assert_allclose(cosine(np.float64(step)), fallen, rtol=1e-14)
        wanted = 0.2 * (step + 1) / 5 if step < 5 else cosine(np.float64(step - 5))
        np.testing.assert_allclose(warm(np.float64(step)), wanted, rtol=1e-14)
        falling = optim.inverse_root(0.2, 10)(np.float64(step))
        np.testing.assert_allclose(falling, 0.2 / math.sqrt(1 + step / 10), rtol=1e-14)
        assert optim.constant(0.3)(step) == 0.3
    params = {"cell.w": np.ones(2)}
    for schedule in (warm, lambda step: 0.1 * 0.9**step):
        optimizer = optim.sgd(schedule)
        state = optimizer.init(params)
        program = traced_update(optimizer, params, state)
        for step in range(8):
            given = {"g.cell.w": np.ones(2), "s.step": np.int32(step), "cell.w": params["cell.w"]}
            moved = evaluate(program, given)["param(cell.w)"]
            weight = 1.0 - schedule(np.float64(step))
            np.testing.assert_allclose(moved, weight, rtol=1e-14)


def test_a_clipped_gradient_has_the_norm_asked_for() -> None:
    grads = {"a": np.array([3.0, 0.0]), "b": np.array(4.0)}
    short = optim.clipped(grads, 1.0)
    np.testing.assert_allclose(short["a"], [0.6, 0.0])
    np.testing.assert_allclose(short["b"], 0.8)
    np.testing.assert_array_equal(optim.clipped(grads, 5.5)["a"], grads["a"])
    assert not np.isnan(optim.clipped({"a": np.zeros(2)}, 1.0)["a"]).any()


def test_update_keeps_its_arguments_and_their_precision() -> None:
    params = {k: x.astype(np.float32) for k, x in start().items()}
    optimizer = optim.adam(1e-2)
    state = optimizer.init(params)
    copies = {k: x.copy() for k, x in params.items()}
    grads = {k: np.asarray(x).astype(np.float32) for k, x in gradients()[0].items()}
    new, state2 = optimizer.update(grads, state, params)
    for path in params:
        np.testing.assert_array_equal(params[path], copies[path])
        assert new[path].dtype == np.float32
        assert state2[f"v.{path}"].dtype == np.float32
    assert int(state["step"]) == 0
    program = traced_update(optimizer, params, state)
    assert program.output("param(cell.w)").type.dtype.name == "f32"


def test_single_precision_keeps_the_first_correction() -> None:
    """1 - 0.999 in float32 is off by 5e-5 of itself when taken as a difference."""
    optimizer = optim.adam(1.0, eps=0.0)
    params = {"w": np.zeros(2, np.float32)}
    grads = {"w": np.array([1e-3, -2.0], np.float32)}
    new, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(new["w"], [-1.0, 1.0], rtol=1e-6)


def test_parameters_without_a_gradient_stay() -> None:
    params = start()
    optimizer = optim.sgd(0.1, 0.9)
    new, state = optimizer.update({"gain": np.array(1.0)}, optimizer.init(params), params)
    np.testing.assert_array_equal(new["cell.w"], params["cell.w"])
    np.testing.assert_allclose(new["gain"], params["gain"] - 0.1)
    assert int(state["step"]) == 1


def test_optimisers_are_plain_data() -> None:
    first = optim.adamw(optim.linear_warmup(optim.cosine(1e-2, 10), 2), clip_norm=1.0)
    assert pickle.loads(pickle.dumps(first)) == first
    with pytest.raises(AttributeError):
        first.beta1 = 0.5  # type: ignore[misc]


def test_what_is_no_learning_rate_is_refused() -> None:
    for wrong in (-0.1, "1e-3", None):
        with pytest.raises(ModelError, match="is no learning rate"):
            optim.sgd(wrong)  # type: ignore[arg-type]
