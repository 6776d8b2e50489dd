"""Rules that draw random numbers, against hand-written scripts that meet the same draws."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rules.against import OUT, Case, M, check
from tests.rules.drawn import signs
from tests.rules.twins import leaky_tanh, low_rank

N = 4


def net() -> leaky_tanh.Net:
    made = leaky_tanh.Net.drawn(N, M, OUT, 0.6, seed=1)
    made.weights["w"] *= 0.7
    return made


def each_step(draw, *args):
    """Return what gives the draws of so many steps."""
    return lambda steps: np.array([draw(t, *args) for t in range(steps)])


CASES = {
    "uoro": Case(
        "uoro", lambda _: low_rank.UORO(), net, {"a": "e.s.h", "b": "e.theta.w"},
        each_step(signs, (N,)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_trace_entry_over_ten_steps(name):
    check(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_trajectories_of_400_steps(name):
    check(CASES[name], lr=0.005, steps=400, tolerance=1e-9)
