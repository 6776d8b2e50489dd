"""Losses against direct formulas, eagerly and traced, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax

import etp.losses as losses
from etp_ir import ModelError, ShapeError, trace
from etp_ir import namespace as xp
from etp_ir.interpreter import evaluate
from etp_ir.transforms import batch_program, vjp
from etp_ir.types import F64, type_of
from etp_ir.verify import verify

RNG = np.random.default_rng(0)
OUT = 3 * RNG.normal(size=5)
TARGET = RNG.normal(size=5)
P = expit(OUT)
BITS = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
SOFT = np.full(5, 0.2)
LABEL = np.array(2, np.int32)

CASES: dict[str, Any] = {
    "softmax_cross_entropy": (OUT, LABEL, -log_softmax(OUT)[2]),
    "softmax_cross_entropy of probabilities": (OUT, SOFT, -np.mean(log_softmax(OUT))),
    "softmax_cross_entropy of positions": (
        np.stack([OUT, TARGET]), np.array([1, 4], np.int32),
        -(log_softmax(OUT)[1] + log_softmax(TARGET)[4]) / 2,
    ),
    "sigmoid_cross_entropy": (OUT, BITS, -np.mean(np.log(np.where(BITS > 0, P, 1 - P)))),
    "binary_cross_entropy": (P, BITS, -np.mean(np.log(np.where(BITS > 0, P, 1 - P)))),
    "mse": (OUT, TARGET, np.mean((OUT - TARGET) ** 2)),
    "l1": (OUT, TARGET, np.mean(np.abs(OUT - TARGET))),
    "huber": (OUT, TARGET, np.mean([
        e * e / 2 if e < 1 else e - 0.5 for e in np.abs(OUT - TARGET)
    ])),
}  # fmt: skip


def program_of(function: Any, output: Any, target: Any) -> Any:
    types = {"output": type_of(output), "target": type_of(target)}
    program, constants = trace(lambda output, target: function(output, target), types)
    verify(program)
    return program, constants


@pytest.mark.parametrize("case", list(CASES))
def test_value_and_gradient(case: str) -> None:
    output, target, expected = CASES[case]
    loss = losses.get(case.split()[0])
    np.testing.assert_allclose(loss(output, target), expected, rtol=1e-12)
    program, constants = program_of(loss, output, target)
    given = {"output": output, "target": target, **constants}
    np.testing.assert_allclose(evaluate(program, given)["output(0)"], expected, rtol=1e-12)
    grad = evaluate(vjp(program, ["output"]), {**given, "ct_0": np.ones(())})["grad(output)"]
    numeric = np.zeros_like(output)
    for i in np.ndindex(output.shape):
        step = np.zeros_like(output)
        step[i] = 1e-6
        numeric[i] = (loss(output + step, target) - loss(output - step, target)) / 2e-6
    assert np.abs(grad).max() > 1e-3
    np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-9)


def test_examples_of_a_batch_do_not_meet() -> None:
    outputs, labels = RNG.normal(size=(4, 5)), np.array([0, 4, -1, 2], np.int32)
    program, constants = program_of(losses.softmax_cross_entropy, outputs[0], labels[0])
    batched = batch_program(program, 4, {"output": 0, "target": 0})
    got = evaluate(batched, {"output": outputs, "target": labels, **constants})["output(0)"]
    one = [losses.softmax_cross_entropy(o, y) for o, y in zip(outputs, labels, strict=True)]
    np.testing.assert_allclose(got, one, rtol=1e-12)
    assert got[2] == 0


def test_extreme_outputs_stay_finite() -> None:
    extreme = np.array([800.0, -800.0, 0.0])
    assert losses.softmax_cross_entropy(extreme, np.array(1)) == 1600
    assert np.isfinite(losses.sigmoid_cross_entropy(extreme, np.array([0.0, 1.0, 1.0])))
    assert np.isfinite(losses.binary_cross_entropy(np.array([0.0, 1.0]), np.array([1.0, 0.0])))


def test_accuracy() -> None:
    accuracy = losses.get("softmax_cross_entropy").metrics["accuracy"]
    best = int(np.argmax(OUT))
    for target, expected in ((best, 1.0), ((best + 1) % 5, 0.0)):
        label = np.array(target, np.int32)
        assert accuracy(OUT, label) == expected
        assert accuracy(OUT, np.eye(5)[target]) == expected
        program, constants = program_of(accuracy, OUT, label)
        assert program.outputs[0].type == type_of(np.float64(0))
        result = evaluate(program, {"output": OUT, "target": label, **constants})
        assert result["output(0)"] == expected
    for name, output in (("sigmoid_cross_entropy", OUT), ("binary_cross_entropy", P)):
        share = losses.get(name).metrics["accuracy"](output, BITS)
        assert share == np.mean((OUT > 0) == (BITS > 0.5))
        assert 0 < share < 1


def test_names_functions_and_metrics() -> None:
    assert losses.get("MSE") is losses.get("mse")
    assert losses.get(losses.softmax_cross_entropy) is losses.get("softmax_cross_entropy")
    assert losses.get(losses.get("l1")).name == "l1"
    assert "mse" in losses.available()

    def own(output: Any, target: Any) -> Any:
        return xp.sum(output * target)

    assert losses.get(own).name == "own"
    assert not losses.get(own).metrics
    own.metrics = {"size": lambda o, t: xp.sum(o)}  # type: ignore[attr-defined]
    assert list(losses.get(own).metrics) == ["size"]
    assert losses.get(own)(OUT, TARGET) == np.sum(OUT * TARGET)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"did you mean 'softmax_cross_entropy'\?"):
        losses.get("softmax_crossentropy")


def test_targets_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"mse got an output f64\[5\] and a target f64\[3\]"):
        losses.mse(OUT, TARGET[:3])
    with pytest.raises(ShapeError, match="softmax_cross_entropy got an output"):
        losses.softmax_cross_entropy(OUT, TARGET[:3])
    with pytest.raises(ModelError, match="integer labels"):
        losses.softmax_cross_entropy(OUT, np.array(2.0))
    with pytest.raises(ShapeError, match="target of the shape of the output"):
        program_of(losses.mse, OUT, np.array(1.0))
    assert program_of(losses.mse, OUT, TARGET)[0].outputs[0].type.dtype is F64
