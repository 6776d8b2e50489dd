"""Training one network by one rule, with looks at its gradients in between."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count, islice, pairwise
from math import nan
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from attrs import define, evolve, field, frozen

from etp_ir.errors import ETPError

from ..compile import compile
from ..compiler.records import CompilationWarning
from ..learner import Learner
from ..model import Module
from ..optim import Optimizer
from ..rules import LearningRule
from ..tasks import Batches, Task
from .alignment import align
from .compare_result import Cost, Point, Run

Watch = Callable[[str, int, int, float], Any]


@frozen
class Contender:
    """A rule in a comparison.

    Attributes
    ----------
    label
        Name in tables.
    rule
        Anything `etp.compile` takes.
    options
        Further arguments of `etp.compile`, such as ``window``.
    """

    label: str
    rule: str | LearningRule | type[LearningRule]
    options: Mapping[str, Any] = field(factory=dict)


@frozen(eq=False)
class Setting:
    """What all rules of a comparison have in common.

    Attributes
    ----------
    task
        What is learned.
    build
        Returns the model with first weights drawn from a seed.
    points
        Numbers of updates after which a network is looked at; the first is 0.
    update, optimizer
        As `etp.Learner.fit` takes them.
    batch_size, loss_steps
        Sequences per batch, and steps at their end that carry the loss.
    options
        Further arguments of `etp.compile`.
    """

    task: Task
    build: Callable[[int], Module]
    points: tuple[int, ...]
    update: str | int
    optimizer: Optimizer
    batch_size: int
    loss_steps: int
    options: Mapping[str, Any]

    def learner(self, rule: Any, seed: int, **options: Any) -> Learner:
        """Return a fresh learner, compiled for the task, perhaps with further options.

        Raises
        ------
        etp.ETPError
            If the rule refuses the model.
        """
        return compile(
            self.build(seed), rule, self.task.loss, batch_size=self.batch_size, seed=seed,
            example=self.task.example, length=self.task.length, **{**self.options, **options},
        )  # fmt: skip

    def exact(self, seed: int) -> Learner:
        """Return a learner whose gradients are those of back-propagation through time."""
        kept = {n: x for n, x in self.options.items() if n in ("backend", "dtype")}
        return evolve(self, options=kept).learner("bptt", seed)

    def batches(self, seed: int) -> Iterator[Any]:
        """Yield batches for ever."""
        mask = self.task.mask(self.loss_steps)
        for epoch in count():
            yield from Batches(self.task.train, mask, self.batch_size, seed, epoch)

    def probe(self) -> tuple[Any, Any, Any]:
        """Return the batch on which gradients are compared: inputs, targets, mask."""
        return *self.task.test.batch(self.batch_size), self.task.mask(self.loss_steps)


class Stopped(Exception):
    """Whoever watches has asked to stop."""


@define
class Trial:
    """One training under way; `result` tells at any time what it has measured.

    Attributes
    ----------
    reference
        A learner of the same model whose gradient is exact.
    """

    contender: Contender
    setting: Setting
    seed: int
    reference: Learner
    learner: Learner = field(init=False)
    losses: list[float] = field(init=False, factory=list)
    points: list[Point] = field(init=False, factory=list)
    seconds: list[float] = field(init=False, factory=list)
    stopped: str | None = field(init=False, default=None)

    def run(self, watch: Watch | None) -> None:
        """Train to the end, or until the loss is no number any more.

        Raises
        ------
        etp.ETPError
            If the rule refuses the model; nothing has been measured then.
        Stopped
            If ``watch`` returns true.
        """
        chosen = self.contender
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CompilationWarning)
            self.learner = self.setting.learner(chosen.rule, self.seed, **chosen.options)
            self.look(0)
            data = self.setting.batches(self.seed)
            for before, after in pairwise(self.setting.points):
                try:
                    self.train(list(islice(data, after - before)), watch)
                except ETPError as error:
                    if not self.losses:
                        raise
                    self.stopped = str(error).splitlines()[0]
                    return
                self.look(after)

    def train(self, batches: list[Any], watch: Watch | None) -> None:
        """Train on some batches."""
        began = perf_counter()

        def heard(row: dict[str, Any]) -> Any:
            nonlocal began
            now = perf_counter()
            self.losses.append(row["loss"])
            self.seconds.append(now - began)
            stop = watch and watch(self.contender.label, self.seed, len(self.losses), row["loss"])
            began = perf_counter()
            return stop

        history = self.learner.fit(
            batches, self.setting.optimizer, update=self.setting.update, callback=heard,
            progress=False,
        )  # fmt: skip
        if history.interrupted:
            raise Stopped

    def look(self, update: int) -> None:
        """Measure the network on the test set, and its gradient against the exact one."""
        learner, reference, task = self.learner, self.reference, self.setting.task
        outputs = learner.backend.to_numpy(learner.predict(task.test.xs))
        reference.params = arrays(learner, learner.params)
        reference.buffers = {n: learner.buffers.get(n, x) for n, x in reference.buffers.items()}
        with undisturbed(learner), undisturbed(reference):
            reference.draws = learner.draws
            exact, got = (
                arrays(one, one.grad(*self.setting.probe())[0]) for one in (reference, learner)
            )
        self.points.append(Point(update, task.score(outputs), align(got, exact)))

    def result(self) -> Run:
        """Return what has been measured."""
        steady = self.seconds[1:]  # the first batch waits for the compiler
        pace = median(steady) / self.setting.task.length if steady else nan
        return Run(self.seed, tuple(self.losses), tuple(self.points), pace, self.stopped)

    def cost(self) -> Cost:
        """Return what a step costs, as far as one run can tell."""
        report = self.learner.report()
        traces = sum(p.trace_bytes for p in report.parameters.values())
        return Cost(
            report.flops_per_step, report.bytes_per_step, traces, self.result().seconds_per_step
        )


def arrays(learner: Learner, found: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays of a learner's backend as NumPy arrays."""
    return {n: np.asarray(learner.backend.to_numpy(x)) for n, x in found.items()}


@contextmanager
def undisturbed(learner: Learner) -> Iterator[None]:
    """Leave a learner as it was: without new random numbers, statistics and learned signals."""
    kept = {name: getattr(learner, name) for name in ("buffers", "draws")}
    try:
        yield
    finally:
        learner.__dict__.update(kept)
