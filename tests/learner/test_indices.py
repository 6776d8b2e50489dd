"""Indices in the data that an embedding has no row for are found before anything runs."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp

BACKENDS = ["numpy", "jax"]


class Words(etp.Module):
    """Two tables: a row of 5 words is looked up in a large one, its last word in a small one."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.large = etp.Param(rng.normal(size=(9, 2)))
        self.small = etp.Param(rng.normal(size=(4, 2)))
        self.h = etp.State((2,))

    def __call__(self, x: Any) -> Any:
        rows = etp.embedding(xp.reshape(x[:4], (2, 2)), self.large)  # large
        last = etp.embedding(x[4], self.small)  # small
        self.h.value = 0.5 * self.h.value + xp.sum(rows, axis=(0, 1)) + last
        return self.h.value


def words() -> Any:
    rng = np.random.default_rng(1)
    xs = rng.integers(0, 9, size=(3, 2, 5))
    xs[..., 4] %= 4
    return xs, rng.normal(size=(3, 2, 2))


def line_of(text: str) -> int:
    lines, first = inspect.getsourcelines(Words)
    (at,) = [i for i, line in enumerate(lines) if text in line]
    return first + at


CALLS = {
    "grad": lambda m, xs, ys: m.grad(xs, ys),
    "fit": lambda m, xs, ys: m.fit([(xs, ys)]),
    "predict": lambda m, xs, ys: m.predict(xs),
    "step": lambda m, xs, ys: [m.step(x, y) for x, y in zip(xs, ys, strict=True)],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("call", CALLS)
def test_an_index_out_of_range_is_named_with_the_line(backend: str, call: str) -> None:
    learner = etp.compile(Words(), loss="mse", backend=backend)
    for place, index, rows, text in ((1, 9, 9, "# large"), (4, 7, 4, "# small"), (2, -1, 9, "# l")):
        xs, ys = words()
        xs[2, 1, place] = index
        before = dict(learner.params)
        with pytest.raises(etp.DataError) as caught:
            CALLS[call](learner, xs, ys)
        message = str(caught.value)
        step = 0 if call == "step" else 2
        assert f"input x holds the index {index} (step {step}, example 1)" in message
        assert f"from 0 to {rows - 1}" in message
        assert f"test_indices.py:{line_of(text)} in Words.__call__" in message
        assert all(np.array_equal(before[n], learner.params[n]) for n in before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_indices_in_range_are_left_alone(backend: str) -> None:
    xs, ys = words()
    assert (xs[..., :4] > 3).any(), "indices that only the large table has"
    learner = etp.compile(Words(), loss="mse", backend=backend)
    grads, _ = learner.grad(xs, ys)
    assert all(np.abs(np.asarray(g)).max() > 0 for g in grads.values())


class Computed(etp.Module):
    """The index is computed, so that any integer of the input is right."""

    def __init__(self) -> None:
        self.w = etp.Param(np.ones((4, 2)))
        self.h = etp.State((2,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.5 * self.h.value + etp.embedding(x % 4, self.w)
        return self.h.value


def test_computed_indices_are_not_held_to_a_range() -> None:
    learner = etp.compile(Computed(), loss="mse", backend="numpy")
    assert learner.predict(np.full((2, 1), 11)).shape == (2, 1, 2)


def test_a_named_input_is_named() -> None:
    class Two(Computed):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x["word"]) + etp.embedding(x["tag"], self.w)

    learner = etp.compile(Two(), loss="mse", backend="numpy")
    xs = {"word": np.full((2, 1), 11), "tag": np.full((2, 1), 4, np.uint8)}
    with pytest.raises(etp.DataError, match=r"input x\.tag holds the index 4"):
        learner.predict(xs)
