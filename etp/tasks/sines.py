"""Pattern generation: sums of sines from a clock."""

from __future__ import annotations

import numpy as np

from .made import made
from .task import Array, Task, register

CYCLES = (1, 2, 3, 5)


@register
def sines(
    length: int = 30, outputs: int = 2, clock: int = 5, noise: float = 0.1, train: int = 256,
    test: int = 64, seed: int = 0,
) -> Task:  # fmt: skip
    r"""Return pattern generation: a fixed target, sums of four sines, is to be met at every step.

    .. math:: y_k^t = \sum_{c \in \{1, 2, 3, 5\}} a_{kc} \sin(2\pi c\,t/T + \varphi_{kc})

    with amplitudes between 0.5 and 2 and phases drawn once, scaled to mean 0 and variance 1 over
    the sequence; so chance is a mean squared error of 1. Inputs are a coarse clock: of ``clock``
    units one after the other is on, for the same number of steps each. Gaussian noise on the
    inputs is all that sequences differ in. Every step is judged.

    Nicola and Clopath, "Supervised learning in spiking neural networks with FORCE training",
    Nature Communications 2017; with a clock and e-prop in Bellec et al., Nature Communications
    2020.

    Parameters
    ----------
    length, outputs, clock
        Steps, curves to be drawn at once, and units of the clock.
    noise
        Standard deviation of the noise on each input.
    train, test
        Sequences to train on and to test on.
    seed
        What target and noise are drawn from.

    Raises
    ------
    TaskError
        If a number is too small: a sequence has at least 10 steps, two for each fastest cycle.
    """
    rng = np.random.default_rng([seed, 2])
    t = np.arange(length)[:, None, None] / max(length, 1)
    phase = rng.uniform(0, 2 * np.pi, (outputs, len(CYCLES)))
    waves = np.sin(2 * np.pi * np.array(CYCLES) * t + phase)
    target = (rng.uniform(0.5, 2.0, (outputs, len(CYCLES))) * waves).sum(axis=2)

    def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        curve = (target - target.mean(axis=0)) / target.std(axis=0)
        hand = np.eye(clock)[np.arange(length) * clock // length]
        xs = hand[:, None] + noise * rng.normal(size=(length, count, clock))
        return xs, np.repeat(curve[:, None], count, axis=1)

    least = {"length": (length, 2 * CYCLES[-1]), "outputs": (outputs, 1), "clock": (clock, 1),
             "noise": (noise, 0)}  # fmt: skip
    return made(
        "sines", draw, least, train, test, seed, n_out=outputs, judged=length, loss="mse"
    )  # fmt: skip
