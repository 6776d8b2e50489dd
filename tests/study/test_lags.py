"""Credit by lag: exact shares against finite differences, shares of rules against both."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import etp
from etp.study.lags import exact_shares, lag_profile, rule_shares
from tests.models import build, data

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
LENGTH, BATCH = 6, 2


def learner(model: str, rule: str, **options: object) -> etp.Learner:
    x, y = data(LENGTH, BATCH)
    return etp.compile(
        build(model), rule, "mse", backend="numpy", dtype="float64",
        example=(x[0, 0], y[0, 0]), **options,
    )  # fmt: skip


@pytest.mark.parametrize("model", ["gru", "two_layers"])
def test_exact_shares_add_up_to_bptt(model):
    x, y = data(LENGTH, BATCH)
    lr = learner(model, "bptt")
    mask = np.repeat([0.0, 1.0], [LENGTH - 1, 1])
    want = lr.grad(x, y, mask)[0]
    for name, share in exact_shares(lr, x, y).items():
        assert share.shape == (LENGTH, *want[name].shape)
        np.testing.assert_allclose(share.sum(0), want[name], rtol=0, atol=1e-13)


def test_an_exact_share_is_the_derivative_by_the_weights_of_that_step():
    """Change the weights at one step only, by hand, and look at the loss of the last."""
    x, y = data(4, 1)
    lr = learner("leaky", "bptt")
    shares = exact_shares(lr, x, y)
    p = {n: np.array(a) for n, a in lr.params.items()}

    def loss(moved: dict[str, np.ndarray], at: int) -> float:
        h = np.zeros(3)
        for t in range(4):
            q = moved if t == at else p
            h = np.tanh(h / (1 + np.exp(-q["cell.a"])) + x[t, 0] @ q["cell.w"])
        out = h @ q["readout.weight"] + q["readout.bias"]
        return float(((out - y[-1, 0]) ** 2).mean())

    for at in range(4):
        numeric = etp.oracle.finite_differences(lambda m, at=at: loss(m, at), p)
        for name, share in shares.items():
            np.testing.assert_allclose(share[at], numeric[name], rtol=0, atol=1e-7)
    assert min(np.abs(shares["cell.w"][t]).max() for t in range(4)) > 1e-3


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("model", ["leaky", "gru", "two_layers"])
def test_rtrl_has_the_exact_share_of_every_lag(model, window):
    profile = lag_profile(learner(model, "rtrl", window=window), *data(LENGTH, BATCH))
    assert [s.lag for s in profile.shares] == list(range(LENGTH))
    assert profile.rest < 1e-12
    for share in profile.shares:
        assert share.overall.reference > 1e-6
        assert share.overall.deviation < 1e-10


def test_the_shares_of_d_rtrl_on_a_plain_network_end_with_the_window():
    """Its transition is one weight product: nothing is followed further back than the window."""
    for window in (0, 1):
        profile = lag_profile(learner("rnn", "d_rtrl", window=window), *data(LENGTH, BATCH))
        for share in profile.shares:
            got = share.parameters["cell.gate.w_in"]
            assert got.reference > 1e-6
            assert (got.norm > 0) == (share.lag <= window)


def test_a_lag_can_be_asked_for_alone():
    lr = learner("gru", "pp_prop")
    some = lag_profile(lr, *data(LENGTH, BATCH), lags=[0, 4])
    every = lag_profile(lr, *data(LENGTH, BATCH))
    assert [s.lag for s in some.shares] == [0, 4]
    assert np.isnan(some.rest)
    assert every.rest < 1e-12
    assert some.shares[1].overall.deviation == every.shares[4].overall.deviation > 1e-3


def test_the_learner_is_left_as_it_was():
    lr = learner("gru", "d_rtrl")
    x, y = data(LENGTH, BATCH)
    before = lr.grad(x, y)[0]
    rule_shares(lr, x, y, [0, 1])
    assert not lr.stream
    for name, g in lr.grad(x, y)[0].items():
        np.testing.assert_array_equal(g, before[name])


def test_a_rule_that_keeps_nothing_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lr = learner("gru", "bptt")
    with pytest.raises(etp.NotSupportedError, match="keeps nothing between steps"):
        lag_profile(lr, *data(LENGTH, BATCH))
