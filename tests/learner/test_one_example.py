"""A model with statistics over the batch, trained on batches of one example, is warned of once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import etp


def net() -> etp.Module:
    rng = np.random.default_rng(0)
    return etp.nn.Sequential(etp.nn.GRUCell(3, 4, rng=rng), etp.nn.BatchNorm1d(4))


def data(size: int) -> Any:
    rng = np.random.default_rng(1)
    return rng.normal(size=(3, size, 3)), rng.normal(size=(3, size, 4))


def told(call: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if "ETP608" in str(w.message)]


@pytest.mark.parametrize("call", ["fit", "grad", "step"])
def test_one_warning_says_what_to_do(call: str) -> None:
    learner = etp.compile(net(), loss="mse", backend="numpy")
    xs, ys = data(1)
    run = {
        "fit": lambda: learner.fit([(xs, ys)] * 2, epochs=2),
        "grad": lambda: learner.grad(xs, ys),
        "step": lambda: learner.step(xs[0], ys[0]),
    }[call]
    (text,) = told(run)
    assert "GroupNorm" in text
    assert "larger batches" in text
    assert told(run) == []


def test_larger_batches_and_evaluation_are_not_warned_of() -> None:
    example = np.zeros(3), np.zeros(4)
    assert told(lambda: etp.compile(net(), loss="mse", backend="numpy", example=example)) == []
    learner = etp.compile(net(), loss="mse", backend="numpy")
    assert told(lambda: learner.grad(*data(2))) == []
    assert told(lambda: learner.predict(data(1)[0])) == []
    assert len(told(lambda: learner.grad(*data(1)))) == 1
