"""Truncated back-propagation through time, against the unrolled sequence taken apart by lags."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import etp
from etp import xp
from etp.oracle import unrolled_shares
from tests.models import build, data
from tests.rules.test_battery import deviation, square

LENGTH, BATCH = 6, 2
QUICK, REST = ["gru", "lif+leaky", "early"], ["rnn", "lstm", "two_layers", "masked"]
MODELS = [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in REST)]


class Early(etp.Module):
    """The output reads the state before the step; the start is trained, another state is idle."""

    def __init__(self, rng):
        self.w = etp.Param(rng.normal(size=(5, 3)) * 0.7)
        self.out = etp.nn.Linear(3, 2, rng=rng)
        self.h = etp.State((3,), init=etp.Param(rng.normal(size=3)))
        self.idle = etp.State((3,))

    def __call__(self, x):
        y = self.out(self.h.value)
        self.idle.value = xp.tanh(etp.matmul(xp.concat([x, self.h.value]), self.w))
        self.h.value = 0.5 * self.h.value + self.idle.value
        return y


class Drawn(etp.Module):
    """An embedding, dropout on the way round, and a mean over the batch."""

    def __init__(self, rng, meet):
        self.meet = meet
        self.table = etp.Param(rng.normal(size=(4, 3)))
        self.w = etp.Param(rng.normal(size=(3, 3)))
        self.drop, self.out = etp.nn.Dropout(0.5), etp.nn.Linear(3, 2, rng=rng)
        self.h = etp.State((3,))

    def __call__(self, x):
        h = self.drop(self.h.value)
        drive = etp.embedding(x, self.table) + etp.matmul(h, self.w)
        if self.meet:
            drive = drive + 0.1 * etp.batch_mean(xp.sum(h * h))
        self.h.value = xp.tanh(drive)
        return self.out(self.h.value)


def made(model, rule, length=LENGTH, **options):
    x, y = data(1, 1)
    net = Early(np.random.default_rng(0)) if model == "early" else build(model)
    return etp.compile(
        net, rule, square, backend="numpy", dtype="float64", example=(x[0, 0], y[0, 0]),
        length=length, **options,
    )  # fmt: skip


def drawn(rule, meet, backend="numpy", **options):
    x = np.random.default_rng(0).integers(0, 4, (LENGTH, 3))
    net = Drawn(np.random.default_rng(1), meet)
    learner = etp.compile(net, rule, square, backend=backend, dtype="float64", **options)
    found = learner.grad(x, data(LENGTH, 3)[1], reduction="sum")[0]
    return {n: np.asarray(g) for n, g in found.items()}


@cache
def by_loss(model):
    """Return the exact gradient by [step of the loss][parameter][step of the weight's use]."""
    x, y = data(LENGTH, BATCH)
    compiled = made(model, "bptt").engine.last()[0]
    arrays = {**compiled.step.params, **compiled.step.states, **compiled.loss.constants}
    found = []
    for t in range(LENGTH):
        weights = np.zeros((LENGTH, BATCH))
        weights[t] = 1
        found.append(unrolled_shares(compiled.loss.program, arrays, {"x": x, "target": y}, weights))
    return found


def truncated(model, k1, k2):
    total = {}
    for t, shares in enumerate(by_loss(model)):
        end = min(t + k1 - 1 - t % k1, LENGTH - 1)
        for n, share in shares.items():
            total[n] = total.get(n, 0) + share[max(0, end - k2 + 1) : t + 1].sum(axis=0)
    return total


def close(got, want):
    worst = deviation(got, want)
    assert max(worst.values()) < 1e-10, worst


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 3), (2, 3), (3, 5), (2, 40), (4, 5)])
def test_rolling(model, k1, k2):
    got = made(model, etp.rules.TBPTT(k1, k2)).grad(*data(LENGTH, BATCH), reduction="sum")[0]
    close(got, truncated(model, k1, k2))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("horizon", [1, 3, 40])
def test_future_facing(model, horizon):
    got = made(model, f"f_bptt({horizon})").grad(*data(LENGTH, BATCH), reduction="sum")[0]
    close(got, truncated(model, 1, horizon))


@pytest.mark.parametrize("rule", ["tbptt(1, 6)", "tbptt(3, 9)", "f_bptt(6)"])
def test_what_steps_drew_is_met_again(rule):
    close(drawn(rule, False), drawn("bptt", False))


def test_means_over_the_batch_are_met_again():
    """No credit goes from one example's past to another's, as in RTRL with window 0."""
    got = drawn("tbptt(1, 6)", True)
    close(got, drawn("rtrl", True, window=0))
    assert max(deviation(got, drawn("bptt", True)).values()) > 1e-6


def test_on_jax():
    want = drawn("tbptt(4, 5)", True)
    close(drawn("tbptt(4, 5)", True, backend="jax"), want)


def test_steps_of_a_stream_are_those_of_the_sequence():
    x, y = data(LENGTH, BATCH)
    learner = made("gru", "tbptt(2, 3)")
    whole = learner.grad(x, y, reduction="sum")[0]
    total, seen = dict.fromkeys(whole, 0.0), []
    for t in range(LENGTH):
        learner.step(x[t], y[t])
        for n, g in learner.gradients.items():
            total[n] = total[n] + g * BATCH
        seen.append(float(np.abs(learner.gradients["cell.b_rec"]).max()))
    close(total, whole)
    assert [g > 0 for g in seen] == [False, True] * (LENGTH // 2)


def test_losses_after_the_last_block_count_where_the_sequence_ends():
    """Also where weights change in between: the pass at the end is that of the weights of then."""
    x, y = (a[:4] for a in data(LENGTH, BATCH))
    descent = etp.optim.sgd(0.1)
    fitted, streamed, last = (
        made("gru", rule, length=4) for rule in ("tbptt(3, 3)", "tbptt(3, 3)", "f_bptt(3)")
    )
    fitted.fit([(x, y)], optimizer=descent, update=1, progress=False)
    for t in range(3):
        streamed.step(x[t], y[t], optimizer=descent)
        last.step(x[t], y[t])
    last.params = streamed.params
    last.step(x[3], y[3], optimizer=descent)
    for n, w in fitted.params.items():
        np.testing.assert_allclose(w, last.params[n], rtol=1e-11, atol=1e-13)
        assert np.abs(w - streamed.params[n]).max() > 1e-6
    whole = made("gru", "tbptt(40, 40)").grad(*data(LENGTH, BATCH))[0]
    close(whole, made("gru", "bptt").grad(*data(LENGTH, BATCH))[0])


def test_what_would_lose_losses_is_refused():
    with pytest.raises(etp.ETPError, match="would leave losses out"):
        etp.rules.TBPTT(5, 3)
    with pytest.raises(etp.ETPError, match="integer of at least 1"):
        etp.rules.resolve("f_bptt(0)")
    with pytest.raises(etp.NotSupportedError, match="use window=0"):
        made("gru", "tbptt(2, 3)", window=1)
    with pytest.raises(etp.NotSupportedError, match="use window=0"):
        made("gru", "f_bptt", window=2)
