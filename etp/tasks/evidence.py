"""Evidence accumulation: on which side there were more cues."""

from __future__ import annotations

import numpy as np

from .made import made
from .task import Array, Task, register


@register
def evidence(
    cues: int = 5, gap: int = 1, delay: int = 4, answer: int = 2, bias: float = 0.75,
    train: int = 1024, test: int = 256, seed: int = 0,
) -> Task:  # fmt: skip
    """Return evidence accumulation: cues left and right, a pause, then a turn to the richer side.

    Inputs are left, right, and a signal that is on while the decision is asked for. Each of the
    ``cues`` takes one step and ``gap`` steps of nothing. For each sequence a side is drawn, and
    each cue is on that side with probability ``bias``; the target is the side with more cues,
    0 for left and 1 for right, in the last ``answer`` steps. Chance is a loss of log 2.

    Morcos and Harvey, "History-dependent variability in population dynamics during evidence
    accumulation in cortex", Nature Neuroscience 2016; trained spiking networks in Bellec et al.,
    "A solution to the learning dilemma for recurrent networks of spiking neurons", Nature
    Communications 2020.

    Parameters
    ----------
    cues, gap, delay, answer
        Odd number of cues, steps after each, steps of pause, steps to answer in.
    bias
        Probability that a cue is on the side that was drawn.
    train, test
        Sequences to train on and to test on.
    seed
        What they are drawn from.

    Raises
    ------
    TaskError
        If a number is too small, or the number of cues is even.
    """
    length = cues * (1 + gap) + delay + answer

    def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        side = rng.permutation(np.arange(count) % 2)
        right = np.where(rng.random((cues, count)) < bias, side, 1 - side)
        xs = np.zeros((length, count, 3))
        xs[: cues * (1 + gap) : 1 + gap, :, :2] = np.eye(2)[right]
        xs[-answer:, :, 2] = 1
        ys = np.full((length, count), -1)
        ys[-answer:] = 2 * right.sum(axis=0) > cues
        return xs, ys

    least = {"cues": (cues, 1), "gap": (gap, 0), "delay": (delay, 0), "answer": (answer, 1),
             "remainder of cues divided by 2": (cues % 2, 1)}  # fmt: skip
    return made("evidence", draw, least, train, test, seed, n_out=2, judged=answer)
