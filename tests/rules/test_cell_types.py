"""Credit by types of cells: which weights it goes through, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp import xp
from tests.models import data
from tests.rules.test_battery import deviation, gradient, learner, oracle, square

LENGTH, BATCH = 5, 2


class Two(etp.Module):
    """Two recurrent layers of leaky units."""

    def __init__(self, rng):
        self.w = [etp.Param(rng.normal(size=s) * 0.6) for s in ((2, 4), (4, 3))]
        self.u = [etp.Param(rng.normal(size=(n, n)) * 0.6) for n in (4, 3)]
        self.a, self.b = etp.State((4,)), etp.State((3,))
        self.out = etp.nn.Linear(3, 2, rng=rng)

    def __call__(self, x):
        drive = etp.matmul(x, self.w[0]) + etp.matmul(xp.tanh(self.a.value), self.u[0])
        self.a.value = 0.7 * self.a.value + drive
        drive = etp.matmul(self.a.value, self.w[1]) + etp.matmul(xp.tanh(self.b.value), self.u[1])
        self.b.value = 0.6 * self.b.value + drive
        return self.out(self.b.value)


class Line(etp.Module):
    """A recurrent convolution."""

    def __init__(self, rng):
        self.kernel = etp.Param(rng.normal(size=(3, 1, 1)))
        self.h = etp.State((4, 1))

    def __call__(self, x):
        self.h.value = xp.tanh(0.5 * self.h.value + etp.conv(
            self.h.value, self.kernel, padding="SAME"
        ) + xp.sum(x))  # fmt: skip
        return xp.reshape(self.h.value, (4,))


class Fused(etp.Module):
    """One product that gives every unit a gate and a drive."""

    def __init__(self, rng):
        self.w, self.h = etp.Param(rng.normal(size=(5, 6))), etp.State((3,))

    def __call__(self, x):
        y = etp.matmul(xp.concat([x, self.h.value]), self.w)
        gate = 1 / (1 + xp.exp(-y[:3]))
        self.h.value = gate * self.h.value + (1 - gate) * xp.tanh(y[3:])
        return self.h.value


@pytest.mark.parametrize("model", ["rnn", "lif", "alif", "gru"])
@pytest.mark.parametrize("rule", ["mdgl", "mod_prop"])
def test_one_step_is_bptt(model, rule):
    worst = deviation(gradient(model, rule, length=1), oracle(model, 1))
    assert max(worst.values()) < 1e-9, worst


@pytest.mark.parametrize("chunk", [1, 2, 20])
def test_schedules_agree(chunk):
    step = gradient("lif", "mdgl", schedule="step")
    got = gradient("lif", "mdgl", schedule=chunk)
    assert max(deviation(got, step).values()) < 1e-10
    plain = gradient("lif", "d_rtrl", window=0)
    assert max(deviation(got, plain).values()) > 1e-6


def test_true_weights_over_two_steps_are_back_propagation():
    """With types of their own, one hop is all there is between two steps."""
    for rule in (etp.rules.MDGL(types=None), etp.rules.ModProp(types=None, taps=1)):
        net = Two(np.random.default_rng(0))
        x, y = data(2, BATCH)
        found = {}
        for r in (rule, "bptt", "d_rtrl"):
            options = {"window": 0} if r == "d_rtrl" else {}
            made = etp.compile(net, r, square, backend="numpy", dtype="float64", **options)
            found[str(r)] = made.grad(x, y, reduction="sum")[0]
        worst = deviation(found[str(rule)], found["bptt"])
        before = deviation(found["d_rtrl"], found["bptt"])
        # What the lower layer did before reaches the loss through the upper one.
        top = ("w.1", "u.1")
        assert max(worst[n] for n in top) < 1e-10
        assert max(before[n] for n in top) > 1e-4


def test_types_by_state():
    made = etp.compile(
        Two(np.random.default_rng(0)), etp.rules.MDGL(types={"a": [0, 0, 1, 1], "b": [0, 1, 1]}),
        square, backend="numpy", dtype="float64",
    )  # fmt: skip
    made.grad(*data(LENGTH, BATCH))
    assert made.rule_arrays["types.u.1.before"].tolist() == [[1, 0], [0, 1], [0, 1]]
    with pytest.raises(etp.ShapeError, match="no types are given for the units of 'b'"):
        etp.compile(
            Two(np.random.default_rng(0)), etp.rules.MDGL(types={"a": [0, 0, 1, 1]}), square,
            backend="numpy", example=(np.zeros(2), np.zeros(2)),
        )  # fmt: skip


def test_random_types_are_as_many():
    made = learner("lif", etp.rules.MDGL(types=3, seed=1))
    (name,) = [n for n in made.engine.last()[0].steps.shared if n.endswith("before")]
    made.grad(*data(2, 1))
    assert (np.asarray(made.rule_arrays[name]).sum(axis=0) == 1).all()


@pytest.mark.parametrize("rule", ["mdgl", "mod_prop"])
def test_what_has_no_types_is_refused(rule):
    example = (np.zeros(2), np.zeros(4))
    with pytest.raises(etp.ModelError, match="'kernel' is no dense product"):
        etp.compile(Line(np.random.default_rng(0)), rule, square, example=example, backend="numpy")
    with pytest.raises(etp.ModelError, match="no weight leads from units to units"):
        learner("lif_feedforward", rule)
    with pytest.raises(etp.ShapeError, match="types are given for 5"):
        learner("rnn", type(etp.rules.resolve(rule))(types=[0, 1, 0, 1, 1]))
    with pytest.raises(etp.ETPError, match="whole numbers"):
        type(etp.rules.resolve(rule))(types=[0.5, 1.0])


def test_what_a_scope_follows_is_not_handed_back_again():
    full = deviation(gradient("rnn", "mdgl", scope="full"), oracle("rnn"))
    assert max(full.values()) < 1e-9
    net, (x, y) = Two(np.random.default_rng(0)), data(2, BATCH)
    found = {}
    for rule in (etp.rules.MDGL(types=None), "bptt"):
        scope = {} if rule == "bptt" else {"scope": "coupled"}
        made = etp.compile(net, rule, square, backend="numpy", dtype="float64", **scope)
        found[str(rule)] = made.grad(x, y, reduction="sum")[0]
    got, want = found.values()
    worst = deviation(got, want)
    assert max(worst[n] for n in ("w.1", "u.1")) < 1e-10


def test_gates_have_no_powers():
    net, example = Fused(np.random.default_rng(0)), (np.zeros(2), np.zeros(3))
    with pytest.raises(etp.ModelError, match="takes powers"):
        etp.compile(net, "mod_prop", square, example=example, backend="numpy")
    made = etp.compile(net, "mdgl", square, backend="numpy")
    made.grad(np.ones((2, 1, 2)), np.ones((2, 1, 3)))
    assert made.rule_arrays["types.w.after"].shape == (6, 2)
