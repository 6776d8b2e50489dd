"""What a task is: sequences already split, with the steps that count; and the registry of tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ETPError, nearest

from .. import losses

Array = np.ndarray[Any, Any]


class TaskError(ETPError, ValueError):
    """A task is unknown, or was asked for something that it does not have."""


@frozen(eq=False)
class Split:
    """Sequences with their targets.

    Attributes
    ----------
    xs
        Inputs (T, N, ...), time first.
    ys
        One label for each sequence, (N,), which any of its steps may be asked for; or one target
        for each step, (T, N, ...).
    """

    xs: Array
    ys: Array

    def __len__(self) -> int:
        return int(self.xs.shape[1])

    @property
    def length(self) -> int:
        """Steps per sequence."""
        return int(self.xs.shape[0])

    @property
    def stepwise(self) -> bool:
        """Whether every step has a target of its own."""
        return self.ys.ndim > 1

    def take(self, chosen: Any) -> tuple[Array, Array]:
        """Return inputs (T, B, ...) and targets (T, B, ...) of some sequences."""
        if self.stepwise:
            return self.xs[:, chosen], self.ys[:, chosen]
        return self.xs[:, chosen], np.repeat(self.ys[None, chosen], self.length, axis=0)

    def batch(self, size: int | None = None) -> tuple[Array, Array]:
        """Return the first sequences as one batch; all of them unless told otherwise."""
        return self.take(slice(size))


@frozen(eq=False, slots=False)
class Task:
    """A task on sequences: naming them, naming some of their steps, or regression.

    Attributes
    ----------
    name, by
        What the data are, and how they are read.
    train, test
        The fixed split.
    n_out
        Classes, or numbers per step.
    loss
        Name of the loss, see `etp.losses`; whether targets are classes is the loss's to say.
    judged
        Steps at the end of each sequence by which it is judged. Where every step has a target of
        its own these are the ones that carry the loss; where one label holds for the sequence any
        number of its last steps may carry it.
    """

    name: str
    by: str
    train: Split
    test: Split
    n_out: int
    loss: str = "softmax_cross_entropy"
    judged: int = 1

    @property
    def n_in(self) -> int:
        """Inputs per step."""
        return int(self.train.xs.shape[2])

    @property
    def length(self) -> int:
        """Steps per sequence."""
        return self.train.length

    @property
    def title(self) -> str:
        """Name for people, with how the data are read if there are several ways."""
        return f"{self.name} by {self.by}" if self.by else self.name

    @property
    def classes(self) -> bool:
        """Whether steps are to be named, rather than numbers to be met."""
        return losses.get(self.loss).labels

    @property
    def example(self) -> tuple[Array, Array]:
        """One step of one sequence, ``(x, y)``, as `etp.compile` takes it."""
        xs, ys = self.train.batch(1)
        return xs[-1, 0], ys[-1, 0]

    @cached_property
    def chance(self) -> dict[str, float]:
        """Loss, and accuracy if there are classes, of the best constant answer on the test set.

        That is the frequency of each class, or the mean of each number, over the judged steps.
        """
        targets = self.test.batch()[1][-self.judged :].reshape(-1, *self.example[1].shape)
        if self.classes:
            share = np.bincount(targets.ravel(), minlength=self.n_out) / targets.size
            constant = np.log(np.maximum(share, 1e-12))
        else:
            constant = targets.mean(axis=0)
        answer = np.broadcast_to(constant, (len(targets), *constant.shape))
        return self.measure(answer, targets)

    def mask(self, steps: int | None = None) -> Array:
        """Return the mask (T,) by which only the last steps carry the loss.

        Parameters
        ----------
        steps
            Number of them; those by which sequences are judged unless told otherwise.

        Raises
        ------
        TaskError
            If there are fewer steps than that, or none is asked for.
        """
        steps = self.judged if steps is None else steps
        most = self.judged if self.train.stepwise else self.length
        if not 1 <= steps <= most:
            raise TaskError(f"{steps} steps cannot carry the loss; give 1 to {most}")
        return np.repeat([0.0, 1.0], [self.length - steps, steps])

    def score(self, outputs: Any, split: Split | None = None) -> dict[str, float]:
        """Return loss and metrics of outputs (T, N, ...) on a split, judged as the task is.

        Parameters
        ----------
        outputs
            What a model answers to all sequences of the split.
        split
            The test set by default.
        """
        part = slice(self.length - self.judged, None)
        return self.measure(np.asarray(outputs)[part], (split or self.test).batch()[1][part])

    def measure(self, outputs: Array, targets: Array) -> dict[str, float]:
        """Return mean loss and metrics of outputs (..., n_out) for their targets."""
        loss = losses.get(self.loss)
        answers = np.asarray(outputs, np.float64)
        found = {"loss": loss.function, **loss.metrics}
        return {name: float(np.mean(metric(answers, targets))) for name, metric in found.items()}


_TASKS: dict[str, Callable[..., Task]] = {}


def register(load: Callable[..., Task]) -> Callable[..., Task]:
    """Make a task available under the name of the function that loads it; a decorator."""
    _TASKS[load.__name__] = load
    return load


def available() -> list[str]:
    """Return the names of the tasks."""
    return sorted(_TASKS)


def load(name: str, by: str | None = None, **settings: Any) -> Task:
    """Return a task by name.

    Parameters
    ----------
    by
        How it is read, if there are several ways.
    settings
        Further arguments of the function that makes the task, such as its sizes.

    Raises
    ------
    TaskError
        If there is no task of the name, or it cannot be read like that, or has no such setting.
    """
    found = _TASKS.get(name.lower().replace("-", "_"))
    if found is None:
        raise TaskError(f"no task {name!r}{nearest(name, available())}")
    known = list(signature(found).parameters)
    if by and "by" not in known:
        raise TaskError(f"{found.__name__} is read in one way only; leave out how, {by!r}")
    for setting in settings:
        if setting not in known:
            raise TaskError(f"{found.__name__} has no setting {setting!r}{nearest(setting, known)}")
    return found(**({"by": by.lower()} if by else {}), **settings)
