"""Every cell learns to remember: a cue shown once is named several steps later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp import nn

CUES, DELAY, UNITS, BATCH, UPDATES = 4, 5, 24, 32, 120
CHANCE, MARGIN = 1 / CUES, 0.3
Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def recall(rng: np.random.Generator, size: int, *, shown: bool = True) -> Arrays:
    """Return a cue at the first step, noise, and a signal to answer at the last, which counts."""
    length = DELAY + 2
    cue = rng.integers(CUES, size=size)
    xs = 0.1 * rng.normal(size=(length, size, CUES + 1))
    if shown:
        xs[0, np.arange(size), cue] += 1
    xs[-1, :, CUES] += 1
    mask = np.zeros(length)
    mask[-1] = 1
    return xs.astype(np.float32), np.repeat(cue[None], length, axis=0), mask


def accuracy_after_training(name: str, *, shown: bool = True) -> float:
    cell = nn.cells()[name](CUES + 1, UNITS, rng=0)
    width = cell(np.zeros(CUES + 1)).shape[0]
    learner = etp.compile(
        nn.Sequential(cell, nn.Linear(width, CUES, rng=1)), "d_rtrl", "softmax_cross_entropy",
        backend="numpy",
    )  # fmt: skip
    rng = np.random.default_rng(5)
    learner.fit(
        [recall(rng, BATCH, shown=shown) for _ in range(UPDATES)],
        optimizer=etp.optim.adam(1e-2), update="sequence",
    )  # fmt: skip
    xs, ys, _ = recall(np.random.default_rng(6), 500, shown=shown)
    return float((np.asarray(learner.predict(xs))[-1].argmax(axis=-1) == ys[-1]).mean())


@pytest.mark.parametrize("name", nn.cells())
@pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
def test_every_cell_learns_to_remember(name: str) -> None:
    assert accuracy_after_training(name) > CHANCE + MARGIN


def test_without_a_cue_there_is_nothing_to_remember() -> None:
    assert abs(accuracy_after_training("MiniGRUCell", shown=False) - CHANCE) < 0.08
