"""What a task is: data already split, with the steps that count; and the registry of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ETPError, nearest

Array = np.ndarray[Any, Any]


class TaskError(ETPError, ValueError):
    """A task is unknown, or was asked for something that it does not have."""


@frozen(eq=False)
class Split:
    """Sequences with one label each.

    Attributes
    ----------
    xs
        Inputs (T, N, ...), time first.
    ys
        Labels (N,).
    """

    xs: Array
    ys: Array

    def __len__(self) -> int:
        return len(self.ys)


@frozen(eq=False)
class Task:
    """A task of naming each sequence.

    Attributes
    ----------
    name, by
        What the data are, and how they are read.
    train, test
        The fixed split.
    n_in, n_out, length
        Inputs per step, classes, and steps per sequence.
    """

    name: str
    by: str
    train: Split
    test: Split
    n_out: int

    @property
    def n_in(self) -> int:
        """Inputs per step."""
        return int(self.train.xs.shape[2])

    @property
    def length(self) -> int:
        """Steps per sequence."""
        return int(self.train.xs.shape[0])

    def mask(self, steps: int) -> Array:
        """Return the mask (T,) by which only the last steps carry the loss.

        Raises
        ------
        TaskError
            If there are fewer steps than that, or none is asked for.
        """
        if not 1 <= steps <= self.length:
            raise TaskError(f"{steps} steps cannot carry the loss; give 1 to {self.length}")
        return np.repeat([0.0, 1.0], [self.length - steps, steps])


_TASKS: dict[str, Callable[[str], Task]] = {}


def register(load: Callable[[str], Task]) -> Callable[[str], Task]:
    """Make a task available under the name of the function that loads it; a decorator."""
    _TASKS[load.__name__] = load
    return load


def available() -> list[str]:
    """Return the names of the tasks."""
    return sorted(_TASKS)


def load(name: str, by: str) -> Task:
    """Return a task by name, read in the given way.

    Raises
    ------
    TaskError
        If there is no task of the name, or it cannot be read like that.
    """
    found = _TASKS.get(name.lower())
    if found is None:
        raise TaskError(f"no task {name!r}{nearest(name, available())}")
    return found(by.lower())
