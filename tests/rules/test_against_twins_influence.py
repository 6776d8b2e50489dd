"""Rules on the influence of weights on states, against hand-written scripts: every trace entry."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from tests.rules.against import OUT, Case, M, check, data
from tests.rules.homes import learner, near
from tests.rules.twins import diagonal, eprop, influence, leaky_tanh, ostl, spiking, two_states

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
    **{
        f"sparse_n({k})": Case(
            "d_rtrl", lambda _, k=k: influence.SnAp(k, ring()[:N].T), ring_net,
            options={"scope": f"sparse_n({k})"},
        )
        for k in (1, 2, 3, 4)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lr", [0.0, 0.02])
def test_every_trace_entry_over_ten_steps(name, lr):
    check(CASES[name], lr)


@pytest.mark.parametrize("net", [tanh_net, ring_net])
def test_bptt(net):
    made, (xs, ys) = net(), data()
    whole = learner(made, "bptt", xs, ys, window=1)
    found, *_ = whole.grad(xs[:, None], ys[:, None], reduction="sum")
    near(found["w"], leaky_tanh.bptt(made, xs, ys), 1e-10, "w")
