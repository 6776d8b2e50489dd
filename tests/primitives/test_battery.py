"""What must hold for every eligibility-trace primitive, with shapes drawn at random."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

import etp
from etp_ir.core import Program
from etp_ir.interpreter import evaluate
from etp_ir.primitive import REGISTRY
from etp_ir.tracer import trace
from etp_ir.transforms import batch_program, jvp, vjp
from etp_ir.types import type_of
from tests.backends.conformance import check_program
from tests.primitives.drawn import PRIMITIVES, Drawn, normal
from tests.primitives.models import LEAK, Before, Inside

NAMES = sorted(PRIMITIVES)
RULES = ("d_rtrl", "pp_prop")
LENGTH, BATCH = 5, 2


def few(count: int) -> settings:
    return settings(
        max_examples=count, deadline=None, derandomize=True, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def battery(count: int, many: int):
    """Run a test on every primitive: a few draws, and many in the slow set."""

    def decorate(test):
        rows = [
            pytest.param(name, n, marks=marks)
            for name in NAMES
            for n, marks in ((count, ()), (many, pytest.mark.slow))
        ]

        @pytest.mark.parametrize(("name", "count"), rows)
        def run(name: str, count: int) -> None:
            few(count)(given(PRIMITIVES[name])(test))()

        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return run

    return decorate


def test_every_primitive_is_in_the_battery():
    marked = {name for name, p in REGISTRY.items() if p.is_etp and name.startswith("etp.")}
    assert marked == {name.split(" ")[0] for name in NAMES}


# -- the operation itself ------------------------------------------------------------------
def traced(drawn: Drawn) -> tuple[Program, dict[str, np.ndarray]]:
    """Return the call as a program, with its arguments."""
    arrays = {"x": drawn.x, **drawn.weights}
    program, captured = trace(
        lambda x, **weights: drawn.call(x, weights), {n: type_of(a) for n, a in arrays.items()}
    )  # fmt: skip
    return program, {**arrays, **captured}


def smooth(program: Program) -> list[str]:
    return [p.name for p in program.inputs if p.role.kind != "const" and p.type.dtype.is_float]


@battery(6, 100)
def test_traced_is_eager(drawn: Drawn) -> None:
    program, arrays = traced(drawn)
    found = evaluate(program, arrays)["output(0)"]
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, drawn.call(drawn.x, drawn.weights), rtol=1e-12, atol=1e-12)


@battery(6, 100)
def test_jvp_is_the_difference_and_vjp_its_transpose(drawn: Drawn) -> None:
    program, arrays = traced(drawn)
    wrt = smooth(program)
    tangents = {f"d_{n}": normal(k, *arrays[n].shape) for k, n in enumerate(wrt)}
    *_, pushed = evaluate(jvp(program, wrt), {**arrays, **tangents}).values()
    ends = [
        evaluate(program, {**arrays, **{n: arrays[n] + e * tangents[f"d_{n}"] for n in wrt}})
        for e in (1e-5, -1e-5)
    ]
    slope = (ends[0]["output(0)"] - ends[1]["output(0)"]) / 2e-5
    np.testing.assert_allclose(pushed, slope, rtol=1e-7, atol=1e-7 * (1 + np.abs(slope).max()))
    ct = normal(99, *pushed.shape)
    pulled = evaluate(vjp(program, wrt), {**arrays, "ct_0": ct})
    back = sum((pulled[f"grad({n})"] * tangents[f"d_{n}"]).sum() for n in wrt)
    np.testing.assert_allclose((pushed * ct).sum(), back, rtol=1e-10, atol=1e-10)


@battery(4, 60)
def test_batch_is_a_loop(drawn: Drawn) -> None:
    program, arrays = traced(drawn)
    for batched in (["x"], list(drawn.weights), ["x", *drawn.weights]):
        many = {n: several(drawn, arrays[n], k, 3) for k, n in enumerate(batched)}
        whole = batch_program(program, 3, dict.fromkeys(batched, 0), force=[0])
        found = evaluate(whole, {**arrays, **many})["output(0)"]
        for i in range(3):
            one = evaluate(program, {**arrays, **{n: a[i] for n, a in many.items()}})
            np.testing.assert_allclose(found[i], one["output(0)"], rtol=1e-12, atol=1e-12)


def several(drawn: Drawn, array: np.ndarray, seed: int, count: int) -> np.ndarray:
    """Return arrays like one: indices in their range, or normal numbers."""
    shape = (count, *array.shape)
    if array.dtype.kind != "f":
        return np.random.default_rng(seed).integers(0, drawn.indices, shape).astype(array.dtype)
    return normal(seed, *shape)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize("name", NAMES)
def test_backends_compute_the_reference(name: str, backend: str) -> None:
    pytest.importorskip(backend)

    @few(3)
    @given(PRIMITIVES[name])
    def run(drawn: Drawn) -> None:
        program, arrays = traced(drawn)
        gradient = vjp(batch_program(program, 2, {"x": 0}, force=[0]), list(drawn.weights))
        type = next(p.type for p in gradient.inputs if p.name == "ct_0")
        given = {**arrays, "x": several(drawn, arrays["x"], 0, 2), "ct_0": normal(1, *type.shape)}
        check_program(etp.backends.get(backend), gradient, given)

    run()


# -- its gradients in a model ---------------------------------------------------------------
def square(output: Any, target: Any) -> Any:
    d = output - target
    return etp.xp.sum(d * d * d * 0.2 + d * d)


def sequence(drawn: Drawn, length: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    shape = np.shape(drawn.call(drawn.x, drawn.weights))
    x = several(drawn, drawn.x, 5, length * BATCH).reshape(length, BATCH, *drawn.x.shape)
    return x, rng.normal(size=(length, BATCH, *shape))


def learner(model: etp.Module, drawn: Drawn, rule: str, loss: Any = square, **options: Any) -> Any:
    x, y = sequence(drawn, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        return etp.compile(
            model, rule, loss, backend="numpy", dtype="float64", example=(x[0, 0], y[0, 0]),
            length=LENGTH, **options,
        )  # fmt: skip


def gradient(
    model: etp.Module, drawn: Drawn, rule: str, length: int = LENGTH, **options: Any
) -> dict[str, np.ndarray]:
    x, y = sequence(drawn, length)
    return learner(model, drawn, rule, **options).grad(x, y, reduction="sum")[0]


def check(got: dict[str, np.ndarray], want: dict[str, np.ndarray], tolerance: float) -> None:
    assert set(got) == set(want)
    scale = max(np.abs(g).max() for g in want.values())
    assume(scale > 1e-3)  # units that are saturated compare nothing; hypothesis draws others
    for name, g in want.items():
        assert np.abs(got[name] - g).max() <= tolerance * scale, name


@battery(3, 25)
def test_one_step_equals_bptt(drawn: Drawn) -> None:
    for place in (Before, Inside):
        want = gradient(place(drawn), drawn, "bptt", 1)
        for rule in RULES:
            for window in (0, 1):
                got = gradient(place(drawn), drawn, rule, 1, window=window)
                check(got, want, 1e-9)


@battery(3, 25)
def test_d_rtrl_is_exact_before_a_leaky_layer(drawn: Drawn) -> None:
    model = Before(drawn)
    want = gradient(model, drawn, "bptt")
    for window in (0, 1):
        for schedule in ("step", "auto", 2):
            got = gradient(model, drawn, "d_rtrl", window=window, schedule=schedule)
            check(got, want, 1e-9)
    found = learner(model, drawn, "d_rtrl").report().parameters
    assert {p.status for p in found.values()} == {"exact"}


@battery(2, 20)
def test_schedules_agree_inside_a_loop(drawn: Drawn) -> None:
    model = Inside(drawn)
    for rule in RULES:
        step = gradient(model, drawn, rule, schedule="step")
        for schedule in ("auto", 2):
            check(gradient(model, drawn, rule, schedule=schedule), step, 1e-9)


@battery(2, 12)
def test_full_rtrl_equals_bptt_inside_a_loop(drawn: Drawn) -> None:
    model = Inside(drawn)
    want = gradient(model, drawn, "bptt")
    check(gradient(model, drawn, "rtrl", schedule="step"), want, 1e-8)
    check(gradient(model, drawn, "rtrl"), want, 1e-8)


@battery(2, 20)
def test_pp_prop_is_its_equation(drawn: Drawn) -> None:
    """Before a linear leak the postsynaptic trace is a number, and the rule a few lines."""
    decay = 0.6
    x, y = sequence(drawn, LENGTH)
    model = Before(drawn, linear=True)
    lr = learner(
        model, drawn, etp.rules.PPProp(decay=decay), lambda out, c: etp.xp.sum(out * c), window=0
    )
    got = lr.grad(x, y, reduction="sum")[0]
    want = {n: np.zeros_like(w) for n, w in drawn.weights.items()}
    for b in range(BATCH):
        post = 0.0
        held: dict[str, Any] = dict.fromkeys(want, 0.0)
        for t in range(LENGTH):
            post = decay * LEAK * post + (1 - decay)
            signal = y[t, b] / (1 - decay ** (t + 1))
            for n, rows in jacobians(drawn, x[t, b]).items():
                if n == "bias" or drawn.text == "element_wise":  # no input beside the weight
                    held[n] = decay * LEAK * held[n] + (1 - decay) * rows
                    want[n] += np.tensordot(signal, held[n], signal.ndim)
                else:
                    held[n] = decay * held[n] + rows
                    want[n] += np.tensordot(signal * post, held[n], signal.ndim)
    check(got, {f"p.{n}": g for n, g in want.items()}, 1e-8)


def jacobians(drawn: Drawn, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the derivatives of the result by the weights."""
    program, arrays = traced(drawn)
    return {n: weight_jacobian(program, {**arrays, "x": x}, n) for n in drawn.weights}


def weight_jacobian(program: Program, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the derivative of the result by a weight."""
    pulled = vjp(program, [name])
    shape = program.outputs[0].type.shape
    rows = [
        evaluate(pulled, {**arrays, "ct_0": unit.reshape(shape)})[f"grad({name})"]
        for unit in np.eye(int(np.prod(shape, dtype=int)))
    ]
    return np.reshape(rows, (*shape, *arrays[name].shape))
