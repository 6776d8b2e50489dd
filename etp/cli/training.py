"""The loop over epochs: train, measure, keep; it can be left and entered again at any batch."""

from __future__ import annotations

from time import monotonic
from typing import Any, Protocol

import numpy as np

from ..runs import Progress, RunFolder
from .interrupt import Stop
from .settings import Session

Row = dict[str, Any]


class Watcher(Protocol):
    """Who is told how training goes."""

    def batch(self, epoch: int, row: Row) -> None:
        """Hear of a batch."""

    def epoch(self, row: Row) -> None:
        """Hear of an epoch that is done."""


def train(
    session: Session, folder: RunFolder, done: Progress, watcher: Watcher, stop: Stop
) -> bool:
    """Train to the last epoch, and return whether it was reached; checkpoints are on disk.

    Raises
    ------
    KeyboardInterrupt
        If a second interrupt insists; what counts is then the last checkpoint.
    """
    config, learner = session.config, session.learner
    for epoch in range(len(done.epochs), config.epochs):
        began = monotonic() - done.seconds
        batches = session.batches(epoch, len(done.batches))

        def heard(row: Row, epoch: int = epoch) -> bool:
            done.batches.append({n: x for n, x in row.items() if n not in ("epoch", "batch")})
            watcher.batch(epoch, row)
            return stop.asked

        if len(batches) and not stop.asked:
            learner.fit(
                batches, session.optimizer, update=config.update, callback=heard, progress=False
            )
        if stop.insisted:
            raise KeyboardInterrupt
        if len(done.batches) < batches.total:
            done.seconds = monotonic() - began
            folder.save(learner.state_dict(), done)
            return False
        row = {"epoch": epoch + 1, **means("train", done.batches), **measure(session)}
        done.epochs.append({**row, "seconds": round(monotonic() - began, 3)})
        done.batches, done.seconds = [], 0.0
        folder.save(learner.state_dict(), done)
        watcher.epoch(done.epochs[-1])
    return True


def means(prefix: str, rows: list[Row]) -> Row:
    """Return the mean of every metric."""
    return {f"{prefix}_{name}": float(np.mean([row[name] for row in rows])) for name in rows[0]}


def measure(session: Session) -> Row:
    """Return loss and metrics on the test set, by the steps that the task is judged by."""
    learner, task = session.learner, session.task
    outputs = learner.backend.to_numpy(learner.predict(task.test.xs))
    return {f"test_{name}": value for name, value in task.score(outputs).items()}
