"""Rules of spiking networks against hand-written scripts: every trace entry, and trajectories."""

from __future__ import annotations

import numpy as np
import pytest

from etp.rules.eprop import EProp
from etp.rules.mdgl import MDGL
from etp.rules.otpe import OTPE
from etp.rules.ottt import OTTT
from etp.rules.s_tllr import STLLR
from etp.rules.sltt import SLTT
from tests.rules.against import OUT, Case, M, check, mostly_slow
from tests.rules.drawn import uniform
from tests.rules.twins import eprop, modulators, spatial, spiking, stacks

N = 4
SOME = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 1]], bool)
EVERYONE = np.ones((N, N), bool)


def neurons(**options) -> spiking.Net:
    made = spiking.Net.drawn(N, M, OUT, seed=1, **options)
    made.weights["w_in"] = np.abs(made.weights["w_in"])
    return made


def lif() -> spiking.Net:
    return neurons()


def sparse() -> spiking.Net:
    return neurons(connected=SOME * 1.0)


def alif() -> spiking.Net:
    return neurons(gamma=0.3)


def leaky() -> spiking.Net:
    return neurons(gamma=0.3, kappa=0.7)


def layers() -> stacks.Stack:
    made = stacks.Stack.drawn([M, 5, N], OUT, seed=3)
    for k in range(made.depth):
        made.weights[f"w{k}"] = np.abs(made.weights[f"w{k}"]) * 0.7
    return made


def eligibility(*, filtered: bool, adaptive: bool = False, rate: bool = False) -> dict:
    """Return where the package keeps what the twin of e-prop names."""
    found = {}
    trace = "e_eps" if filtered or rate else "e"
    for w in ("w_in", "w_rec"):
        # The package has one number per weight; the twin one per presynaptic neuron.
        found[f"zbar:{w}"] = lambda e, w=w: same_columns(e[f"{trace}.{w}.v"])
        if adaptive:
            found[f"used:{w}"] = f"{trace}.{w}.a"
        if filtered or rate:
            found[f"e:{w}"] = f"e_eps.{w}.v.emitted"
        if filtered:
            found[f"ebar:{w}"] = f"e_bar.{w}.v.emitted"
    if rate:
        found["rate"] = "e_f.w_in.v.emitted"
    return found


def same_columns(trace: np.ndarray) -> np.ndarray:
    np.testing.assert_array_equal(trace, trace[:, :1] + 0 * trace)
    return trace[:, 0]


def feedback(made) -> np.ndarray:
    return np.asarray(made.rule_arrays["feedback.w_out"])


def adapt(made, net: spiking.Net) -> None:
    """Give the home the weights of the way back, which the package keeps as a distance."""
    net.weights["feedback"] = net.weights["w_out"] + feedback(made)


def as_array(types) -> np.ndarray | None:
    return None if types is None else np.array(types)


def chosen(count: int, length: int) -> set[int]:
    """Return the steps that are taken: each with the chance left to it (Fan et al. 1962)."""
    found: set[int] = set()
    for t in range(length):
        if uniform(t, (), 1) * (length - t) < count - len(found):
            found.add(t)
    return found


def rewards(steps: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=steps)


CASES = {
    "eprop, LIF": Case(EProp(), lambda _: eprop.EProp(0.0), lif, eligibility(filtered=False)),
    "eprop, ALIF": Case(
        EProp(), lambda _: eprop.EProp(0.0), alif, eligibility(filtered=False, adaptive=True)
    ),
    "eprop, filter": Case(
        EProp(0.7), lambda _: eprop.EProp(0.7), leaky,
        eligibility(filtered=True, adaptive=True),
    ),
    "eprop, random": Case(
        EProp(0.7, "random"), lambda made: eprop.EProp(0.7, feedback(made)), leaky,
        eligibility(filtered=True, adaptive=True),
    ),
    "eprop, rate": Case(
        EProp(0.7, rate=0.3, target_rate=0.1, rate_decay=0.8),
        lambda _: eprop.EProp(0.7, rate=0.3, target_rate=0.1, rate_decay=0.8), alif,
        eligibility(filtered=True, adaptive=True, rate=True),
    ),
    "eprop, adaptive": Case(
        EProp(0.7, "adaptive"), lambda _: eprop.EProp(0.7), leaky,
        eligibility(filtered=True, adaptive=True), weights=("w_in", "w_rec", "w_out", "b"),
        prepare=adapt,
    ),
    "eprop, reward": Case(
        EProp(0.7, reward=0.8), lambda _: eprop.EProp(0.7, reward=0.8), leaky,
        eligibility(filtered=True, adaptive=True), rewards, rewards, weights=("w_in", "w_rec"),
    ),
    **{
        f"mdgl, {name}": Case(
            MDGL(types=types), lambda _, t=types: modulators.MDGL(as_array(t), EVERYONE), lif,
            {f"zbar:{w}": lambda e, w=w: same_columns(e[f"e.{w}.v"]) for w in ("w_in", "w_rec")},
        )
        for name, types in (("by type", [0, 0, 1, 1]), ("by weight", None))
    },
    **{
        f"mdgl, {name} synapses": Case(
            MDGL(types=[0, 0, 1, 1], local=local),
            lambda _, d=not local: modulators.MDGL(np.array([0, 0, 1, 1]), SOME, diffuse=d), sparse,
        )
        for name, local in (("over", True), ("beside", False))
    },
    "otpe": Case(
        OTPE(0.8, leaky_readout=False), lambda _: spatial.OTPE(leaky_readout=False), layers,
        {"R0": "e_R.layers.0.w.layers.0.v.emitted", "g1": "signal.slope.1"},
    ),
    "otpe, published": Case(
        OTPE(0.8, leaky_readout=True), lambda _: spatial.OTPE(), layers,
        {f"R{k}": f"e_R.layers.{k}.w.layers.{k}.v.emitted" for k in range(2)},
    ),
    "f-otpe": Case(
        OTPE(0.8, factorised=True, leaky_readout=True), lambda _: spatial.OTPE(factorised=True),
        layers,
        {f"{own}{k}": f"e_{own}.layers.{k}.w.{own}" for k in range(2) for own in ("x", "xx")},
    ),
    "ottt": Case(
        OTTT(leak=0.8), lambda _: spatial.OTTT(), layers,
        {f"a{k}": f"e_x.layers.{k}.w.x" for k in range(2)},
    ),
    "sltt": Case("sltt", lambda _: spatial.SLTT(), layers),
    "sltt, some steps": Case(
        SLTT(steps=4, length=10), lambda _: spatial.SLTT(chosen(4, 10)), layers
    ),
    "s_tllr": Case(
        STLLR(), lambda _: spatial.STLLR(), layers,
        {f"x{k}": f"e_xbar.layers.{k}.w.xbar" for k in range(2)},
    ),
    "s_tllr, later": Case(
        STLLR(0.4, 0.7, 0.3, 0.9, warmup=4),
        lambda _: spatial.STLLR(0.4, 0.7, 0.3, 0.9, warmup=4), layers,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_trace_entry_over_ten_steps(name):
    check(CASES[name])


# A reward releases the readout's gradients as well, which the home trains at once.
LEARNING = [n for n in CASES if n.startswith("eprop") and n != "eprop, reward"]


@pytest.mark.parametrize("name", mostly_slow(LEARNING, ["eprop, LIF"]))
def test_trajectories_of_400_steps(name):
    check(CASES[name], lr=2e-4, steps=400, tolerance=1e-9)
