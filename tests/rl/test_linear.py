"""Linear values, where every algorithm is known to the last digit."""

import numpy as np
import pytest

from etp import rl
from tests.rl import scripts
from tests.rl.models import LinearValue

GAMMA, LAM = 0.9, 0.7
DATA = scripts.episodes(0, 4, [5, 1, 12, 8])


def trained(agent, data=DATA):
    for features, rewards in data:
        for t, (x, r) in enumerate(zip(features, rewards, strict=True)):
            agent.predict(x)
            agent.update(r, t + 1 == len(rewards))
    return np.asarray(agent.params["w"])[:, 0]


def agent(rate, backend="numpy"):
    dtype = "float32" if backend == "jax" else "float64"
    return rl.TD(LinearValue(4), GAMMA, LAM, rate=rate, backend=backend, dtype=dtype)


def check(found, expected, tolerance=1e-11):
    assert np.abs(expected).min() > 1e-3  # it did learn
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["accumulating", "replacing", "dutch"])
def test_td_lambda_is_the_textbook(kind):
    data = [(np.where(np.abs(x) > 0.7, x, 0.0), r) for x, r in DATA]  # replacing needs zeros
    expected = scripts.td_lambda(data, GAMMA, LAM, 0.05, kind)
    check(trained(agent(rl.Fixed(rate=0.05, trace=kind)), data), expected)


def test_the_traces_differ():
    data = [(np.where(np.abs(x) > 0.7, x, 0.0), r) for x, r in DATA]
    found = [scripts.td_lambda(data, GAMMA, LAM, 0.05, k) for k in rl.TRACES]
    assert min(np.abs(a - b).max() for a, b in ((found[0], found[1]), (found[0], found[2]))) > 1e-3


def test_true_online_td_is_the_online_lambda_return_algorithm():
    """The forward view, recomputed from scratch after every step."""
    expected = scripts.online_lambda_return(DATA, GAMMA, LAM, 0.05)
    check(trained(agent(rl.TrueOnline(rate=0.05))), expected)
    assert np.abs(expected - scripts.td_lambda(DATA, GAMMA, LAM, 0.05, "accumulating")).max() > 1e-3


def test_with_weights_that_stay_the_errors_along_the_traces_add_up_to_the_forward_view():
    features, rewards = DATA[2]
    start = np.random.default_rng(1).standard_normal((4, 1))
    a = agent(rl.Fixed(rate=0.0))
    a.learner.params = {"w": start}
    total, z = np.zeros(4), np.zeros(4)
    errors = []
    for t, (x, r) in enumerate(zip(features, rewards, strict=True)):
        a.predict(x)
        if t:
            total = total + a.td_error * a.traces["w"][:, 0]
        a.update(r, t + 1 == len(rewards))
        z = GAMMA * LAM * z + x
        errors.append(a.td_error)
    total = total + a.td_error * z  # the end of the episode cleared the agent's own
    values = features @ start[:, 0]
    returns = scripts.lambda_returns(values, rewards, GAMMA, LAM)
    check(total, (returns - values) @ features)


def test_obgd_is_the_published_code():
    check(trained(agent(rl.ObGD(rate=1.0, kappa=2.0))), scripts.obgd(DATA, GAMMA, LAM, 1.0, 2.0))
    small = scripts.obgd(DATA, GAMMA, LAM, 0.01, 2.0)
    check(trained(agent(rl.ObGD(rate=0.01))), small)
    # In the second the bound is not met at every step, in the first it is.
    assert np.abs(small - scripts.td_lambda(DATA, GAMMA, LAM, 0.01, "accumulating")).max() < 1e-1


def test_adaptive_obgd_is_the_published_code():
    expected = scripts.adaptive_obgd(DATA, GAMMA, LAM, 1.0, 2.0, 0.999, 1e-8)
    check(trained(agent(rl.AdaptiveObGD())), expected, 1e-9)


def test_tidbd_is_the_published_loop():
    expected = scripts.tidbd(DATA, GAMMA, LAM, 0.05, 0.02)
    found = agent(rl.TIDBD(rate=0.05, meta=0.02))
    check(trained(found), expected)
    assert np.ptp(found.slots["beta"]["w"]) > 1e-3


@pytest.mark.parametrize(
    "rate", [0.05, rl.TrueOnline(rate=0.05), rl.AdaptiveObGD(), rl.TIDBD(rate=0.05)], ids=repr
)
def test_jax_agrees(rate):
    np.testing.assert_allclose(
        trained(agent(rate, "jax")), trained(agent(rate)), rtol=2e-4, atol=1e-5
    )


def walk(rng):
    """Yield (state, reward, done) of a walk over five states from the middle."""
    s = 2
    while 0 <= s < 5:
        before, s = s, s + (1 if rng.random() < 0.5 else -1)
        yield before, float(s == 5), not 0 <= s < 5


@pytest.mark.parametrize("rate", [0.02, rl.TrueOnline(rate=0.02)], ids=["fixed", "true online"])
def test_the_random_walk_is_predicted(rate):
    """Its values are 1/6 ... 5/6 (Sutton & Barto, example 6.2)."""
    a = rl.TD(LinearValue(5), 1.0, 0.5, rate=rate, backend="numpy", dtype="float64")
    rng, means = np.random.default_rng(0), np.zeros(5)
    for _ in range(500):
        for s, reward, done in walk(rng):
            a.predict(np.eye(5)[s])
            a.update(reward, done)
        means = 0.99 * means + 0.01 * np.asarray(a.params["w"])[:, 0]
    np.testing.assert_allclose(means, np.arange(1, 6) / 6, atol=0.06)


def test_an_episode_that_is_cut_off_goes_on_from_its_last_observation():
    x, last = DATA[0][0][:2]
    a = agent(0.1)
    a.learner.params = {"w": np.ones((4, 1))}
    a.predict(x)
    a.update(2.0, final=last)
    np.testing.assert_allclose(a.td_error, 2.0 + GAMMA * last.sum() - x.sum())
    assert not a.learner.stream
    assert not np.asarray(a.traces["w"]).any()
