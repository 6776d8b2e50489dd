"""Agents with reward traces against hand-written scripts, over trajectories of 400 steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import rl, xp
from tests.rules.homes import near
from tests.rules.twins import td
from tests.rules.twins.leaky_tanh import Net
from tests.rules.twins.rtrrl import ACTOR, CRITIC, RTRRL, SHARED

N, STEPS = 5, 400
GAMMA, LAM = 0.9, 0.7


class Linear(etp.Module):
    """A value that is linear in features, which are the state."""

    def __init__(self) -> None:
        self.w, self.phi = etp.Param(np.zeros((N, 1))), etp.State((N,))

    def __call__(self, x: Any) -> Any:
        self.phi.value = x
        return etp.matmul(self.phi.value, self.w)


RULES: dict[str, tuple[Any, Callable[[], td.TD]]] = {
    "accumulating": (0.02, lambda: td.TD(N, 0.02, GAMMA, LAM, "accumulating")),
    **{
        kind: (
            rl.Fixed(rate=0.02, trace=kind), lambda k=kind: td.TD(N, 0.02, GAMMA, LAM, k)
        )
        for kind in ("replacing", "dutch")
    },
    "true online": (rl.TrueOnline(rate=0.02), lambda: td.TrueOnline(N, 0.02, GAMMA, LAM)),
    "ObGD": (rl.ObGD(), lambda: td.ObGD(N, gamma=GAMMA, lam=LAM)),
    "adaptive ObGD": (
        rl.AdaptiveObGD(), lambda: td.AdaptiveObGD(N, gamma=GAMMA, lam=LAM)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_values_on_linear_features(name):
    rate, twin = RULES[name]
    made = twin()
    rng = np.random.default_rng(0)
    # Features that are zero or one, as replacing traces are meant for; an episode of 40 steps.
    phis = (rng.random((STEPS + 1, N)) < 0.4) * 1.0
    rewards = rng.normal(size=STEPS)
    agent = rl.TD(Linear(), GAMMA, LAM, rate=rate, backend="numpy", dtype="float64")
    size = 0.0
    for t in range(STEPS):
        agent.predict(phis[t])
        done = t % 40 == 39
        agent.update(rewards[t], done)
        delta = made.step(phis[t], rewards[t], phis[t + 1] * (not done))
        if done:
            made.end()
            near(agent.td_error, delta, 1e-9, f"error of step {t}")
            size = max(size, near(agent.params["w"][:, 0], made.w, 1e-9, f"weights at {t}"))
    assert size > 1e-2


class TwoHeads(etp.Module):
    """The leaky tanh network with a value and a policy, each a weight of its own."""

    def __init__(self, net: Net) -> None:
        w = net.weights
        self.w, self.alpha, self.h = etp.Param(w["w"].copy()), net.alpha, etp.State((net.n,))
        self.v, self.bv = etp.Param(w["w_out"][:, :1].copy()), etp.Param(w["b"][:1].copy())
        self.p, self.bp = etp.Param(w["w_out"][:, 1:].copy()), etp.Param(w["b"][1:].copy())

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        u = etp.matmul(xp.concat([h, x, np.ones(1)]), self.w)
        self.h.value = h = (1 - self.alpha) * h + self.alpha * xp.tanh(u)
        return xp.concat([etp.matmul(h, self.v, self.bv), etp.matmul(h, self.p, self.bp)])


@pytest.mark.parametrize("rule", ["rtrl", "d_rtrl"])
def test_an_actor_critic_on_a_recurrent_network(rule):
    net = Net.drawn(4, 3, 4, 0.6, seed=2)
    net.weights["w"] *= 0.5
    lam = {CRITIC: 0.5, ACTOR: 0.6, SHARED: 0.7}
    agent = rl.ActorCritic(
        TwoHeads(net), 3, GAMMA, lam, eta=0.7, rate=0.01, rule=rule, backend="numpy",
        dtype="float64", window=0,
    )  # fmt: skip
    # D-RTRL on this network is RFLO with the symmetric signal: the leak alone.
    twin = RTRRL(net, 0.01, GAMMA, lam, 0.7, exact=rule == "rtrl")
    rng = np.random.default_rng(1)
    xs = rng.normal(size=(STEPS + 1, 3))
    start = net.weights["w"].copy()
    for t in range(STEPS):
        action = agent.act(xs[t])
        twin.observe(xs[t])
        twin.choose(action)
        reward = float(action == (xs[t, 0] > 0))
        agent.learn(reward)
        twin.learn(reward, xs[t + 1])
    agent.act(xs[STEPS])  # completes the last transition
    got = agent.params
    near(got["w"], net.weights["w"], 1e-9, "w")
    near(np.concatenate([got["v"], got["p"]], axis=1), net.weights["w_out"], 1e-9, "heads")
    near(np.concatenate([got["bv"], got["bp"]]), net.weights["b"], 1e-9, "biases")
    assert np.abs(net.weights["w"] - start).max() > 1e-2
