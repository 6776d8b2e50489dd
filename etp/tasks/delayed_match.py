"""Delayed match-to-sample: whether two stimuli, with a pause between them, are the same."""

from __future__ import annotations

import numpy as np

from .made import made
from .task import Array, Task, register


@register
def delayed_match(
    stimuli: int = 2, shown: int = 2, delay: int = 4, answer: int = 2, train: int = 1024,
    test: int = 256, seed: int = 0,
) -> Task:  # fmt: skip
    """Return delayed match-to-sample: a sample, a pause, and perhaps the sample again.

    Inputs are one unit per stimulus. Sample and second stimulus are shown for ``shown`` steps
    each, ``delay`` steps apart; in the ``answer`` steps after the second one the network is to
    say 1 if they were the same and 0 if not. Half of the sequences match, and neither stimulus
    alone tells anything: chance is a loss of log 2.

    Fuster and Alexander, "Neuron activity related to short-term memory", Science 1971; trained
    networks in Miconi, "Biologically plausible learning in recurrent neural networks reproduces
    neural dynamics observed during cognitive tasks", eLife 2017.

    Parameters
    ----------
    stimuli, shown, delay, answer
        Different stimuli, steps that each is shown for, steps of pause, steps to answer in.
    train, test
        Sequences to train on and to test on.
    seed
        What they are drawn from.

    Raises
    ------
    TaskError
        If a number is too small.
    """
    length = 2 * shown + delay + answer

    def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        match = rng.permutation(np.arange(count) % 2)
        sample = rng.integers(0, stimuli, count)
        second = (sample + (1 - match) * rng.integers(1, stimuli, count)) % stimuli
        xs = np.zeros((length, count, stimuli))
        xs[:shown] = np.eye(stimuli)[sample]
        xs[shown + delay : 2 * shown + delay] = np.eye(stimuli)[second]
        ys = np.full((length, count), -1)
        ys[-answer:] = match
        return xs, ys

    least = {"stimuli": (stimuli, 2), "shown": (shown, 1), "delay": (delay, 0),
             "answer": (answer, 1)}  # fmt: skip
    return made("delayed_match", draw, least, train, test, seed, n_out=2, judged=answer)
