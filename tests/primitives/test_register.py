"""Primitives declared outside of the package, here in the test itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import etp
from etp import xp


def bilinear(x, z, w, b, *, scale=1.0):
    """Every pair of an input and a gate through a weight of its own."""
    pairs = xp.expand_dims(x, axis=1) * z
    return scale * xp.tensordot(pairs, w, axes=2) + b


def deep(x, w, v):
    """Two products and a non-linearity: each weight acts on all of the result."""
    return xp.tanh(xp.matmul(xp.tanh(xp.matmul(x, w)), v))


BILINEAR = etp.register_primitive("test.bilinear", bilinear, {"w": "ijo->o", "b": "o->o"})
LOOSE = etp.register_primitive("test.loose", bilinear, {"w": None, "b": None})
DEEP = etp.register_primitive("test.deep", deep, {"w": None, "v": "ho->o"})


class Gated(etp.Module):
    """A leaky layer driven by products of its input and its state."""

    def __init__(self, operation, back=True):
        rng = np.random.default_rng(0)
        self.w = etp.Param(0.5 * rng.normal(size=(2, 3, 3)))
        self.b = etp.Param(rng.normal(size=3))
        self.h = etp.State((3,), init=rng.normal(size=3))
        self.operation, self.back = operation, back

    def __call__(self, x):
        h = self.h.value
        z = h if self.back else np.arange(1.0, 4.0)
        drive = self.operation(x, z, b=self.b, w=self.w, scale=0.7)
        self.h.value = xp.tanh(0.6 * h + drive)
        return self.h.value


class Deep(etp.Module):
    def __init__(self):
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(2, 4)))
        self.v = etp.Param(rng.normal(size=(4, 3)))
        self.h = etp.State((3,))

    def __call__(self, x):
        self.h.value = 0.6 * self.h.value + DEEP(x, self.w, self.v)
        return xp.tanh(self.h.value)


def square(output, target):
    d = output - target
    return xp.sum(d * d * d * 0.2 + d * d)


def data(length, batch=2):
    rng = np.random.default_rng(1)
    return rng.normal(size=(length, batch, 2)), rng.normal(size=(length, batch, 3))


def gradient(model, rule, length=6, backend="numpy", **options):
    x, y = data(length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        learner = etp.compile(
            model, rule, square, backend=backend, dtype="float64" if backend == "numpy" else
            "float32", **options,
        )  # fmt: skip
        found = learner.grad(x, y, reduction="sum")[0]
    return {n: np.asarray(g) for n, g in found.items()}, learner


def check(got, want, tolerance):
    assert set(got) == set(want)
    for name, g in want.items():
        assert np.abs(g).max() > 1e-3, name
        assert np.abs(got[name] - g).max() < tolerance * np.abs(g).max(), name


def numeric(model, length=4):
    x, y = data(length)
    learner = etp.compile(model, "bptt", square, backend="numpy", dtype="float64")

    def loss(params):
        learner.params = params
        return learner.grad(x, y, reduction="sum")[1]["loss"]

    start = {n: np.array(p) for n, p in learner.params.items()}
    return etp.oracle.finite_differences(loss, start)


@pytest.mark.parametrize("model", [lambda: Gated(BILINEAR), lambda: Gated(LOOSE), Deep])
def test_bptt_is_the_difference(model):
    check(gradient(model(), "bptt", 4)[0], numeric(model()), 1e-6)


RULES = ["bptt", "d_rtrl", "pp_prop", "rtrl"]


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", [lambda: Gated(BILINEAR), lambda: Gated(LOOSE), Deep])
def test_one_step_equals_bptt_under_every_rule(model, rule, window):
    check(gradient(model(), rule, 1, window=window)[0], gradient(model(), "bptt", 1)[0], 1e-9)


@pytest.mark.parametrize("schedule", ["step", "auto", 2])
@pytest.mark.parametrize("operation", [BILINEAR, LOOSE])
def test_d_rtrl_is_exact_before_a_leaky_layer(operation, schedule):
    want = gradient(Gated(operation, back=False), "bptt")[0]
    for window in (0, 1):
        got, learner = gradient(
            Gated(operation, back=False), "d_rtrl", schedule=schedule, window=window
        )
        check(got, want, 1e-9)
        assert {p.status for p in learner.report().parameters.values()} == {"exact"}
    check(gradient(Deep(), "d_rtrl", schedule=schedule)[0], gradient(Deep(), "bptt")[0], 1e-9)


@pytest.mark.parametrize("schedule", ["step", "auto"])
def test_full_rtrl_is_exact_in_a_loop(schedule):
    want = gradient(Gated(BILINEAR), "bptt")[0]
    check(gradient(Gated(BILINEAR), "rtrl", schedule=schedule)[0], want, 1e-8)
    approximate = gradient(Gated(BILINEAR), "d_rtrl", schedule=schedule)[0]
    assert np.abs(approximate["w"] - want["w"]).max() > 1e-3


def test_pp_prop_does_not_depend_on_how_axes_are_declared():
    loose, letters = (gradient(Gated(o), "pp_prop")[0] for o in (LOOSE, BILINEAR))
    check(letters, loose, 1e-10)


@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop", "bptt"])
@pytest.mark.parametrize("model", [lambda: Gated(BILINEAR), Deep])
def test_jax_agrees(model, rule):
    pytest.importorskip("jax")
    check(gradient(model(), rule, backend="jax")[0], gradient(model(), rule)[0], 1e-4)


def test_letters_make_the_trace_small():
    sizes = {}
    for operation in (BILINEAR, LOOSE):
        _, learner = gradient(Gated(operation), "d_rtrl", schedule="step")
        sizes[operation] = learner.report().parameters["w"].trace_shape
    assert sizes[BILINEAR] == ((2, 3, 3),)
    assert sizes[LOOSE] == ((3, 2, 3, 3),)


def test_eager_is_the_function():
    x, z, w, b = np.ones(2), np.arange(3.0), np.ones((2, 3, 3)), np.ones(3)
    np.testing.assert_array_equal(BILINEAR(x, z, w, b), bilinear(x, z, w, b))
    np.testing.assert_array_equal(BILINEAR(x, z, w=w, b=b), bilinear(x, z, w, b))


# -- mistakes ------------------------------------------------------------------------------
def refused(match, *args, **kwargs):
    with pytest.raises(etp.ModelError, match=match) as error:
        etp.register_primitive(*args, **kwargs)
    assert "test_register.py" in str(error.value)


def test_mistakes_of_the_declaration():
    refused("already", "test.bilinear", bilinear, {"w": None})
    refused("belongs to etp", "etp.matmul", bilinear, {"w": None}, replace=True)
    refused("no argument of the function", "test.new", bilinear, {"ww": None})
    refused("no weights", "test.new", bilinear, {})
    refused("axes of 'w'", "test.new", bilinear, {"w": "ijo"})
    refused("axes of 'w'", "test.new", bilinear, {"w": "iio->o"})
    refused("no name", "my op", bilinear, {"w": None})
    refused("no weights", "test.new", bilinear, ["w"])
    refused("axes of 'w'", "test.new", bilinear, {"w": 3})
    refused("no function", "test.new", 3, {"w": None})
    refused("fixed list", "test.new", lambda *x: x[0], {"x": None})


def test_letters_that_promise_too_much_are_found():
    wrong = etp.register_primitive("test.wrong", bilinear, {"w": "ioj->o", "b": "o->o"})
    with pytest.raises(etp.ModelError, match="act on others of the result"):
        gradient(Gated(wrong), "d_rtrl")
    short = etp.register_primitive("test.short", bilinear, {"w": "io->o", "b": "o->o"})
    with pytest.raises(etp.ModelError, match="a weight of 3 axes"):
        gradient(Gated(short), "d_rtrl")


@pytest.mark.parametrize("apart", [
    lambda x, k, w: x * xp.where(k > 0, xp.flip(w), w),
    lambda x, k, w: x * xp.where(x > 1, xp.flip(w), w),
])  # fmt: skip
def test_letters_hold_for_all_data(apart):
    """At small numbers these act position by position, and elsewhere they do not."""
    operation = etp.register_primitive("test.apart", apart, {"w": "o->o"}, replace=True)

    class Model(etp.Module):
        def __init__(self):
            self.w = etp.Param(np.ones(3))
            self.h = etp.State((3,))

        def __call__(self, x):
            k = xp.astype(x > 0, xp.int32)
            self.h.value = 0.5 * self.h.value + operation(x, k, self.w)
            return self.h.value

    with pytest.raises(etp.ModelError, match="may act on others of the result"):
        etp.compile(Model(), "d_rtrl", "mse", backend="numpy", example=(np.ones(3), np.ones(3)))


def test_an_operation_has_one_meaning_in_either_mode():
    asking = etp.register_primitive(
        "test.asking", lambda x, w: x * w * (2.0 if etp.training() else 1.0), {"w": "o->o"}
    )
    told = etp.register_primitive(
        "test.told", lambda x, w, *, training: x * w * (2.0 if training else 1.0), {"w": "o->o"}
    )

    class Model(etp.Module):
        def __init__(self, call):
            self.w, self.h, self.call = etp.Param(np.ones(3)), etp.State((3,)), call

        def __call__(self, x):
            self.h.value = self.call(x, self.w)
            return self.h.value

    def learner(call):
        example = (np.ones(3), np.ones(3))
        return etp.compile(Model(call), "d_rtrl", "mse", backend="numpy", example=example)

    with pytest.raises(etp.ModelError, match="one meaning"):
        learner(asking)
    found = learner(lambda x, w: told(x, w, training=etp.training()))
    x = np.ones((2, 1, 3))
    np.testing.assert_allclose(found.predict(x), 1.0)
    np.testing.assert_allclose(found.predict(x, training=True), 2.0)


def test_a_weight_that_does_not_reach_the_result_has_no_gradient():
    operation = etp.register_primitive("test.switch", lambda x, w: x, {"w": None})

    class Model(etp.Module):
        def __init__(self):
            self.w, self.v, self.h = etp.Param(np.ones(2)), etp.Param(np.ones(3)), etp.State((3,))

        def __call__(self, x):
            self.h.value = 0.5 * self.h.value + operation(x, self.w) * etp.element_wise(self.v)
            return self.h.value

    for rule in ("bptt", "d_rtrl", "pp_prop"):
        learner = etp.compile(Model(), rule, "mse", backend="numpy")
        grads = learner.grad(np.ones((3, 1, 3)), np.zeros((3, 1, 3)))[0]
        assert np.abs(grads["v"]).max() > 0
        assert np.abs(grads["w"]).max() == 0


def test_a_name_can_be_taken_over():
    first = etp.register_primitive("test.again", lambda x, w: x * w, {"w": "o->o"})
    second = etp.register_primitive("test.again", lambda x, w: x + w, {"w": "o->o"}, replace=True)
    assert first(2, 3) == 6
    assert second(2, 3) == 5


def test_a_call_that_does_not_fit():
    with pytest.raises(etp.ModelError, match="missing a required argument"):
        BILINEAR(np.ones(2))
