"""Shuffled batches whose order depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from attrs import define

from .task import Array, Split, TaskError


@define(eq=False, slots=False)
class Batches:
    """The batches of one epoch, ``(xs, ys, mask)``, from some batch on.

    Examples are drawn without replacement; the few that do not fill a batch wait for another
    epoch's order. As no generator is carried along, any place in a run can be returned to.

    Parameters
    ----------
    split
        What is drawn from.
    mask
        Steps that carry the loss, (T,).
    size
        Examples per batch.
    seed, epoch
        What the order depends on.
    start
        Batches of the epoch to leave out: those a run has seen before it was stopped.

    Raises
    ------
    TaskError
        If there are too few examples for one batch.
    """

    split: Split
    mask: Array
    size: int
    seed: int
    epoch: int
    start: int = 0

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.size <= len(self.split):
            raise TaskError(
                f"batches of {self.size} cannot be drawn from {len(self.split)} examples; "
                f"give a batch size from 1 to {len(self.split)}"
            )

    @property
    def total(self) -> int:
        """Batches in the whole epoch."""
        return len(self.split) // self.size

    def __len__(self) -> int:
        return max(0, self.total - self.start)

    @cached_property
    def order(self) -> Array:
        """Examples in the order in which they are drawn."""
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.split))

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        for k in range(self.start, self.total):
            chosen = self.order[k * self.size : (k + 1) * self.size]
            yield *self.split.take(chosen), self.mask
