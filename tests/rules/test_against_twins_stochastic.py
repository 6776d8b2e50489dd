"""Rules that draw random numbers, against hand-written scripts that meet the same draws."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from tests.rules.against import OUT, Case, M, check, mostly_slow
from tests.rules.drawn import normal, signs
from tests.rules.twins import leaky_tanh, low_rank, perturbation
from tests.rules.twins.dni import DNI
from tests.rules.twins.kernl import KeRNL
from tests.rules.twins.optimal_kronecker import OK

N = 4
PROBES = 1000  # the first stream of draws that belong to a sequence


def net() -> leaky_tanh.Net:
    made = leaky_tanh.Net.drawn(N, M, OUT, 0.6, seed=1)
    made.weights["w"] *= 0.7
    return made


def each_step(draw, *args):
    """Return what gives the draws of so many steps."""
    return lambda steps: np.array([draw(t, *args) for t in range(steps)])


def synthesiser(made) -> np.ndarray:
    return np.asarray(made.rule_arrays["synthesiser.A"])


def noise(sigma: float):
    return each_step(lambda t: sigma * normal(t, (N,)))


def both_signs(t: int) -> np.ndarray:
    return np.concatenate([signs(t, (1,), stream) for stream in (1, 2)])


def probes(count: int) -> np.ndarray:
    return normal(0, (count, N + M + 1, N), PROBES, per="sequence")


def kronecker_sum(e) -> np.ndarray:
    """Return the influence (k, j, i) that the pairs of factors stand for."""
    return np.einsum("cj,cik->kji", e["e_A.w.A"], e["e_B.w.h"])


CASES = {
    "uoro": Case(
        "uoro", lambda _: low_rank.UORO(), net, {"a": "e.s.h", "b": "e.theta.w"},
        each_step(signs, (N,)),
    ),
    "kf_rtrl": Case(
        "kf_rtrl", lambda _: low_rank.KFRTRL(), net,
        {"a": "e_A.w.A", "b": lambda e: e["e_B.w.h"].T}, each_step(both_signs),
    ),
    "r_kf_rtrl": Case(
        "r_kf_rtrl", lambda _: low_rank.RKFRTRL(), net,
        {"a": "e_A.w.A", "b": lambda e: e["e_B.w.h"].T}, each_step(signs, (N,)),
    ),
    **{
        f"ok({r})": Case(
            f"ok({r})", lambda _, r=r: OK(r), net, {"m": kronecker_sum},
            each_step(signs, (r + 1,)),
        )
        for r in (1, 2, 3)
    },
    "kernl": Case(
        "kernl(sigma=0.05, rate=0.5)", lambda _: KeRNL(N, 0.5), net,
        {
            **{n: f"e.{n}.h" for n in ("off", "omega", "gamma")},
            "b": "e.B.w.h", "a": "kernel.A", "alpha": "kernel.alpha",
        },
        noise(0.05),
    ),
    "dni": Case(
        etp.rules.DNI(etp.SyntheticGradient(rate=0.02, scale=0.1)),
        lambda made: DNI(synthesiser(made), 0.02), net,
        {"a": "synthesiser.A", "copy": "synthesiser.copy", "q": "signal.ell"},
    ),
    "node_perturbation": Case(
        "node_perturbation(sigma=0.01, decay=0.9)",
        lambda _: perturbation.NodePerturbation(0.01, 0.9), net, {"off": "e.off.h", "e": "e.E.w"},
        noise(0.01),
    ),
    "forward_gradient": Case(
        "forward_gradient(3)", lambda _: perturbation.ForwardGradient(probes(3)), net,
        {"s": "e.s.h"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_trace_entry_over_ten_steps(name):
    check(CASES[name])


@pytest.mark.parametrize("name", mostly_slow(list(CASES), ["uoro"]))
def test_trajectories_of_400_steps(name):
    check(CASES[name], lr=0.005, steps=400, tolerance=1e-9)
