"""Actor-critic over recurrent networks, against a script of its own, and what agents promise."""

import pickle

import numpy as np
import pytest

import etp
from etp import NotSupportedError, rl, xp
from tests.rl import rtrrl, scripts
from tests.rl.models import Heads, Value, gru_heads, gru_value

RATES = {"critic": 0.05, "actor": 0.1, "shared": 0.03}
LAMBDAS = {"critic": 0.8, "actor": 0.6, "shared": 0.7}
EPISODES = scripts.episodes(3, 3, [9, 1, 14, 10])
NAMES = {"w_in": "w_in", "w_rec": "w_rec", "b": "b", "wv": "value.weight", "bv": "value.bias",
         "wp": "policy.weight", "bp": "policy.bias"}  # fmt: skip


class Tanh(etp.Module):
    def __init__(self, n_in=3, n=5, actions=3):
        rng = np.random.default_rng(4)
        self.w_in = etp.Param(0.7 * rng.standard_normal((n_in, n)))
        self.w_rec = etp.Param(0.5 * rng.standard_normal((n, n)))
        self.b = etp.Param(0.1 * rng.standard_normal(n))
        self.h = etp.State((n,))
        self.value = etp.nn.Linear(n, 1, rng=rng)
        self.policy = etp.nn.Linear(n, actions, rng=rng)

    def __call__(self, x):
        drive = etp.matmul(x, self.w_in, self.b) + etp.matmul(self.h.value, self.w_rec)
        self.h.value = xp.tanh(drive)
        return xp.concat([self.value(self.h.value), self.policy(self.h.value)])


def played(agent, episodes=EPISODES):
    actions, errors = [], []
    for xs, rewards in episodes:
        for t, (x, r) in enumerate(zip(xs, rewards, strict=True)):
            actions.append(agent.act(x))
            if t:
                errors.append(agent.td_error)
            agent.learn(r, t + 1 == len(rewards))
        errors.append(agent.td_error)
    return actions, errors


def actor(model=None, **options):
    given = {"backend": "numpy", "dtype": "float64", "rule": "rtrl",
             "rate": rl.Fixed(rate=RATES), "lam": LAMBDAS}  # fmt: skip
    return rl.ActorCritic(model or Tanh(), 3, 0.9, **{**given, **options})


@pytest.mark.parametrize(("eta", "entropy"), [(0.5, 0.0), (0.0, 0.0), (1.0, 0.02)])
def test_rtrrl_is_its_equations(eta, entropy):
    """All weights, actions and errors of 34 steps, RTRL at window 0 below."""
    agent = actor(window=0, eta=eta, entropy=entropy, seed=7)
    start = {k: np.array(agent.params[n]) for k, n in NAMES.items()}
    script = rtrrl.RTRRL(start, 0.9, LAMBDAS, eta, RATES, 7, entropy)
    actions, errors = rtrrl.run(script, EPISODES)
    found = played(agent)
    assert found[0] == actions
    np.testing.assert_allclose(found[1], errors, rtol=1e-9)
    for k, n in NAMES.items():
        assert np.abs(script.w[k] - start[k]).max() > 1e-3, k
        np.testing.assert_allclose(agent.params[n], script.w[k], rtol=1e-9, atol=1e-10)
    groups = {"value": "critic", "policy": "actor"}
    assert agent.groups == {n: groups.get(n.split(".")[0], "shared") for n in NAMES.values()}


def test_rules_and_lambdas_make_a_difference():
    settings = [{}, {"rule": "d_rtrl", "scope": "coupled"}, {"lam": 0.0}, {"rate": rl.ObGD()}]
    found = []
    for options in settings:
        agent = actor(**options)
        played(agent)
        found.append(np.asarray(agent.params["w_rec"]))
    for i, a in enumerate(found):
        assert all(np.abs(a - b).max() > 1e-4 for b in found[i + 1 :])


def test_the_norm_of_obgd_is_over_all_tensors():
    """One step on a recurrent model, the gradient taken from the learner below."""
    agent = rl.TD(gru_value(), 0.9, 0.8, rate=rl.ObGD(kappa=3.0), backend="numpy", dtype="float64")
    before = {n: np.array(x) for n, x in agent.params.items()}
    v = agent.predict(np.asarray([0.3, -1.0, 0.5]))
    g = {n: np.array(x) for n, x in agent.learner.gradients.items()}
    agent.update(2.0, True)
    delta = 2.0 - v
    norm = sum(np.abs(x).sum() for x in g.values())
    assert norm > 1.5 * max(np.abs(x).sum() for x in g.values())
    assert 3.0 * delta * norm > 1
    for n, x in agent.params.items():
        np.testing.assert_allclose(x, before[n] + delta * g[n] / (3.0 * delta * norm), rtol=1e-12)


def test_values_are_those_of_the_weights_of_now():
    """The value ahead, and the value after the update, by other learners with those weights."""
    agent = rl.TD(gru_value(), 0.9, 0.8, rate=0.1, backend="numpy", dtype="float64")
    x, y = np.asarray([0.3, -1.0, 0.5]), np.asarray([1.0, 0.2, -0.4])
    v = agent.predict(x)
    agent.update(1.5)
    state = agent.learner.state_dict()
    ahead = float(rl.TD(agent.learner, 0.9)._look(y))  # fresh stream: another value
    old = etp.compile(gru_value(), loss="mse", backend="numpy", dtype="float64")
    expected = float(old.predict(np.stack([x, y])[:, None])[1, 0, 0])
    new = agent.predict(y)
    np.testing.assert_allclose(agent.td_error, 1.5 + 0.9 * expected - v, rtol=1e-12)
    assert abs(new - expected) > 1e-3
    assert abs(ahead - expected) > 1e-3
    assert state["stream"]


def test_jax_and_numpy_agree():
    found = {}
    for backend in ("numpy", "jax"):
        agent = rl.ActorCritic(gru_heads(), 2, rate=rl.AdaptiveObGD(rate=0.1), backend=backend)
        found[backend] = (*played(agent), agent.params)
    assert found["jax"][0] == found["numpy"][0]
    np.testing.assert_allclose(found["jax"][1], found["numpy"][1], rtol=1e-3, atol=1e-4)
    for n, x in found["numpy"][2].items():
        np.testing.assert_allclose(found["jax"][2][n], x, rtol=1e-2, atol=1e-3)


def test_seeds_reproduce():
    first, again, other = (played(actor(seed=s)) for s in (1, 1, 2))
    assert first == again
    assert first[0] != other[0]


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("rate", [rl.AdaptiveObGD(), rl.TIDBD()], ids=["adaptive", "tidbd"])
def test_an_agent_goes_on_bit_for_bit(rate, pending):
    agent = actor(rate=rate)
    played(agent, EPISODES[:1])
    agent.act(EPISODES[0][0][0])
    if pending:
        agent.learn(0.5)
    state = agent.state_dict()
    other = actor(rate=rate, seed=99)
    other.load_state_dict(state)
    for a in (agent, other):
        if not pending:
            a.learn(0.5)
    assert played(agent) == played(other)
    for n, x in agent.params.items():
        np.testing.assert_array_equal(other.params[n], x)


def test_an_agent_pickles_between_steps():
    agent = actor(rate=rl.AdaptiveObGD())
    played(agent, EPISODES[:1])
    agent.act(EPISODES[0][0][0])
    agent.learn(0.5)
    other = pickle.loads(pickle.dumps(agent))
    assert played(agent) == played(other)


@pytest.mark.parametrize("rule", etp.rules.available())
@pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
def test_any_rule_serves_or_says_why_not(rule):
    cell = etp.nn.CTRNNCell(3, 4, rng=1)
    agent = rl.ActorCritic(Heads(cell, 4, 2, rng=2), 2, rate=rl.ObGD(), rule=rule,
                           entropy=0.01, backend="numpy")  # fmt: skip
    before = {n: np.array(x) for n, x in agent.params.items()}
    try:
        errors = played(agent, EPISODES[:1])[1]
    except NotSupportedError as error:
        assert len(str(error).splitlines()) > 1  # noqa: PT017
        return
    except etp.DataError as error:
        assert "modulator" in str(error)  # noqa: PT017
        return
    except etp.ShapeError as error:  # of a rule that projects targets; an agent has none
        assert "cannot be projected" in str(error)  # noqa: PT017
        return
    assert np.isfinite(errors).all()
    moved = {n for n, x in agent.params.items() if (np.asarray(x) != before[n]).any()}
    assert {"value.weight", "policy.weight"} <= moved
    assert any(n.startswith("cell.") for n in moved)


def test_a_learner_lends_its_rule_and_weights():
    learner = etp.compile(gru_value(), "pp_prop", "mse", backend="numpy", dtype="float64", window=0)
    before = {n: np.array(x) for n, x in learner.params.items()}
    agent = rl.TD(learner, 0.9, rate=0.1)
    assert agent.learner.options == learner.options
    agent.predict(np.ones(3))
    agent.update(1.0, True)
    assert all((np.asarray(x) == before[n]).all() for n, x in learner.params.items())
    assert any((np.asarray(x) != before[n]).any() for n, x in agent.params.items())


def test_continuous_actions():
    model = gru_heads(actions=4)
    agent = rl.ActorCritic(model, rl.Gaussian(2), rate=rl.ObGD(), backend="numpy", entropy=0.01)
    action = agent.act(np.ones(3))
    assert action.shape == (2,)
    before = np.array(agent.params["policy.weight"])
    agent.learn(1.0, True)
    assert np.abs(np.asarray(agent.params["policy.weight"]) - before).max() > 0


def test_a_gaussian_has_the_density_and_entropy_of_scipy():
    from scipy.stats import norm

    policy, y = rl.Gaussian(2), np.asarray([0.3, -1.0, 0.5, -0.2])
    parts = norm(y[:2], np.log1p(np.exp(y[2:])) + 1e-5)
    np.testing.assert_allclose(policy.log_probability(y, np.asarray([1.0, 0.1])),
                               parts.logpdf([1.0, 0.1]).sum())  # fmt: skip
    np.testing.assert_allclose(policy.entropy(y), parts.entropy().sum())


# -- mistakes --------------------------------------------------------------------------------
MISTAKES = {
    "no reward": (lambda a: (a.act(np.ones(3)), a.act(np.ones(3))), "no reward yet(.|\n)*learn"),
    "no observation": (lambda a: a.learn(1.0), "before the first observation"),
    "two rewards": (lambda a: (a.act(np.ones(3)), a.learn(1.0), a.learn(1.0)), "two rewards"),
    "nan": (lambda a: (a.act(np.ones(3)), a.learn(np.nan)), "reward is nan"),
    "output": (lambda a: actor(gru_heads()).act(np.ones(3)), r"shape \(3,\)(.|\n)*take \(4,\)"),
    "lambda": (lambda a: actor(lam=1.5), "from 0 to 1"),
    "lambdas": (lambda a: actor(lam={"critic": 0.5}), "critic, actor, shared"),
    "rates": (lambda a: (actor(rate={"critic": 0.1}).act(np.ones(3))), "group 'actor'"),
    "policy": (lambda a: rl.ActorCritic(Tanh(), "softmax"), "no policy(.|\n)*number of actions"),
    "batch": (lambda a: actor(batch_size=4), "one agent for each environment"),
    "trace": (lambda a: rl.ObGD(trace="dutch"), "accumulating"),
    "dutch": (lambda a: rl.Fixed(rate=RATES, trace="dutch"), "one number as rate"),
    "rule": (lambda a: rl.TD(a.learner, rule="rtrl"), "rule was given beside a learner"),
    "value": (lambda a: rl.TD(Tanh(), backend="numpy").predict(np.ones(3)), "width 1"),
    "offline": (lambda a: actor(rule="bptt").act(np.ones(3)), "cannot stream"),
    "state": (lambda a: a.load_state_dict({}), "not a state dict"),
    "update": (lambda a: a.load_state_dict(actor(rate=rl.ObGD()).state_dict()), "that of ObGD"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_say_what_where_and_how(case):
    do, text = MISTAKES[case]
    kinds = (etp.ModelError, NotSupportedError)
    with pytest.raises(kinds, match=text):
        do(actor())


# -- learning ----------------------------------------------------------------------------------
def t_maze(agent, rng, corridor):
    """A cue, a corridor, then a choice: right is the way of the cue. Return whether it was."""
    cue = int(rng.integers(2))
    for t in range(corridor + 2):
        x = np.zeros(4)
        x[cue if t == 0 else 2 if t <= corridor else 3] = 1.0
        action = agent.act(x)
        end = t == corridor + 1
        agent.learn((1.0 if action == cue else -1.0) if end else 0.0, end)
    return action == cue


@pytest.mark.parametrize("rule", ["rtrl", "d_rtrl"])
def test_a_cue_is_remembered(rule):
    """Without memory half of the choices are right."""
    model = Heads(etp.nn.GRUCell(4, 12, rng=0), 12, 2, rng=1)
    rates = {"critic": 0.1, "actor": 0.2, "shared": 0.1}
    agent = rl.ActorCritic(model, 2, 0.95, 0.8, rate=rates, rule=rule, backend="numpy")
    rng = np.random.default_rng(5)
    right = [t_maze(agent, rng, 2) for _ in range(300)]
    assert np.mean(right[-60:]) > 0.9


def test_a_value_that_needs_memory_is_predicted():
    """The reward comes three steps after the cue that announces it."""
    cell = etp.nn.LRUCell(2, 8, rng=0, r_min=0.8, max_phase=1.0)
    agent = rl.TD(Value(cell, 2, rng=1), 0.9, 0.9, rate=0.1, backend="numpy")
    rng, errors = np.random.default_rng(0), []
    for _ in range(400):
        cue = float(rng.integers(2))
        found = []
        for t in range(4):
            found.append(agent.predict(np.asarray([cue if t == 0 else 0.0, 1.0])))
            agent.update(cue if t == 3 else 0.0, t == 3)
        errors.append(np.abs(np.asarray(found) - cue * 0.9 ** np.arange(3, -1, -1)).max())
    assert np.mean(errors[-30:]) < 0.15 < 0.45 < np.mean(errors[:30])
