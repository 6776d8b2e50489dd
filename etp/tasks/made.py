"""Tasks whose sequences are drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .task import Array, Split, Task, TaskError

Draw = Callable[[np.random.Generator, int], tuple[Array, Array]]


def made(
    name: str, draw: Draw, least: Mapping[str, tuple[float, float]], train: int, test: int,
    seed: int, **kind: Any,
) -> Task:  # fmt: skip
    """Return a task of drawn sequences; those to test on do not depend on how many to train on.

    Parameters
    ----------
    draw
        Returns inputs (T, N, n) and targets (T, N, ...) of N sequences from a generator.
    least
        For each setting what it is, and the least that it may be.
    train, test, seed
        Sequences of each part, and what they are drawn from.
    kind
        Further attributes of the `Task`.

    Raises
    ------
    TaskError
        If a setting is too small.
    """
    for what, (value, bound) in {**least, "train": (train, 1), "test": (test, 1)}.items():
        if value < bound:
            raise TaskError(f"{name}: {what} is {value}; give at least {bound}")

    def part(index: int, count: int) -> Split:
        return _split(*draw(np.random.default_rng([seed, index]), count))

    return Task(name, "", part(0, train), part(1, test), **kind)


def _split(xs: Array, ys: Array) -> Split:
    whole = ys.dtype.kind in "iub"
    return Split(np.asarray(xs, np.float32), np.asarray(ys, np.int32 if whole else np.float32))
