"""Rules whose signal is made in the layer, or given, against hand-written scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp.rules.decolle import DECOLLE
from etp.rules.r_stdp import RSTDP
from etp.rules.stdp import STDP
from etp.rules.superspike import SuperSpike
from tests.rules import homes
from tests.rules.against import OUT, M
from tests.rules.homes import near, streamed
from tests.rules.twins import decolle, spiking, stdp, superspike
from tests.rules.twins.spiking import Now

N, STEPS = 4, 10
WEIGHTS = ("w_in", "w_rec")


def neurons() -> spiking.Net:
    made = spiking.Net.drawn(N, M, OUT, seed=1)
    made.weights["w_in"] = np.abs(made.weights["w_in"])
    return made


def trains(width: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((STEPS, width)) < 0.6) * 1.0


class SpikesOut(homes.Spiking):
    """Home (b) whose output is its spikes."""

    def __init__(self, net: spiking.Net) -> None:
        super().__init__(net)
        del self.w_out, self.b

    def __call__(self, x: Any) -> Any:
        z = self.spikes()
        drive = etp.matmul(x, self.w_in) + etp.matmul(z, self.w_rec)
        reset = self.threshold * etp.stop_gradient(z)
        self.v.value = self.beta * self.v.value + drive - reset
        return self.spikes()


def compiled(model: etp.Module, rule: Any, x: np.ndarray, y: np.ndarray) -> etp.Learner:
    return etp.compile(
        model, rule, "mse", window=0, backend="numpy", dtype="float64", example=(x[0], y[0])
    )


def test_superspike():
    net, xs, wanted = neurons(), trains(M, 0), trains(N, 1)
    twin = superspike.SuperSpike(0.5, 0.8)
    records = spiking.run(twin, net, xs, np.zeros((STEPS, OUT)), draws=wanted)
    made = compiled(SpikesOut(net), SuperSpike(rise=0.5, decay=0.8), xs, wanted)
    size = 0.0
    for t, (_, traces, grads) in enumerate(streamed(made, xs, wanted)):
        own = records[t]
        for w in WEIGHTS:
            near(traces[f"e_r.{w}.v.emitted"], own.traces[f"lambda:{w}:rise"], 1e-10, f"r {w} {t}")
            lam = traces[f"e_lam.{w}.v.emitted"]
            size = max(size, near(lam, own.traces[f"lambda:{w}:decay"], 1e-10, f"λ {w} {t}"))
            size = min(size, size and np.inf)
            near(grads[w], own.grads[w], 1e-10, f"gradient of {w} at {t}")
    assert size > 1e-3
    assert np.abs(records[-1].grads["w_rec"]).max() > 1e-4


class OnNeurons:
    """The twin of STDP, one for each weight of home (b)."""

    def __init__(self, *constants: float) -> None:
        self.rules = {w: stdp.STDP(*constants) for w in WEIGHTS}

    def step(self, now: Now, reward: float | None = None) -> Any:
        pairs = zip(WEIGHTS, (now.x, now.before), strict=True)
        r = 1.0 if reward is None else reward
        found = {w: self.rules[w].step(pre, now.z, r) for w, pre in pairs}
        traces = {f"{n}:{w}": x for w, s in found.items() for n, x in s.traces.items()}
        return type(found["w_in"])(traces, r, {w: s.grads["w"] for w, s in found.items()})


@pytest.mark.parametrize("rewarded", [False, True])
def test_stdp(rewarded):
    net, xs, ys = neurons(), trains(M, 0), np.random.default_rng(2).normal(size=(STEPS, OUT))
    rewards = np.random.default_rng(3).normal(size=STEPS) if rewarded else None
    constants = (0.8, 0.7, 0.9, 0.6)
    twin = OnNeurons(*constants, 0.85) if rewarded else OnNeurons(*constants)
    rule = RSTDP(*constants, 0.85) if rewarded else STDP(*constants)
    records = spiking.run(twin, net, xs, ys, draws=rewards, lr=0.01)
    made = homes.learner(net_of_start(), rule, xs, ys)
    size = 0.0
    for t, (_, traces, grads) in enumerate(streamed(made, xs, ys, 0.01, rewards)):
        for w in WEIGHTS:
            own = records[t].traces
            near(traces[f"e_xbar.{w}.xbar"], own[f"x:{w}"], 1e-10, f"x̄ {w} {t}")
            near(traces[f"e_zbar.{w}.v.emitted"], own[f"y:{w}"], 1e-10, f"ȳ {w} {t}")
            if rewarded:
                near(traces[f"e_E.{w}.v.emitted"], own[f"E:{w}"], 1e-10, f"E {w} {t}")
            size = max(size, near(grads[w], records[t].grads[w], 1e-10, f"gradient {w} {t}"))
    assert size > 1e-1


def net_of_start() -> spiking.Net:
    return neurons()


class DecolleLayer(etp.Module):
    """Neurons of DECOLLE: inputs are filtered before they are weighed."""

    def __init__(self, layer: decolle.Layer, rule: decolle.Decolle) -> None:
        self.w, self.b = etp.Param(layer.w.copy()), etp.Param(layer.b.copy())
        self.q, self.p = etp.State(layer.q.shape), etp.State(layer.p.shape)
        self.r, self.rule = etp.State(layer.r.shape), rule

    def __call__(self, s: Any) -> Any:
        k = self.rule
        self.q.value = k.beta * self.q.value + (1 - k.beta) * s
        self.p.value = k.alpha * self.p.value + (1 - k.alpha) * self.q.value
        r = etp.stop_gradient(self.r.value)
        s = etp.spike(etp.matmul(self.p.value, self.w, self.b) - k.rho * r, "fast_sigmoid")
        self.r.value = k.gamma * r + (1 - k.gamma) * s
        return s


class DecolleNet(etp.Module):
    """Two such layers and a linear readout."""

    def __init__(self, rule: decolle.Decolle) -> None:
        self.layers = [DecolleLayer(layer, rule) for layer in rule.layers]
        self.out = etp.Param(np.ones((rule.layers[-1].w.shape[1], OUT)))

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return etp.matmul(x, self.out)


def test_decolle():
    rng = np.random.default_rng(0)
    xs, ys = trains(M, 0), rng.normal(size=(STEPS, OUT))
    layers = [
        decolle.Layer(rng.normal(size=(m, n)) * 2, rng.normal(size=n) * 0.1, np.zeros((n, OUT)))
        for m, n in ((M, 5), (5, N))
    ]
    twin = decolle.Decolle(layers, 0.8, 0.7, 0.65, 1.0)
    made = compiled(DecolleNet(twin), DECOLLE(alpha=0.0, beta=0.0), xs, ys)
    for layer, emitted in zip(layers, ("layers.1.w", "out"), strict=True):
        layer.G = np.asarray(made.rule_arrays[f"feedback.{emitted}"])
    size = 0.0
    for t, (_, traces, grads) in enumerate(streamed(made, xs, ys)):
        own = twin.step(xs[t], ys[t])
        for k in range(2):
            near(traces[f"e_p.layers.{k}.w.p"], own.traces[f"p{k}"], 1e-10, f"p of {k} at {t}")
            near(grads[f"layers.{k}.b"], own.grads[f"b{k}"], 1e-10, f"gradient of b{k} at {t}")
            size = max(size, near(grads[f"layers.{k}.w"], own.grads[f"w{k}"], 1e-10, f"w{k} {t}"))
    assert size > 1e-2
