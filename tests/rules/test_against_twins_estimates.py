"""OTPE and reward-based e-prop against hand-written scripts: every trace entry, every gradient."""

from __future__ import annotations

import numpy as np
import pytest

from etp.rules.eprop import EProp
from etp.rules.otpe import OTPE
from tests.rules.against import OUT, STEPS, Case, M, check
from tests.rules.twins import eprop, spatial, spiking, stacks

LEAK = 0.8


def layers() -> stacks.Stack:
    made = stacks.Stack.drawn([M, 5, 4], OUT, seed=3, leak=LEAK)
    for k in range(made.depth):
        made.weights[f"w{k}"] = np.abs(made.weights[f"w{k}"]) * 0.7
    return made


def alif() -> spiking.Net:
    made = spiking.Net.drawn(4, M, OUT, seed=1, gamma=0.3)
    made.weights["w_in"] = np.abs(made.weights["w_in"])
    return made


@pytest.mark.parametrize("lr", [0.0, 0.01])
@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("factorised", [True, False])
def test_otpe(factorised, readout, lr):
    slots = {"x": "x", "xx": "xx"} if factorised else {"R": "layers.{k}.v.emitted"}
    every = range(2 if readout else 1)  # nothing is left of past spikes of the last layer
    traces = {
        f"{slot}{k}": f"e_{slot}.layers.{k}.w." + end.format(k=k)
        for slot, end in slots.items() for k in every
    }  # fmt: skip
    rule = OTPE(LEAK, factorised, leaky_readout=readout)
    check(Case(rule, lambda _: spatial.OTPE(factorised, readout), layers, traces), lr)


def test_reward_based_e_prop():
    """Of the recurrent weights: the twin trains the readout by the loss alone."""
    rewards = np.random.default_rng(4).normal(size=STEPS)
    options = {"rate": 0.3, "target_rate": 0.1, "rate_decay": 0.8, "reward": 0.9}
    case = Case(
        EProp(0.7, **options), lambda _: eprop.EProp(0.7, **options), alif,
        {f"credit:{w}": f"reward.{w}" for w in ("w_in", "w_rec")},
        draws=lambda n: rewards[:n], modulators=lambda n: rewards[:n], weights=("w_in", "w_rec"),
    )  # fmt: skip
    check(case)
