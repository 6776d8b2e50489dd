"""Synthetic gradients: what they are fitted to, what they are bound to, what they learn."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp.signals import SyntheticGradient
from etp.signals.fitting import samples
from tests.models import build, data
from tests.rules.against import data as home_data
from tests.rules.homes import LeakyTanh
from tests.rules.test_battery import square
from tests.rules.twins import leaky_tanh

LENGTH, BATCH = 6, 4


def made(model, rule, loss=square, **options):
    x, y = data(1, 1)
    return etp.compile(
        build(model), rule, loss, backend="numpy", dtype="float64", example=(x[0, 0], y[0, 0]),
        **options,
    )  # fmt: skip


def home(rule, **options):
    net = leaky_tanh.Net.drawn(4, 3, 2, 0.6, seed=1)
    return net, etp.compile(
        LeakyTanh(net), rule, "mse", backend="numpy", dtype="float64", **options
    )


def test_credit_is_what_back_propagation_hands_back():
    net, learner = home("bptt")
    xs, ys = home_data()
    found, credit = samples(learner, xs[:, None], ys[:, None])
    h, steps = np.zeros(4), []
    for x, y in zip(xs, ys, strict=True):
        steps.append(net.now(h, x, y))
        h = steps[-1].h
    delta, wanted = np.zeros(4), []
    for now, after in zip(reversed(steps), [None, *reversed(steps[1:])], strict=True):
        delta = now.q + (0 if after is None else after.J.T @ delta)
        wanted.append(delta)
    np.testing.assert_allclose(credit, wanted, rtol=0, atol=1e-12)
    states = [np.concatenate([now.h, now.target, [1]]) for now in reversed(steps)]
    np.testing.assert_allclose(found, states, rtol=0, atol=1e-12)
    assert np.abs(credit).max() > 1e-2


def test_a_fitted_synthesiser_predicts_the_gradient():
    """Of a sequence that repeats, credit is all but a function of the state."""
    x, y = data(LENGTH, BATCH)
    learner = made("gru", "bptt")
    signal = SyntheticGradient.fit(learner, x, y)
    rule = made("gru", etp.rules.DNI(signal=signal))
    want, got = learner.grad(x, y, reduction="sum")[0], rule.grad(x, y, reduction="sum")[0]
    # Credit was fitted to each loss over the size of the batch.
    a, b = (np.concatenate([g[n].ravel() for n in g if n.startswith("cell.")])
            for g in (want, {n: x * BATCH for n, x in got.items()}))  # fmt: skip
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    plain = made("gru", "dni").grad(x, y, reduction="sum")[0]
    assert cosine > 0.9
    assert 0.5 < np.linalg.norm(b) / np.linalg.norm(a) < 1.5
    assert not np.abs(plain["cell.b_rec"]).max() > np.abs(got["cell.b_rec"]).max()


def test_it_is_bound_to_loss_window_and_model():
    x, y = data(LENGTH, BATCH)
    signal = SyntheticGradient.fit(made("gru", "bptt", "mse"), x, y)
    made("gru", etp.rules.DNI(signal=signal), "mse")
    with pytest.raises(etp.ModelError, match="fitted for the loss 'mse'"):
        made("gru", etp.rules.DNI(signal=signal))
    with pytest.raises(etp.ModelError, match="fitted for window 0, and this one is 1"):
        made("gru", etp.rules.DNI(signal=signal), "mse", window=1)
    with pytest.raises(etp.ModelError, match="fitted for 3 states"):
        made("lstm", etp.rules.DNI(signal=signal), "mse")


def test_it_stays_as_it_was_fitted_unless_it_learns_on():
    x, y = data(LENGTH, BATCH)
    for rate in (0.0, 0.1):
        signal = SyntheticGradient.fit(made("gru", "bptt"), x, y, rate=rate)
        learner = made("gru", etp.rules.DNI(signal=signal))
        learner.grad(x, y)
        moved = np.abs(learner.rule_arrays["synthesiser.A"] - signal.weights).max()
        assert (moved > 1e-9) == (rate > 0)
        assert bool(learner.engine.last()[0].steps.kept) == (rate > 0)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_online_it_learns_the_credit_of_a_constant_task(backend):
    net = leaky_tanh.Net.drawn(4, 3, 2, 0.6, seed=3)
    xs, ys = np.full((3000, 2, 3), 0.3), np.full((3000, 2, 2), 0.2)
    rule = etp.rules.DNI(signal=SyntheticGradient(rate=0.05))
    learner = etp.compile(LeakyTanh(net), rule, "mse", backend=backend, dtype="float64")
    learner.grad(xs, ys, reduction="sum")
    now = net.now(np.zeros(4), xs[0, 0], ys[0, 0])
    for _ in range(3000):
        now = net.now(now.h, xs[0, 0], ys[0, 0])
    wanted = np.linalg.solve(np.eye(4) - now.J.T, now.q)
    a = np.asarray(learner.rule_arrays["synthesiser.A"])
    got = a @ np.concatenate([now.h, ys[0, 0], [1]])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_classes_are_unit_vectors():
    net = build("gru")
    learner = etp.compile(net, "dni", "softmax_cross_entropy", backend="numpy", dtype="float64")
    x, _ = data(LENGTH, BATCH)
    learner.grad(x, np.random.default_rng(0).integers(0, 2, (LENGTH, BATCH)))
    assert learner.rule_arrays["synthesiser.A"].shape == (3, 3 + 2 + 1)
    assert np.abs(learner.rule_arrays["synthesiser.A"]).max() > 0


def test_what_makes_no_sense_is_refused():
    with pytest.raises(etp.ETPError, match="at least 1"):
        SyntheticGradient(every=0)
    with pytest.raises(etp.ETPError, match="rate of SyntheticGradient"):
        SyntheticGradient(rate=-1.0)


def test_what_no_synthesiser_can_be_fitted_to():
    x, y = data(LENGTH, BATCH)
    with pytest.raises(etp.ModelError, match=r"(?s)to a learner, got GRU.*test_dni.*compile the"):
        SyntheticGradient.fit(etp.nn.GRUCell(2, 3, rng=np.random.default_rng(0)), x, y)
    with pytest.raises(etp.DataError, match=r"(?s)are not finite.*test_dni.*NaN in xs"):
        SyntheticGradient.fit(made("gru", "bptt", "mse"), x * np.nan, y)
