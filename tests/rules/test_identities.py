"""Identities between rules, to 1e-9: where two rules are one, and where they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import rules
from tests.models import DIAGONAL, build
from tests.models import data as model_data
from tests.rules.against import data
from tests.rules.homes import learner
from tests.rules.twins import leaky_tanh, spiking, stacks

M, N, OUT, LENGTH = 3, 5, 2, 12
LEAK = 0.8
Gradients = dict[str, np.ndarray]


def tanh_net(mask: np.ndarray | None = None) -> leaky_tanh.Net:
    return leaky_tanh.Net.drawn(N, M, OUT, 0.6, seed=1, mask=mask)


def ring() -> leaky_tanh.Net:
    """Unit i acts on unit i + 1 alone, so that N - 1 further steps reach every unit."""
    mask = np.zeros((N + M + 1, N))
    mask[np.arange(N), (np.arange(N) + 1) % N] = 1
    mask[N:] = 1
    return tanh_net(mask)


def lif() -> spiking.Net:
    """A recurrent layer: v' = leak v + x W - threshold z, the reset detached."""
    return spiking.Net.drawn(N, M, OUT, seed=1, beta=LEAK)


def alif() -> spiking.Net:
    made = spiking.Net.drawn(N, M, OUT, seed=1, gamma=0.3, beta=LEAK)
    made.weights["w_in"] = np.abs(made.weights["w_in"])
    return made


def layer() -> stacks.Stack:
    return stacks.Stack.drawn([M, N], OUT, seed=3, leak=LEAK)


def two_layers() -> stacks.Stack:
    return stacks.Stack.drawn([M, N, N], OUT, seed=3, leak=LEAK)


def gradient(net: Any, rule: Any, **options: Any) -> Gradients:
    """Return the summed gradient of a home model over a sequence of three examples."""
    spikes = not hasattr(net, "alpha")
    pairs = [data(spikes, LENGTH) for _ in range(3)]
    xs, ys = (np.stack([np.roll(p[k], i, 0) for i, p in enumerate(pairs)], 1) for k in (0, 1))
    made = learner(net, rule, xs[:, 0], ys[:, 0], **options)
    modulated = {"modulator": np.ones(LENGTH)} if made.options.rule.modulated else {}
    return made.grad(xs, ys, reduction="sum", **modulated)[0]


def of_model(name: str, rule: Any, length: int = 8, **options: Any) -> Gradients:
    x, y = model_data(length, 2)
    made = etp.compile(
        build(name), rule, "mse", backend="numpy", dtype="float64", example=(x[0, 0], y[0, 0]),
        length=length, **options,
    )  # fmt: skip
    return made.grad(x, y, reduction="sum")[0]


def distance(got: Gradients, want: Gradients) -> float:
    """Return the largest difference, relative to the size of the gradient."""
    assert set(got) == set(want)
    scale = max(np.abs(g).max() for g in want.values())
    assert scale > 1e-3, "nothing is compared"
    assert all(np.abs(g).max() > 1e-9 for g in want.values()), "a parameter is dead"
    return max(float(np.abs(got[n] - want[n]).max() / scale) for n in want)


SPIKING_NETS: dict[str, Callable[[], Any]] = {"lif": lif, "alif": alif, "stack": two_layers}
NETS: dict[str, Callable[[], Any]] = {"tanh": tanh_net, "ring": ring, **SPIKING_NETS}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", [rules.EProp(), rules.RFLO(feedback="symmetric"),
                                  rules.OSTLFeedforward()], ids=lambda r: r.name)  # fmt: skip
def test_unfiltered_and_symmetric_is_d_rtrl(net, rule):
    """E-prop with kappa 0; RFLO that takes the model's transition; OSTL without H."""
    d_rtrl = gradient(NETS[net](), "d_rtrl", window=0)
    assert distance(gradient(NETS[net](), rule), d_rtrl) < 1e-9


@pytest.mark.parametrize("kappa", [0.3, 0.9])
def test_a_filter_makes_a_difference(kappa):
    found = gradient(alif(), rules.EProp(kappa))
    assert distance(found, gradient(alif(), "d_rtrl", window=0)) > 1e-3


@pytest.mark.parametrize("feedback", ["random", "sign", "adaptive", "direct"])
def test_feedback_makes_a_difference(feedback):
    found = gradient(tanh_net(), rules.RFLO(feedback=feedback))
    assert distance(found, gradient(tanh_net(), "d_rtrl", window=0)) > 1e-3


def test_rflo_with_the_leak_of_the_units_is_d_rtrl():
    d_rtrl = gradient(tanh_net(), "d_rtrl", window=0)
    right = rules.RFLO(leak=1 - 0.6, feedback="symmetric")
    wrong = rules.RFLO(leak=0.5, feedback="symmetric")
    assert distance(gradient(tanh_net(), right), d_rtrl) < 1e-9
    assert distance(gradient(tanh_net(), wrong), d_rtrl) > 1e-3


@pytest.mark.parametrize("net", NETS)
def test_snap_1_is_coupled(net):
    coupled = gradient(NETS[net](), "d_rtrl", window=0, scope="coupled")
    assert distance(gradient(NETS[net](), "snap(1)"), coupled) < 1e-9


@pytest.mark.parametrize("net", ["tanh", "ring", "lif", "alif", "stack"])
def test_snap_as_wide_as_the_graph_is_rtrl(net):
    exact = gradient(NETS[net](), "rtrl")
    steps = {"tanh": 2, "ring": N, "lif": 2, "alif": 3, "stack": 3}[net]
    assert distance(gradient(NETS[net](), f"snap({steps})"), exact) < 1e-9
    assert distance(gradient(NETS[net](), "sparse_rtrl"), exact) < 1e-9
    assert distance(gradient(NETS[net](), "bptt", window=1), exact) < 1e-9


def test_snap_comes_to_rtrl_at_the_diameter_only():
    exact = gradient(ring(), "rtrl")
    off = [distance(gradient(ring(), f"snap({n})"), exact) for n in range(1, N + 1)]
    assert min(off[:-1]) > 1e-7
    assert off[-1] < 1e-9


def test_sparse_rtrl_keeps_no_zeros():
    """Of a chain, unit i is never reached by the weights of units after it."""
    mask = np.zeros((N + M + 1, N))
    mask[np.arange(N - 1), np.arange(1, N)] = 1
    mask[N:] = 1
    net = tanh_net(mask)
    assert distance(gradient(net, "sparse_rtrl"), gradient(net, "rtrl")) < 1e-9
    xs, ys = data(length=LENGTH)
    sizes = {}
    for rule in ("sparse_rtrl", "rtrl"):
        made = learner(net, rule, xs, ys)
        made.step(xs[0][None], ys[0][None])
        sizes[rule] = {name: e.size for name, e in made.traces.items()}
    assert sum(sizes["sparse_rtrl"].values()) <= sum(sizes["rtrl"].values())


ALIKE = ["d_rtrl", "snap(1)", "snap(3)", "ostl_recurrent", "ostl_feedforward", "rtrl", "eprop",
         "sparse_rtrl"]  # fmt: skip


@pytest.mark.parametrize("model", ["indrnn", *DIAGONAL])
@pytest.mark.parametrize("rule", ALIKE)
def test_on_element_wise_recurrences_they_are_one(model, rule):
    exact = of_model(model, "bptt", window=1)
    assert distance(of_model(model, rule, window=0), exact) < 1e-9


@pytest.mark.parametrize("net", [lif, layer], ids=["recurrent", "feed-forward"])
@pytest.mark.parametrize("rule", [rules.OTTT(LEAK), rules.EProp(), rules.OTTT(LEAK, "A"),
                                  rules.OTPE(LEAK), rules.OTPE(LEAK, factorised=True)],
                         ids=repr)  # fmt: skip
def test_one_shared_leak_is_one_rule(net, rule):
    """On LIF neurons with one leak and a detached reset the influence factorises."""
    d_rtrl = gradient(net(), "d_rtrl", window=0)
    assert distance(gradient(net(), rule), d_rtrl) < 1e-9


def test_a_leak_that_is_not_the_units_is_no_influence():
    d_rtrl = gradient(lif(), "d_rtrl", window=0)
    assert distance(gradient(lif(), rules.OTTT(0.5)), d_rtrl) > 1e-3


def test_the_status_tells_whether_the_leak_is_right():
    xs, ys = data(True)
    for leak, wanted in ((LEAK, "exact"), (0.5, "approximate")):
        report = learner(layer(), rules.OTTT(leak), xs, ys).report()
        assert report.parameters["layers.0.w"].status == wanted, leak


def test_sltt_is_d_rtrl_without_a_past():
    """It equals the gradient of sequences of one step each, from the states they start with."""
    net = two_layers()
    d_rtrl = gradient(net, "d_rtrl", window=0)
    assert distance(gradient(net, "sltt"), gradient(net, rules.OTTT(0.0))) < 1e-12
    assert distance(gradient(net, "sltt"), d_rtrl) > 1e-3


def test_sltt_takes_k_steps():
    net, (xs, ys) = layer(), data(True, LENGTH)
    every = learner(net, "sltt", xs, ys)
    some = learner(net, rules.SLTT(4, LENGTH), xs, ys)
    taken = 0
    for _ in range(2):  # the second sequence goes on where the first one ends
        now = 0
        for t in range(LENGTH):
            every.step(xs[t][None], ys[t][None], optimizer=etp.optim.sgd(0.0))
            some.step(xs[t][None], ys[t][None], optimizer=etp.optim.sgd(0.0))
            full, part = (np.asarray(m.gradients["layers.0.w"]) for m in (every, some))
            assert np.abs(full).max() > 1e-9
            same = np.array_equal(full, part)
            assert same or not part.any()
            now += same
        assert now == 4
        taken += now
    assert taken == 8


def test_stdp_is_reward_modulated_stdp_without_memory_and_reward_1():
    net, (xs, ys) = lif(), data(True, LENGTH)
    plain = learner(net, rules.STDP(0.8, 0.7, 1.0, 0.5), xs, ys)
    modulated = learner(net, rules.RSTDP(0.8, 0.7, 1.0, 0.5, decay_e=0.0), xs, ys)
    a = plain.grad(xs[:, None], ys[:, None], reduction="sum")[0]
    b = modulated.grad(xs[:, None], ys[:, None], modulator=np.ones(LENGTH), reduction="sum")[0]
    assert distance(a, b) < 1e-12


def test_reward_based_e_prop_keeps_what_it_would_have_done():
    """With reward 1 at the last step and no forgetting to speak of it is the summed gradient."""
    net, (xs, ys) = alif(), data(True, LENGTH)
    plain = learner(net, rules.EProp(0.5), xs, ys)
    late = learner(net, rules.EProp(0.5, reward=1 - 1e-12), xs, ys)
    reward = np.zeros(LENGTH)
    reward[-1] = 1
    a = plain.grad(xs[:, None], ys[:, None], reduction="sum")[0]
    b = late.grad(xs[:, None], ys[:, None], modulator=reward, reduction="sum")[0]
    assert distance(b, a) < 1e-9


TRACED = sorted(
    name for name, rule in rules.registered().items()
    if issubclass(rule, rules.TraceRule) and name != "pp_prop"
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:ETP610")
@pytest.mark.parametrize("rule", TRACED)
@pytest.mark.parametrize("net", [tanh_net, alif], ids=["tanh", "alif"])
def test_a_window_of_the_whole_sequence_is_bptt(net, rule):
    """Within the window derivatives are exact, and no signal of the rule's is used."""
    exact = gradient(net(), "bptt", window=1)
    assert distance(gradient(net(), rule, window=LENGTH), exact) < 1e-9


WRONG = {
    "rflo(leak=1.5)": "leak", "snap(0)": "n of", "snap(n=True)": "n of", "ottt(mode='X')": "mode",
    "eprop(feedback='randm')": "'random'", "sltt(3)": "length", "sltt(8, 6)": "length",
    "cet(delay=-1)": "delay", "stdp(plus='much')": "plus", "eprop(reward=2)": "reward",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_a_rule_cannot_be_is_refused(text):
    with pytest.raises(etp.ETPError, match=WRONG[text]):
        rules.resolve(text)


def test_ottt_says_when_weights_change():
    """Mode A updates after the sequence, mode O after each step; gradients are the same."""
    net, (xs, ys) = layer(), data(True, LENGTH)
    sizes = {}
    for mode, update in (("A", "sequence"), ("O", "step")):
        found = []
        for options in ({}, {"update": update}):
            made = learner(net, rules.OTTT(LEAK, mode), xs, ys)
            made.fit([(xs[:, None], ys[:, None])], etp.optim.sgd(0.1), progress=False, **options)
            found.append(np.array(made.params["layers.0.w"]))
        np.testing.assert_array_equal(*found)
        sizes[mode] = found[0]
    assert np.abs(sizes["A"] - sizes["O"]).max() > 1e-4
