"""Functions of the user's in signals, and modulators: what is taken, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import signals, xp
from etp.signals.own import written
from etp_ir.builder import Builder
from etp_ir.interpreter import run
from etp_ir.types import F32, F64
from tests.signals.test_signals import BATCH, MODULATORS, STEPS, XS, YS, N, learner

A = np.random.default_rng(3).normal(size=N)


def gradient(signal: Any, **given: Any) -> np.ndarray:
    return np.asarray(learner(signal).grad(XS, YS, **given)[0]["w"])


# -- arrays ------------------------------------------------------------------------------------
def test_arrays_of_numpy() -> None:
    one = gradient(signals.Function(lambda at: {"v": A * 1e-3}))
    # The same numbers by what the function is given.
    other = gradient(signals.Function(
        lambda at: {"v": xp.stack([0 * at.output[0] + float(a) * 1e-3 for a in A])}
    ))  # fmt: skip
    assert np.abs(one).max() > 1e-4
    np.testing.assert_allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize("kind", ["float64", "int64", "bool"])
def test_arrays_of_numpy_within_a_function(kind: str) -> None:
    """What a function captures is as good as what it is given."""
    a = (10 * A[:2]).astype(kind)
    one = gradient(signals.Modulatory(lambda o, t: xp.sum(xp.where(a > 0, a * 2.0, 1.0) * o[:2])))
    b = [2 * float(x) if x > 0 else 1.0 for x in a]
    other = gradient(signals.Modulatory(lambda o, t: b[0] * o[0] + b[1] * o[1]))
    assert np.abs(one).max() > 1e-4
    np.testing.assert_allclose(one, other, rtol=1e-13)


def test_one_number_fills_an_array() -> None:
    one = gradient(signals.Function(lambda at: {"v": 2}))
    np.testing.assert_allclose(one, gradient(signals.Function(lambda at: {"v": np.full(N, 2)})))
    assert np.abs(one).max() > 0.1
    one = gradient(signals.Modulatory(lambda o, t: np.float32(2.0)))
    np.testing.assert_allclose(one, gradient(signals.Modulatory(lambda o, t: 0 * o[0] + 2)))
    assert np.abs(one).max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 2), (0,)])
def test_numbers_written_out(shape: tuple[int, ...], dtype: str) -> None:
    kind = {"float32": F32, "float64": F64}[dtype]
    array = np.random.default_rng(0).normal(size=shape) * np.logspace(-6, 9, 5)[1]
    b = Builder("written", float_dtype=kind)
    found = written(b, np.asarray(array))
    program = b.finish([(found.value, "output")])
    (got,) = run(program, [])
    np.testing.assert_allclose(got, array.astype(dtype), rtol=np.finfo(dtype).eps, atol=0)


# -- mistakes ----------------------------------------------------------------------------------
def fails(*_: Any) -> Any:
    raise KeyError("gone")


MISTAKES: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: signals.Function(lambda at: None), "function of Function returned None", "'v'"),
    (lambda: signals.Function(lambda: {"v": 1}), "it takes ()", "function of one argument"),
    (lambda: signals.Function(fails), "function of Function raised KeyError: 'gone'", "at"),
    (lambda: signals.Function(lambda at: {"q": 1.0}), "no units emit into 'q'", "'v'"),
    (lambda: signals.Function(lambda at: {"v": "a"}), "Function returned str 'a'", "(5,)"),
    (lambda: signals.Function(lambda at: {"v": None}), "Function returned None", "(5,)"),
    (lambda: signals.Function(lambda at: {"v": np.ones(9)}), "array of shape (9,)", "(5,)"),
    (lambda: signals.Function(lambda at: {"v": at.output}), "array of shape (3,)", "(5,)"),
    (lambda: signals.Function(lambda at: {"v": np.nan}), "which is not finite", "(5,)"),
    (lambda: signals.Modulatory(lambda o: 1), "called with 2 arguments", "of 2 arguments"),
    (lambda: signals.Modulatory(fails), "function of Modulatory raised KeyError", "output"),
    (lambda: signals.Modulatory(lambda o, t: None), "Modulatory returned None", "one number"),
    (lambda: signals.Modulatory(lambda o, t: np.ones(3)), "shape (3,)", "return one number"),
    (lambda: signals.Modulatory(lambda o, t: xp.zeros((2,))), "shape (2,)", "return one number"),
    (lambda: signals.Modulatory(lambda o, t: o), "array of shape (3,)", "return one number"),
    (lambda: signals.TD(value=fails), "the value of TD raised KeyError", "x"),
    (lambda: signals.TD(value=lambda x: None), "the value of TD returned None", "array"),
    (lambda: signals.TD(value=lambda x: x), "the value of a TD signal is one number", "x[0]"),
]


@pytest.mark.parametrize(("make", "what", "how"), MISTAKES)
def test_mistakes(make: Callable[[], Any], what: str, how: str) -> None:
    with pytest.raises(etp.ETPError) as caught:
        gradient(make())
    text = str(caught.value)
    assert what in text
    assert "test_signals.py" in text or "test_own_functions.py" in text
    assert how in text.splitlines()[-1]


# -- modulators --------------------------------------------------------------------------------
def test_a_modulator_that_nobody_hears() -> None:
    lr = learner(signals.SYMMETRIC)
    refused = pytest.raises(etp.DataError, match=r"(?s)hears no modulator.*test_own.*leave")
    with refused:
        lr.grad(XS, YS, modulator=MODULATORS)
    with refused:
        lr.step(XS[0], YS[0], modulator=MODULATORS[0])
    with refused:
        lr.fit([(XS, YS, None, MODULATORS)], epochs=1)
    assert np.abs(lr.grad(XS, YS)[0]["w"]).max() > 0


@pytest.mark.parametrize(("signal", "shape", "how"), [
    (signals.Modulatory(), (STEPS, BATCH, 1), "there only"),
    (signals.Modulatory(per_group=True), (STEPS, BATCH), "each hidden group"),
])  # fmt: skip
def test_modulators_of_another_shape(signal: Any, shape: tuple[int, ...], how: str) -> None:
    with pytest.raises(etp.ShapeError, match=rf"(?s)modulator has shape.*test_own.*{how}"):
        learner(signal).grad(XS, YS, modulator=np.ones(shape))


def test_feedback_that_is_a_modulator() -> None:
    """The van Rossum error is not heard where the feedback is a modulator."""
    one = gradient(signals.VanRossum(feedback="modulatory"), modulator=MODULATORS)
    np.testing.assert_allclose(one, gradient(signals.Modulatory(), modulator=MODULATORS))
    assert np.abs(one).max() > 0.1


# -- adaptive feedback -------------------------------------------------------------------------
def test_the_distance_of_adaptive_feedback() -> None:
    """It fades in each step that is run, and weights set from outside leave it alone."""
    lr = learner(signals.Adaptive(decay=0.1))
    lr.grad(XS[:1], YS[:1])
    before = np.asarray(lr.rule_arrays["feedback.v"])
    lr.params = {**lr.params, "v": 10 * np.asarray(lr.params["v"])}
    np.testing.assert_array_equal(lr.rule_arrays["feedback.v"], before)
    lr.fit([(XS, YS)], epochs=1, update="sequence")
    np.testing.assert_allclose(lr.rule_arrays["feedback.v"], 0.9**STEPS * before, rtol=1e-12)
    assert np.abs(before).max() > 0.1
