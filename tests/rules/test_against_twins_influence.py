"""Rules on the influence of weights on states, against hand-written scripts: every trace entry."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp.rules.cet import CET
from etp.rules.mod_prop import ModProp
from etp.rules.rflo import RFLO
from tests.rules.against import OUT, Case, M, check, data
from tests.rules.homes import learner, near
from tests.rules.twins import (
    diagonal,
    eprop,
    influence,
    leaky_tanh,
    modulators,
    ostl,
    sketched,
    spiking,
    two_states,
    windows,
)

N = 4


def ring() -> np.ndarray:
    """A mask of `leaky_tanh` in which unit i acts on unit i + 1 alone."""
    mask = np.zeros((N + M + 1, N))
    mask[np.arange(N), (np.arange(N) + 1) % N] = 1
    mask[N:] = 1
    return mask


def tanh_net() -> leaky_tanh.Net:
    return leaky_tanh.Net.drawn(N, M, OUT, 0.6, seed=1)


def ring_net() -> leaky_tanh.Net:
    return leaky_tanh.Net.drawn(N, M, OUT, 0.6, seed=1, mask=ring())


def coupled_net() -> two_states.Net:
    rng = np.random.default_rng(0)
    weights = {
        "w_c": rng.normal(size=(M, N)), "w_h": rng.normal(size=(M, N)),
        "w_out": rng.normal(size=(N, OUT)), "b": rng.normal(size=OUT),
    }  # fmt: skip
    return two_states.Net(weights, rng.random(N), rng.random(N), 0.2)


def two_layers() -> ostl.Layers:
    return ostl.Layers.drawn(M, N, OUT, 0.6, seed=2)


def alif() -> spiking.Net:
    made = spiking.Net.drawn(N, M, OUT, seed=1, gamma=0.3)
    made.weights["w_in"] = np.abs(made.weights["w_in"])
    return made


BLOCKS = {f"{s}:{w}": f"e.{w}.{s}" for s in ("c", "h") for w in ("w_c", "w_h")}
SPIKING = {f"{s}:{w}": f"e.{w}.{s}" for s in ("v", "a") for w in ("w_in", "w_rec")}
OWN = {"e": "e.w.h"}
WHOLE = {"m": lambda e: np.moveaxis(e["e.w.h"], -1, 0)}

LAYERS = {
    f"eps{k}": lambda e, k=k: np.moveaxis(e[f"e.layers.{k}.w.layers.{k}.h"], -1, 0)
    for k in range(2)
}


def spread(own: np.ndarray) -> np.ndarray:
    """Return the influence (k, j, i) whose entries (j, i) on the unit itself are given."""
    return np.einsum("ji,ki->kji", own, np.eye(own.shape[1]))


def feedback(made) -> np.ndarray:
    return np.asarray(made.rule_arrays["feedback.w_out"])


def projections(made) -> list[np.ndarray]:
    """Return what each layer gets the target through, named after the weight that reads it."""
    return [np.asarray(made.rule_arrays[f"feedback.{n}"]) for n in ("layers.1.w", "w_out")]


def rewards(steps: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=steps)


CASES = {
    "d_rtrl": Case("d_rtrl", lambda _: diagonal.DRTRL(), tanh_net, OWN),
    "d_rtrl, two states": Case("d_rtrl", lambda _: two_states.Block(), coupled_net, BLOCKS),
    "d_rtrl, ALIF": Case("d_rtrl", lambda _: eprop.DRTRL(), alif, SPIKING),
    "d_rtrl, two layers": Case("d_rtrl", lambda _: ostl.OSTL(False), two_layers),
    "rtrl": Case("rtrl", lambda _: influence.RTRL(), tanh_net, WHOLE),
    "rtrl, two states": Case("rtrl", lambda _: two_states.Block(), coupled_net),
    "coupled": Case(
        "d_rtrl", lambda _: influence.SnAp1(), tanh_net, OWN, options={"scope": "coupled"}
    ),
    "pp_prop": Case(
        etp.rules.PPProp(decay=0.8), lambda _: diagonal.PPProp(0.8, 0.8), tanh_net,
        {"x": "e_x.w.x", "f": "e_f.w.h"},
    ),
    "pp_prop, two decays": Case(
        etp.rules.PPProp(0.7, 0.5), lambda _: diagonal.PPProp(0.7, 0.5), tanh_net,
        {"x": "e_x.w.x", "f": "e_f.w.h"},
    ),
    **{
        f"sparse_n({k})": Case(
            "d_rtrl", lambda _, k=k: influence.SnAp(k, ring()[:N].T), ring_net,
            options={"scope": f"sparse_n({k})"},
        )
        for k in (1, 2, 3, 4)
    },
    "sparse_rtrl": Case("sparse_rtrl", lambda _: influence.RTRL(), ring_net),
    "snap(2)": Case("snap(2)", lambda _: influence.SnAp(2, ring()[:N].T), ring_net),
    "rflo": Case("rflo", lambda made: diagonal.RFLO(feedback(made)), tanh_net, OWN),
    "rflo, symmetric": Case(
        RFLO(0.4, "symmetric"), lambda _: diagonal.RFLO(), tanh_net, OWN
    ),
    "three_factor": Case(
        "three_factor", lambda _: diagonal.ThreeFactor(), tanh_net, OWN, rewards, rewards
    ),
    "cet": Case(
        CET(order=3, delay=4.0), lambda _: diagonal.CET(3, 4.0), tanh_net,
        {"e": "e_z0.w.h", **{f"z{k}": f"e_z{k}.w.h" for k in (1, 2, 3, 4)}},
    ),
    **{
        f"mod_prop, {name}": Case(
            ModProp(types=types, taps=3, slope=0.5),
            lambda _, t=types: modulators.ModProp(None if t is None else np.array(t), 3, 0.5),
            tanh_net, {"e": "e.B0.w.h"},
        )
        for name, types in (("by type", [0, 0, 1, 1]), ("by weight", None))
    },
    "f_bptt": Case("f_bptt(3)", lambda _: windows.TBPTT(1, 3), tanh_net),
    "tbptt": Case("tbptt(2, 4)", lambda _: windows.TBPTT(2, 4), tanh_net),
    **{
        f"sk_rtrl({r})": Case(
            f"sk_rtrl({r})", lambda _, r=r: sketched.Sketched(r), tanh_net,
            {"bound": "e_bound.w.bound", "eta": "e_lost.w.lost"},
        )
        for r in (1, 2, 3)
    },
    "ostl_feedforward": Case(
        "ostl_feedforward", lambda _: ostl.OSTL(False), two_layers,
        {f"eps{k}": lambda e, k=k: spread(e[f"e.layers.{k}.w.layers.{k}.h"]) for k in range(2)},
    ),
    "ostl_recurrent": Case("ostl_recurrent", lambda _: ostl.OSTL(True), two_layers, LAYERS),
    "osttp": Case("osttp", lambda made: ostl.OSTL(True, projections(made)), two_layers, LAYERS),
}  # fmt: skip


# Its derivatives are those of the states met with the weights of now; the twin's are all of then.
FROZEN = {"f_bptt", "tbptt"}


@pytest.mark.parametrize("name", CASES)
def test_every_trace_entry_over_ten_steps(name):
    check(CASES[name])


@pytest.mark.parametrize("name", [n for n in CASES if n not in FROZEN])
def test_traces_of_ten_steps_of_learning(name):
    check(CASES[name], lr=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d_rtrl", "rflo", "rflo, symmetric", "cet", "rtrl"])
def test_trajectories_of_400_steps(name):
    check(CASES[name], lr=0.005, steps=400, tolerance=1e-9)


@pytest.mark.parametrize("net", [tanh_net, ring_net])
def test_bptt(net):
    made, (xs, ys) = net(), data()
    whole = learner(made, "bptt", xs, ys, window=1)
    found, *_ = whole.grad(xs[:, None], ys[:, None], reduction="sum")
    near(found["w"], leaky_tanh.bptt(made, xs, ys), 1e-10, "w")
