"""Twins of reward traces against forward views and derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from . import td
from .leaky_tanh import Net
from .rtrrl import ACTOR, CRITIC, RTRRL, SHARED

N, T = 4, 9


def chain() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    phis = rng.normal(size=(T + 1, N))
    phis[-1] = 0
    return phis, rng.normal(size=T)


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_true_online_td_is_the_online_lambda_return_algorithm(lam):
    phis, rewards = chain()
    rule = td.TrueOnline(N, 0.1, 0.9, lam)
    want = td.forward_view(phis, rewards, 0.1, 0.9, lam)
    for t in range(T):
        rule.step(phis[t], rewards[t], phis[t + 1])
        np.testing.assert_allclose(rule.w, want[t], atol=1e-12)
    assert np.abs(rule.w).max() > 1e-2


@pytest.mark.parametrize("kind", ["accumulating", "replacing", "dutch"])
def test_td_follows_the_online_forward_view_to_first_order(kind):
    phis, rewards = chain()
    phis = np.eye(N)[np.arange(T + 1) % N] if kind == "replacing" else phis
    phis[-1] = 0
    gaps = []
    for alpha in (1e-3, 1e-4):
        rule = td.TD(N, alpha, 0.9, 0.5, kind)
        for t in range(T):
            rule.step(phis[t], rewards[t], phis[t + 1])
        gaps.append(np.abs(rule.w - td.forward_view(phis, rewards, alpha, 0.9, 0.5)[-1]).max())
    if kind != "replacing":  # a replaced trace forgets the visit before
        assert gaps[1] < gaps[0] / 50
    assert gaps[0] > 0


def test_obgd_never_oversteps():
    phis, rewards = chain()
    for rule in (td.ObGD(N), td.AdaptiveObGD(N)):
        for t in range(T):
            before = rule.w
            delta = rule.step(phis[t], 10 * rewards[t], phis[t + 1])
            moved = np.abs(rule.w - before).sum()
            assert 0 < moved <= 1 / rule.kappa * 1.0001 * min(abs(delta), 1) + 1e-12


def loss_of(net: Net, xs: np.ndarray, action: int, eta: float) -> float:
    h = np.zeros(net.n)
    for x in xs:
        h = net.next(h, x)[2]
    y = h @ net.weights["w_out"] + net.weights["b"]
    return y[0] + eta * (y[1 + action] - np.log(np.exp(y[1:]).sum()))


def test_rtrrl_without_reward_traces_is_the_derivative():
    net = Net.drawn(3, 2, 4, 0.6, seed=0)
    xs = np.random.default_rng(1).normal(size=(4, 2))
    agent = RTRRL(net, 0.1, 0.9, {CRITIC: 0.5, ACTOR: 0.5, SHARED: 0.0}, eta=0.7)
    for x in xs:
        agent.observe(x)
        agent.choose(2)
    w, at = net.weights["w"], (1, 2)
    found = {}
    for sign in (1, -1):
        w[at] += sign * 1e-6
        found[sign] = loss_of(net, xs, 2, 0.7)
        w[at] -= sign * 1e-6
    np.testing.assert_allclose(agent.e["w"][at], (found[1] - found[-1]) / 2e-6, rtol=1e-6)
    before = net.weights["b"].copy()
    delta = agent.learn(1.0, None)
    assert delta == pytest.approx(1.0 - agent.out[0])
    np.testing.assert_allclose(net.weights["b"] - before, 0.1 * delta * agent.e["b"])
    assert np.abs(agent.e["b"]).max() > 1e-2
