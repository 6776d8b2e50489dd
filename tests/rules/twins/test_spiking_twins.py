"""The twins on spiking and stacked homes against what is exact there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from . import leaky_tanh, ostl, spatial, spiking, stacks, stdp, two_states
from .decolle import Decolle, Layer
from .eprop import DRTRL, EProp
from .modulators import MDGL, ModProp, type_means
from .record import total
from .superspike import SuperSpike

N, M, OUT, T = 5, 4, 2, 12
CELLS = {"lif": {}, "alif": {"gamma": 0.3}}


def data(length: int = T, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.random((length, M)) < 0.6).astype(float) * 1.5, rng.normal(size=(length, OUT))


def net(**options) -> spiking.Net:
    made = spiking.Net.drawn(N, M, OUT, seed=1, **options)
    made.weights["w_in"] = np.abs(made.weights["w_in"]) * 0.6
    return made


def close(got, want, tolerance=1e-12):
    assert np.abs(want).max() > 1e-3, "nothing is compared"
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def same(rule, made, wanted, names=("w_in", "w_rec"), factor=1.0):
    records = spiking.run(rule, made, *data())
    for name in names:
        close(total(records, name) * factor, wanted[name])


@pytest.mark.parametrize("cell", CELLS)
def test_the_network_spikes(cell):
    z = np.array([now.z for now in spiking.steps(net(**CELLS[cell]), *data())])
    assert 0.05 < z.mean() < 0.8


@pytest.mark.parametrize("cell", CELLS)
def test_spiking_bptt_is_the_derivative_where_spikes_are_smooth(cell, monkeypatch):
    """With an identity for the spike, the surrogate 1 and no reset, BPTT is a true derivative."""
    made = net(surrogate=np.ones_like, **CELLS[cell])
    made.threshold = 0.0
    monkeypatch.setattr(spiking.Net, "now", smooth)
    (xs, ys), grads = data(5), spiking.bptt(made, *data(5))
    for name in ("w_in", "w_rec"):
        w = made.weights[name]
        for at in ((0, 1), (2, 3)):
            loss = {}
            for sign in (1, -1):
                w[at] += sign * 1e-6
                loss[sign] = sum(now.loss for now in spiking.steps(made, xs, ys))
                w[at] -= sign * 1e-6
            close(grads[name][at], (loss[1] - loss[-1]) / 2e-6, 1e-6)


def smooth(made, last, x, target):
    """One step of the model whose spike is the identity."""
    w, z = made.weights, last.z
    v = made.beta * last.v + x @ w["w_in"] + z @ w["w_rec"]
    a = made.rho * last.a + z
    new = v - made.gamma * a
    y = made.kappa * last.y + new @ w["w_out"] + w["b"]
    err = 2 * (y - target) / len(y)
    loss = float(np.mean((y - target) ** 2))
    ones, q = np.ones(made.n), w["w_out"] @ err
    return spiking.Now(made, x, target, z, ones, v, a, new, ones, y, err, q, loss)


@pytest.mark.parametrize("cell", CELLS)
def test_eprop_without_filter_is_d_rtrl(cell):
    made = net(**CELLS[cell])
    want = spiking.bptt(made, *data(), recurrent=False)
    same(DRTRL(), made, want)
    same(EProp(0.0), made, want)
    same(EProp(0.0, made.weights["w_out"]), made, want)
    full = spiking.bptt(made, *data())
    assert np.abs(full["w_in"] - want["w_in"]).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_eprop_without_recurrent_weights_is_exact(cell):
    made = net(kappa=0.7, **CELLS[cell])
    made.weights["w_rec"][:] = 0
    same(EProp(0.7), made, spiking.bptt(made, *data()), ("w_in",), 1 / 0.3)


def test_terms_of_eprop():
    made = net()
    plain = spiking.run(EProp(0.5), made, *data())
    rate = spiking.run(EProp(0.5, rate=0.1, target_rate=0.2), made, *data())
    for p, r in zip(plain, rate, strict=True):
        want = 0.1 * (r.traces["rate"] - 0.2) * r.traces["e:w_in"]
        np.testing.assert_allclose(r.grads["w_in"] - p.grads["w_in"], want, atol=1e-12)
    at_once = spiking.run(EProp(0.5, reward=0.0), made, *data(), draws=np.ones(T))
    close(total(at_once, "w_in"), total(plain, "w_in"))
    late = spiking.run(EProp(0.5, reward=1.0), made, *data(), draws=np.eye(T)[-1])
    close(total(late, "w_in"), total(plain, "w_in"))


def test_adaptive_feedback_approaches_the_readout():
    made = net()
    made.weights["feedback"] = np.random.default_rng(0).normal(size=(N, OUT))
    gap = made.weights["feedback"] - made.weights["w_out"]
    spiking.train(EProp(0.5), made, *data(50), steps=50)
    close(made.weights["feedback"] - made.weights["w_out"], gap)
    assert np.abs(made.weights["w_out"] - net().weights["w_out"]).max() > 1e-3


def test_superspike_is_the_gradient_of_the_van_rossum_distance_at_its_last_step():
    """One step: λ and e are single values, and -e λ is dD/dW for D = (α*(Ŝ - S))² / 2."""
    made, wanted = net(), np.array([1.0, 0, 1, 0, 1])
    record = spiking.run(SuperSpike(0.3, 0.6), made, *data(1), draws=[wanted])[0]
    now = spiking.steps(made, *data(1))[0]
    gain = (1 - 0.3) * (1 - 0.6)
    want = np.outer(now.x, now.psi) * gain * -(gain * (wanted - now.z))
    close(record.grads["w_in"], want)
    close(record.traces["scaled:w_in"], np.sign(want))


def test_decolle_is_the_derivative_of_its_local_losses():
    rng = np.random.default_rng(0)
    sizes = [M, 5, 4]
    layers = [
        Layer(rng.normal(size=(m, n)) * 2, rng.normal(size=n) * 0.1, rng.normal(size=(n, OUT)))
        for m, n in pairwise(sizes)
    ]
    rule = Decolle(layers, 0.8, 0.7, 0.65, 1.0)
    spikes = 0.0
    for x, y in zip(*data(), strict=True):
        record = rule.step(x, y)
        spikes += sum(layer.r.sum() for layer in layers)
        for k, layer in enumerate(layers):
            assert record.grads[f"w{k}"].shape == layer.w.shape
            np.testing.assert_allclose(
                record.grads[f"w{k}"], np.outer(layer.p, record.grads[f"b{k}"])
            )
    assert spikes > 1
    assert np.abs(record.grads["w1"]).max() > 1e-3


def stack(sizes=(M, 5), **options) -> stacks.Stack:
    made = stacks.Stack.drawn(list(sizes), OUT, seed=3, **options)
    for k in range(made.depth):
        made.weights[f"w{k}"] = np.abs(made.weights[f"w{k}"]) * 0.7
    return made


def test_one_layer_of_ottt_is_exact():
    made = stack()
    want = stacks.bptt(made, *data())["w0"]
    close(total(stacks.run(spatial.OTTT(), made, *data()), "w0"), want)
    exact = spatial.OTPE(leaky_readout=False)
    close(total(stacks.run(exact, made, *data()), "w0"), want)
    close(total(stacks.run(spatial.STLLR(decay_pre=0.8, post=0.0), made, *data()), "w0"), want)
    assert np.abs(total(stacks.run(spatial.SLTT(), made, *data()), "w0") - want).max() > 1e-3


def test_without_leak_spatial_rules_are_bptt():
    made = stack((M, 5, 4), leak=0.0)
    want = stacks.bptt(made, *data())
    for rule in (spatial.OTTT(), spatial.SLTT(), spatial.OTPE(), spatial.OTPE(factorised=True)):
        records = stacks.run(rule, made, *data())
        for name in ("w0", "w1"):
            close(total(records, name), want[name])


def test_otpe_keeps_the_effect_of_past_spikes_on_the_next_layer():
    made = stack((M, 5, 4))
    want = stacks.bptt(made, *data())

    def error(rule):
        records = stacks.run(rule, made, *data())
        return np.linalg.norm(total(records, "w0") - want["w0"])

    assert error(spatial.OTPE(leaky_readout=False)) < error(spatial.OTTT())
    assert error(spatial.OTPE(leaky_readout=False)) > 1e-3


def test_factorised_otpe_is_otpe_where_slopes_are_constant(monkeypatch):
    monkeypatch.setattr(stacks, "fast_sigmoid", lambda u: np.full_like(u, 0.3))
    made = stack((M, 5, 4))
    a = stacks.run(spatial.OTPE(), made, *data())
    b = stacks.run(spatial.OTPE(factorised=True), made, *data())
    for name in ("w0", "w1"):
        close(total(a, name), total(b, name))


def test_s_tllr_waits():
    records = stacks.run(spatial.STLLR(warmup=5), stack(), *data())
    alive = [np.abs(r.grads["w0"]).max() > 0 for r in records]
    assert not any(alive[:5])
    assert any(alive[5:])


def test_sltt_k_takes_chosen_steps():
    records = stacks.run(spatial.SLTT({2, 4}), stack(), *data())
    whole = stacks.run(spatial.SLTT(), stack(), *data())
    close(total(records, "w0"), whole[2].grads["w0"] + whole[4].grads["w0"])


def finite_layers(made, xs, ys, name):
    w, g = made.weights[name], np.zeros_like(made.weights[name])
    for at in np.ndindex(w.shape):
        loss = {}
        for sign in (1, -1):
            w[at] += sign * 1e-6
            loss[sign] = sum(r.loss for r in ostl.run(ostl.OSTL(False), made, xs, ys))
            w[at] -= sign * 1e-6
        g[at] = (loss[1] - loss[-1]) / 2e-6
    return g


def test_ostl_with_h_is_exact_in_the_last_layer_only():
    made = ostl.Layers.drawn(2, 3, OUT, 0.6, seed=0)
    xs, ys = data(5)[0][:, :2], data(5)[1]
    full = ostl.run(ostl.OSTL(True), made, xs, ys)
    close(total(full, "w1"), finite_layers(made, xs, ys, "w1"), 1e-7)
    assert np.abs(total(full, "w0") - finite_layers(made, xs, ys, "w0")).max() > 1e-3
    close(total(full[:1], "w0"), finite_layers(made, xs[:1], ys[:1], "w0"), 1e-7)
    leaky = ostl.run(ostl.OSTL(False), made, xs, ys)
    assert np.abs(total(full, "w1") - total(leaky, "w1")).max() > 1e-3
    projections = [np.ones((3, OUT)), np.ones((3, OUT))]
    projected = ostl.run(ostl.OSTL(False, projections), made, xs, ys)
    for k in range(2):
        own = leaky[4].traces[f"eps{k}"].sum(axis=0) * ys[4].sum()
        close(projected[4].grads[f"w{k}"], own)


def test_stdp_window():
    pre, post = np.zeros((6, 1)), np.zeros((6, 1))
    pre[1], post[3] = 1, 1
    up = total(stdp.run(stdp.STDP(0.5, 0.5, 1.0, 0.7), pre, post), "w")
    down = total(stdp.run(stdp.STDP(0.5, 0.5, 1.0, 0.7), post, pre), "w")
    np.testing.assert_allclose([-up[0, 0], -down[0, 0]], [0.25, -0.7 * 0.25])
    rewards = np.eye(6)[5]
    late = total(stdp.run(stdp.STDP(0.5, 0.5, 1.0, 0.7, 0.9), pre, post, rewards), "w")
    np.testing.assert_allclose(-late[0, 0], 0.25 * 0.9**2)


def test_mdgl_with_exact_weights_adds_the_first_hop():
    """Two steps hold one hop, so that with exact weights nothing is left out."""
    made, everyone = net(), np.ones((N, N), bool)
    xs, ys = data(2)
    want = spiking.bptt(made, xs, ys)
    records = spiking.run(MDGL(None, everyone), made, xs, ys)
    close(total(records, "w_in"), want["w_in"])
    assert np.abs(total(spiking.run(DRTRL(), made, xs, ys), "w_in") - want["w_in"]).max() > 1e-6
    types = np.array([0, 0, 1, 1, 1])
    connected = np.random.default_rng(0).random((N, N)) < 0.5
    local = spiking.run(MDGL(types, connected), made, *data())
    diffuse = spiking.run(MDGL(types, connected, diffuse=True), made, *data())
    assert np.abs(total(local, "w_in") - total(diffuse, "w_in")).max() > 1e-4
    alone = spiking.run(MDGL(np.arange(N), everyone), made, *data())
    close(total(alone, "w_in"), total(spiking.run(MDGL(None, everyone), made, *data()), "w_in"))
    assert type_means(made.weights["w_rec"], types, everyone)[0, 3] == pytest.approx(
        made.weights["w_rec"][:2, 2:].mean()
    )


def test_modprop_over_two_steps_is_bptt():
    made = leaky_tanh.Net.drawn(N, M, OUT, 0.6, seed=0)
    xs, ys = data(2)
    records = leaky_tanh.run(ModProp(None, 3, 0.5), made, xs, ys)
    close(total(records, "w"), leaky_tanh.bptt(made, xs, ys))
    by_type = leaky_tanh.run(ModProp(np.array([0, 0, 1, 1, 1]), 3, 0.5), made, *data())
    of_all = leaky_tanh.run(ModProp(None, 3, 0.5), made, *data())
    assert np.abs(total(by_type, "w") - total(of_all, "w")).max() > 1e-3


def test_two_states_are_exact():
    rng = np.random.default_rng(0)
    weights = {
        "w_c": rng.normal(size=(M, N)), "w_h": rng.normal(size=(M, N)),
        "w_out": rng.normal(size=(N, OUT)), "b": rng.normal(size=OUT),
    }  # fmt: skip
    made = two_states.Net(weights, rng.random(N), rng.random(N), 0.2)
    xs, ys = data(6)
    records = two_states.run(two_states.Block(), made, xs, ys)
    for name in ("w_c", "w_h"):
        w = made.weights[name]
        for at in ((0, 1), (3, 4)):
            loss = {}
            for sign in (1, -1):
                w[at] += sign * 1e-6
                loss[sign] = sum(r.loss for r in two_states.run(two_states.Block(), made, xs, ys))
                w[at] -= sign * 1e-6
            close(total(records, name)[at], (loss[1] - loss[-1]) / 2e-6, 1e-7)
