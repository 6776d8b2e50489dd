"""The networks that learn: one small home for each family of rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from attrs import frozen

import etp
from etp import xp
from etp.recipes import recipe
from etp.tasks import Task

# Decay per step of membranes, readouts and adaptation; strength of the latter; threshold.
LEAK, RHO, GAMMA, THRESHOLD = 0.9, 0.97, 0.3, 0.5


class Neurons(etp.Module):
    """LIF neurons with one shared leak: v' = leak v + x W + z R - threshold z, reset detached.

    With adaptation the threshold is raised by GAMMA a, where a' = RHO a + z.
    """

    def __init__(self, n_in, n, *, recurrent, adaptive, rng):
        self.w = etp.Param(etp.init.lecun(rng, (n_in, n)))
        if recurrent:
            self.r = etp.Param(etp.init.lecun(rng, (n, n), gain=0.5))
        self.v = etp.State((n,))
        if adaptive:
            self.a = etp.State((n,))
        self.recurrent, self.adaptive = recurrent, adaptive

    def spikes(self):
        raised = GAMMA * self.a.value if self.adaptive else 0.0
        return etp.spike(self.v.value - (THRESHOLD + raised), "arctan")

    def __call__(self, x):
        drive = etp.matmul(x, self.w)
        z = self.spikes()
        if self.recurrent:
            drive = drive + etp.matmul(z, self.r)
        if self.adaptive:
            self.a.value = RHO * self.a.value + z
        self.v.value = LEAK * self.v.value + drive - THRESHOLD * etp.stop_gradient(z)
        return self.spikes()


class Spiking(etp.Module):
    """Layers of neurons, and a readout that leaks as they do."""

    def __init__(self, n_in, n_out, layers, *, rng, **kind):
        widths = [n_in, *layers]
        self.layers = [
            Neurons(a, b, rng=rng, **kind) for a, b in zip(widths, layers, strict=False)
        ]  # fmt: skip
        self.w_out = etp.Param(etp.init.glorot(rng, (layers[-1], n_out)) * (1 - LEAK))
        self.b = etp.Param(etp.init.zeros((n_out,)))
        self.y = etp.State((n_out,))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        self.y.value = LEAK * self.y.value + etp.matmul(x, self.w_out)
        return xp.add(self.y.value, self.b)


@frozen
class Home:
    """A network, and the learning rate that suits it."""

    title: str
    build: Callable[[Task, int], etp.Module]
    lr: float


def _leaky(task, seed):
    return recipe("leaky_rnn").build(task.n_in, 32, task.n_out, task.length, seed)


def _spiking(layers, task, seed, **kind):
    rng = np.random.default_rng(seed)
    return Spiking(task.n_in, task.n_out, layers, rng=rng, **kind)


HOMES = {
    "leaky": Home("leaky tanh network, 32 units", _leaky, 8e-3),
    "lif": Home(
        "recurrent LIF network, 48 neurons",
        partial(_spiking, [48], recurrent=True, adaptive=False), 8e-3,
    ),
    "alif": Home(
        "recurrent ALIF network, 48 neurons",
        partial(_spiking, [48], recurrent=True, adaptive=True), 8e-3,
    ),
    "stack": Home(
        "two feed-forward layers of LIF neurons, 32 each",
        partial(_spiking, [32, 32], recurrent=False, adaptive=False), 8e-3,
    ),
}  # fmt: skip

# Where rules for spiking networks are at home, by the beginning of their names; the others are
# rules for rates.
FAMILIES = {
    "alif": ("eprop",),
    "lif": ("superspike", "stdp", "r_stdp", "three_factor"),
    "stack": ("decolle", "ottt", "otpe", "osttp", "ostl_feedforward", "f_otpe", "sltt", "s_tllr"),
}
# Rules that know the leak of their home, or how far back a task goes, are told.
SPELLED = {
    "cet": "cet(2, 5.0)",
    "decolle": f"decolle({LEAK}, 0.5)",
    "eprop": f"eprop({LEAK})",
    "f_bptt": "f_bptt(10)",
    "forward_gradient": "forward_gradient(8)",
    "ok": "ok(4)",
    "otpe": f"otpe({LEAK})",
    "ottt": f"ottt({LEAK})",
    "s_tllr": f"s_tllr({LEAK}, {LEAK})",
    "sk_rtrl": "sk_rtrl(8)",
    "snap": "snap(2)",
    "tbptt": "tbptt(1, 10)",
}
# What the others are measured against: trained on every home.
YARDSTICKS = ("bptt", "d_rtrl")


def homes(rule: str) -> list[str]:
    """Return the homes of a rule, the best first; the others are for a rule that refuses it."""
    own = next((h for h, names in FAMILIES.items() if rule.startswith(names)), "leaky")
    return list(dict.fromkeys([own, *HOMES]))
