"""Spiking scenarios: neurons, synapses and their states, written out as a user would."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.compiler.catalogue import N_IN, N, scenario

THRESHOLD = 0.5


class Spiking(etp.Module):
    """Weights and spikes that the models below share."""

    states: tuple[str, ...] = ("v",)
    recurrent = False

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(1.5 * rng.normal(size=(N_IN, N)))
        self.readout = etp.Param(rng.normal(size=(N, 2)))
        if self.recurrent:
            self.w_rec = etp.Param(rng.normal(size=(N, N)))
        for name in self.states:
            setattr(self, name, etp.State((N,), init=1.0 if name in ("x", "k") else 0.0))

    def spikes(self, threshold: Any = THRESHOLD) -> Any:
        """Return the spikes at the current voltage."""
        return etp.spike(self.v.value - threshold, "sigmoid")

    def current(self, x: Any) -> Any:
        """Return what the neurons receive."""
        drive = etp.matmul(x, self.w)
        return drive + etp.matmul(self.spikes(), self.w_rec) if self.recurrent else drive

    def output(self, threshold: Any = THRESHOLD) -> Any:
        """Return the readout of the spikes."""
        return etp.matmul(self.spikes(threshold) + 0.1 * self.v.value, self.readout)


def spiking(*groups: str, **expected: Any) -> Any:
    """Return the decorator of a spiking scenario."""
    return scenario(*groups, spikes=("v", THRESHOLD), length=8, **expected)


@spiking("v", relations={"w": "v"}, exact="w readout")
class IfDelta(Spiking):
    """Integrate and fire; inputs arrive as pulses."""

    def __call__(self, x: Any) -> Any:
        self.v.value = self.v.value - THRESHOLD * self.spikes() + self.current(x)
        return self.output()


@spiking("v a", relations={"w": "v a"}, exact="w readout")
class AlifDelta(Spiking):
    """An adapting threshold: voltage and adaptation in one group."""

    states = ("v", "a")

    def __call__(self, x: Any) -> Any:
        z = self.spikes(THRESHOLD + 0.3 * self.a.value)
        self.a.value = 0.9 * self.a.value + z
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + self.current(x)
        return self.output(THRESHOLD + 0.3 * self.a.value)


@spiking(
    "v i",
    relations={"w": "v i", "w_rec": "v i"},
    approximate="w w_rec",
    exact="readout",
    quick=True,
)
class LifExpCu(Spiking):
    """Recurrent neurons with exponential currents: the new current feeds the new voltage."""

    states = ("v", "i")
    recurrent = True

    def __call__(self, x: Any) -> Any:
        z = self.spikes()
        self.i.value = 0.6 * self.i.value + self.current(x)
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + self.i.value
        return self.output()


@spiking("v i a", relations={"w": "v i a", "w_rec": "v i a"}, approximate="w w_rec",
         exact="readout", slow=True)  # fmt: skip
class AlifExpCu(Spiking):
    """The same with adaptation."""

    states = ("v", "i", "a")
    recurrent = True

    def __call__(self, x: Any) -> Any:
        z = self.spikes(THRESHOLD + 0.3 * self.a.value)
        self.i.value = 0.6 * self.i.value + self.current(x)
        self.a.value = 0.9 * self.a.value + z
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + self.i.value
        return self.output(THRESHOLD + 0.3 * self.a.value)


@spiking("v i x", relations={"w": "v i x"}, exact="w readout")
class LifStdExpCu(Spiking):
    """Short-term depression: the strength of a neuron's own loop fades with its spikes."""

    states = ("v", "i", "x")

    def __call__(self, x: Any) -> Any:
        z = self.spikes()
        self.x.value = self.x.value + 0.2 * (1.0 - self.x.value) - 0.5 * self.x.value * z
        self.i.value = 0.6 * self.i.value + etp.matmul(x, self.w) + 0.4 * self.x.value * z
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + self.i.value
        return self.output()


@spiking("v i x k", relations={"w": "v i x k"}, exact="w readout", slow=True)
class LifStpExpCu(Spiking):
    """Short-term plasticity: facilitation and depression, four states in one group."""

    states = ("v", "i", "x", "k")

    def __call__(self, x: Any) -> Any:
        z = self.spikes()
        self.k.value = self.k.value + 0.3 * (0.5 - self.k.value) + 0.4 * (1.0 - self.k.value) * z
        self.x.value = self.x.value + 0.2 * (1.0 - self.x.value) - self.k.value * self.x.value * z
        self.i.value = 0.6 * self.i.value + etp.matmul(x, self.w) + self.k.value * self.x.value * z
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + self.i.value
        return self.output()


@spiking("v e i a", relations={"w": "v e i a", "w_rec.expr": "v e i a"},
         approximate="w w_rec", exact="readout", slow=True)  # fmt: skip
class AlifExpCoEI(Spiking):
    """Conductances, excitatory and inhibitory (Dale's principle by an absolute value)."""

    states = ("v", "e", "i", "a")
    recurrent = True

    def __call__(self, x: Any) -> Any:
        z = self.spikes(THRESHOLD + 0.3 * self.a.value)
        rec = etp.matmul(z, xp.abs(self.w_rec))
        self.e.value = 0.6 * self.e.value + xp.sigmoid(etp.matmul(x, self.w))
        self.i.value = 0.7 * self.i.value + 0.3 * rec
        self.a.value = 0.9 * self.a.value + z
        pull = self.e.value * (2.0 - self.v.value) - self.i.value * (self.v.value + 0.5)
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + 0.3 * pull
        return self.output(THRESHOLD + 0.3 * self.a.value)


TAUS = np.array([0.5, 0.7, 0.9])


@spiking("v i", relations={"w": "v i"}, exact="w readout", slow=True)
class HeterogeneousLif(Spiking):
    """One time constant for each neuron."""

    states = ("v", "i")

    def __call__(self, x: Any) -> Any:
        z = self.spikes()
        self.i.value = TAUS * self.i.value + self.current(x)
        self.v.value = (1.0 - 0.3 * TAUS) * self.v.value - THRESHOLD * z + self.i.value
        return self.output()


@spiking("v i j a b", relations={"w": "v i j a b"}, exact="w readout", slow=True)
class HeterogeneousAlif(Spiking):
    """Five states for each neuron: two currents in series, two adaptations."""

    states = ("v", "i", "j", "a", "b")

    def __call__(self, x: Any) -> Any:
        threshold = THRESHOLD + 0.2 * self.a.value + 0.1 * self.b.value
        z = self.spikes(threshold)
        self.i.value = TAUS * self.i.value + self.current(x)
        self.j.value = 0.5 * self.j.value + 0.5 * self.i.value
        self.a.value = TAUS * self.a.value + z
        self.b.value = 0.95 * self.b.value + z
        self.v.value = 0.8 * self.v.value - THRESHOLD * z + self.j.value
        return self.output(THRESHOLD + 0.2 * self.a.value + 0.1 * self.b.value)
