"""How much is followed: every scope is what it says, and its price is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import etp
from tests.models import CELLS, DIAGONAL, data, marked
from tests.rules.test_battery import (
    LENGTH,
    QUICK,
    check_close,
    deviation,
    gradient,
    learner,
    oracle,
    product,
    square,
)  # fmt: skip

SCOPES = ("diagonal", "coupled", "sparse_n(2)", "sparse_n(4)", "layered", "full")
NO_FEEDBACK = (
    "rnn",
    "gru",
    "gru_before",
    "lstm",
    "two_layers",
    "leaky",
    "coupled",
    "masked",
    "alif",
)


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("model", marked(CELLS))
def test_full_is_bptt(model, window):
    got = gradient(model, "d_rtrl", scope="full", window=window)
    check_close(got, oracle(model), 1e-9)


@pytest.mark.parametrize("model", NO_FEEDBACK)
def test_layered_is_bptt_where_nothing_feeds_back(model):
    check_close(gradient(model, "d_rtrl", scope="layered", window=0), oracle(model), 1e-9)


def test_the_first_of_two_layers():
    worst = deviation(gradient("two_layers", "d_rtrl"), oracle("two_layers"))
    first = [n for n in worst if n.startswith("cell.first")]
    assert min(worst[n] for n in first) > 1e-3
    for scope in ("layered", "full"):
        check_close(gradient("two_layers", "d_rtrl", scope=scope), oracle("two_layers"), 1e-9)


@product(scope=SCOPES, rule=["d_rtrl", "pp_prop"], quick=("gru", "two_layers", "plain", "coupled"))
def test_one_step_is_bptt_under_every_scope(model, scope, rule):
    for window in (0, 1):
        got = gradient(model, rule, length=1, scope=scope, window=window)
        check_close(got, oracle(model, 1), 1e-9)


@product(scope=SCOPES[1:], tail=["diagonal", "exact"], quick=("gru_before", "lstm", "two_layers"))
def test_status_tells_the_truth_under_every_scope(model, scope, tail):
    for window in (0, 1):
        options = {"scope": scope, "tail": tail, "window": window}
        lr = learner(model, "d_rtrl", **options)
        worst = deviation(gradient(model, "d_rtrl", **options), oracle(model))
        for name, found in lr.report().parameters.items():
            if found.status == "exact":
                assert worst[name] < 1e-10, (name, found.reason, worst[name])
            else:
                assert worst[name] > 1e-8, (name, found.status, found.reason, worst[name])


@product(
    scope=["coupled", "sparse_n(2)", "layered", "full"], rule=["d_rtrl", "pp_prop"],
    quick=("gru", "two_layers"),
)  # fmt: skip
def test_schedules_agree_under_every_scope(model, scope, rule):
    for window in (0, 1, 3):
        options = {"scope": scope, "window": window}
        step = gradient(model, rule, length=7, schedule="step", **options)
        for chunk in (3, 20):
            got = gradient(model, rule, length=7, schedule=chunk, **options)
            check_close(got, step, 1e-10)


@pytest.mark.parametrize("model", ["gru", "lstm"])
def test_each_scope_comes_closer(model):
    """Following more is nearer to back-propagation here, and no two scopes are the same."""
    found = [
        max(deviation(gradient(model, "d_rtrl", scope=s, window=0), oracle(model)).values())
        for s in ("diagonal", "coupled", "sparse_n(2)")
    ]
    assert found[0] != found[1] != found[2]
    assert found[2] < 1e-9 < found[1]


@pytest.mark.parametrize("model", [m for m in QUICK if m not in DIAGONAL])
def test_backends_agree_under_full(model):
    pytest.importorskip("jax")
    from tests.models import build, data
    from tests.rules.test_battery import square

    x, y = data(LENGTH, 3)
    for schedule in ("step", "auto"):
        got = [
            etp.compile(
                build(model), "d_rtrl", square, backend=b, scope="full", schedule=schedule
            ).grad(x, y)[0]
            for b in ("numpy", "jax")
        ]
        check_close({n: np.asarray(g) for n, g in got[1].items()}, got[0], 1e-5)


def test_coupled_is_exact_for_self_connections():
    """Where weights join each unit to itself only, the block of each position is all there is."""
    from etp import xp
    from tests.rules.test_tails import both

    class Selves(etp.Module):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.w = etp.Param(rng.normal(size=(2, 2)))
            self.r = etp.Param(rng.normal(size=(2, 2)))
            self.own = np.eye(2)
            self.h = etp.State((2,))

        def __call__(self, x):
            drive = etp.matmul(x, self.w) + etp.matmul(self.h.value, self.own * self.r)
            self.h.value = xp.tanh(drive)
            return self.h.value

    for scope, status in (("diagonal", "approximate"), ("coupled", "exact")):
        lr, got, want = both(Selves(), scope=scope)
        assert lr.report().parameters["w"].status == status
        assert (deviation(got, want)["w"] < 1e-12) is (status == "exact")


@pytest.mark.parametrize("schedule", ["step", 3, "auto"])
def test_narrow_traces_under_every_schedule(schedule):
    """Traces kept narrowly change rounding and nothing else, also where a chunk hands them on."""
    wide = gradient("leaky", "d_rtrl", length=7, schedule=schedule)
    narrow = gradient("leaky", "d_rtrl", length=7, schedule=schedule, trace_dtype="float32")
    check_close(narrow, wide, 1e-5)


def test_scopes_are_checked():
    for text in ("sparse_n", "sparse_n(0)", "layerd", "full(2)", 3, "diagonal "):
        if text == "diagonal ":
            assert learner("leaky", "d_rtrl", scope=text).options.scope.name == "diagonal"
            continue
        with pytest.raises(etp.NotSupportedError, match="scope"):
            learner("leaky", "d_rtrl", scope=text)
    with pytest.raises(etp.NotSupportedError, match="tail"):
        learner("leaky", "d_rtrl", tail="exakt")
    with pytest.raises(etp.NotSupportedError, match="no meaning"):
        learner("leaky", "bptt", scope="diagonal")


def test_a_stream_keeps_its_scope():
    from tests.models import data

    x, y = data(2, 2)
    first = learner("rnn", "d_rtrl")
    first.step(x[0], y[0])
    for options in ({"scope": "coupled"}, {"scope": "full"}, {"tail": "exact"}):
        with pytest.raises(etp.ModelError, match="the stream was made by"):
            learner("rnn", "d_rtrl", **options).load_state_dict(first.state_dict())


class Wired(etp.Module):
    """Leaky units with few connections, as a sparse weight or a masked one."""

    def __init__(self, pairs, sparse):
        rng = np.random.default_rng(0)
        self.mask = np.zeros((4, 4))
        self.mask[tuple(zip(*pairs, strict=True))] = 1
        self.pattern = etp.sparse_pattern(csr_matrix(self.mask)) if sparse else None
        self.u = etp.Param(rng.normal(size=len(pairs) if sparse else (4, 4)))
        self.w, self.out = etp.Param(rng.normal(size=(2, 4))), etp.nn.Linear(4, 2, rng=rng)
        self.h = etp.State((4,))

    def __call__(self, x):
        h = self.h.value
        wired = (
            etp.sparse_matmul(h, self.u, sparse_mat=self.pattern) if self.pattern
            else etp.matmul(h, self.u * self.mask)
        )  # fmt: skip
        self.h.value = 0.5 * h + np.tanh(etp.matmul(x, self.w) + wired)
        return self.out(self.h.value)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(("pairs", "hops", "exact"), [
    ([(0, 1), (0, 2)], 1, {"u"}), ([(0, 1), (1, 2)], 1, set()), ([(0, 0), (1, 1)], 1, {"u", "w"}),
    ([(0, 1), (1, 2)], 2, {"u"}), ([(0, 1), (1, 2), (2, 3)], 2, set()),
    ([(0, 1), (2, 3)], 2, {"u", "w"}),
])  # fmt: skip
def test_a_weight_is_exact_where_what_it_acts_on_keeps_its_influence(sparse, pairs, hops, exact):
    x, y = data(5, 2)
    net, found = Wired(pairs, sparse), {}
    for rule in (f"snap({hops})", "bptt"):
        made = etp.compile(net, rule, square, backend="numpy", dtype="float64")
        found[rule] = made.grad(x, y)[0]
        if rule != "bptt":
            told = made.report().parameters
    worst = deviation(*found.values())
    for n in ("u", "w"):
        assert told[n].status == ("exact" if n in exact else "approximate")
        assert worst[n] < 1e-10 if n in exact else worst[n] > 1e-4
        assert np.abs(found["bptt"][n]).max() > 1e-3
