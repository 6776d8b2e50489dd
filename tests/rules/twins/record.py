"""What a twin says about one step, and the loop that drives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass
class Record:
    """Traces after a step, the learning signal of the step, and the gradient of each weight."""

    traces: Arrays
    signal: Any
    grads: Arrays
    loss: float = 0.0
    weights: Arrays = field(default_factory=dict)

    def copied(self) -> Record:
        def copy(arrays: Arrays) -> Arrays:
            return {name: np.array(value) for name, value in arrays.items()}

        return Record(
            copy(self.traces), self.signal, copy(self.grads), self.loss, copy(self.weights)
        )


def drive(
    step: Callable[[int], Record], weights: Arrays, length: int, lr: float = 0.0
) -> list[Record]:
    """Call ``step(t)`` for each step; with ``lr``, descend its gradient in place after each."""
    records = []
    for t in range(length):
        record = step(t)
        for name, gradient in record.grads.items():
            weights[name] -= lr * gradient
        record.weights = weights
        records.append(record.copied())
    return records


def total(records: Sequence[Record], name: str) -> np.ndarray:
    """Return the gradient of one weight, summed over the steps."""
    return sum(record.grads[name] for record in records)
