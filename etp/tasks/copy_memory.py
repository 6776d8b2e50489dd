"""Copy memory: repeat a few symbols after a pause."""

from __future__ import annotations

import numpy as np

from .made import made
from .task import Array, Task, register


@register
def copy_memory(
    symbols: int = 3, items: int = 2, delay: int = 4, train: int = 1024, test: int = 256,
    seed: int = 0,
) -> Task:  # fmt: skip
    """Return the copy task: symbols are shown, then nothing, then they are to be told in order.

    Inputs are one unit per symbol and a cue, which is on while the symbols are asked for. A
    sequence takes ``2 items + delay`` steps, of which the last ``items`` are judged. Whoever
    remembers nothing has a loss of log(symbols).

    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; in this form
    Arjovsky, Shah and Bengio, "Unitary evolution recurrent neural networks", ICML 2016.

    Parameters
    ----------
    symbols, items, delay
        Different symbols, symbols to remember, and steps of pause.
    train, test
        Sequences to train on and to test on.
    seed
        What they are drawn from.

    Raises
    ------
    TaskError
        If a number is too small.
    """
    length = 2 * items + delay

    def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        told = rng.integers(0, symbols, (items, count))
        xs = np.zeros((length, count, symbols + 1))
        xs[:items, :, :symbols] = np.eye(symbols)[told]
        xs[-items:, :, symbols] = 1
        ys = np.full((length, count), -1)
        ys[-items:] = told
        return xs, ys

    least = {"symbols": (symbols, 2), "items": (items, 1), "delay": (delay, 0)}
    return made("copy_memory", draw, least, train, test, seed, n_out=symbols, judged=items)
