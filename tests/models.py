"""Small models that learning rules are tested on; a new cell joins by one line here."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp

N_IN, N_REC, N_OUT = 2, 3, 2


class WithReadout(etp.Module):
    """A cell followed by a linear readout."""

    def __init__(self, cell: etp.Module, readout: etp.Module) -> None:
        self.cell = cell
        self.readout = readout

    def __call__(self, x: Any) -> Any:
        return self.readout(self.cell(x))


class Leaky(etp.Module):
    """Element-wise recurrence with a trained decay: position-wise, so D-RTRL is exact."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.a = etp.Param(rng.normal(size=N_REC))
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        decay = xp.sigmoid(etp.element_wise(self.a))
        self.h.value = xp.tanh(decay * self.h.value + etp.matmul(x, self.w))
        return self.h.value


class Coupled(etp.Module):
    """Two states, the new value of one feeding the other within the step."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w_in = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.w_gate = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.c = etp.State((N_REC,))
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        gate = xp.sigmoid(etp.matmul(x, self.w_gate))
        self.c.value = gate * self.c.value + etp.matmul(x, self.w_in) - 0.1 * self.h.value
        self.h.value = 0.5 * self.h.value + xp.tanh(self.c.value) * (1 - 0.2 * self.h.value)
        return self.h.value


class Plain(etp.Module):
    """A recurrent weight used with a plain product beside a traced one."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.u = etp.Param(rng.normal(size=(N_REC, N_REC)))
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        self.h.value = xp.tanh(etp.matmul(x, self.w) + self.h.value @ self.u)
        return self.h.value


class Masked(etp.Module):
    """Weights as expressions: a mask, an absolute value, and a weight used twice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.v = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.mask = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.mask * self.w) + etp.matmul(x * x, xp.abs(self.v) + self.w)
        self.h.value = 0.8 * self.h.value + xp.tanh(drive)
        return self.h.value


class TwoLayers(etp.Module):
    """Two recurrent layers: the first also acts on the second's later states."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first = etp.nn.VanillaRNNCell(N_IN, N_REC, rng=rng)
        self.second = etp.nn.VanillaRNNCell(N_REC, N_REC, rng=rng)

    def __call__(self, x: Any) -> Any:
        return self.second(self.first(x))


def build(name: str, seed: int = 0) -> etp.Module:
    """Return the model called ``name``, with a readout; ``+leaky`` for an integrating one."""
    rng = np.random.default_rng(seed)
    cell, _, readout = name.partition("+")
    last = etp.nn.LeakyRateReadout if readout else etp.nn.Linear
    return WithReadout(CELLS[cell](rng), last(N_REC, N_OUT, rng=rng))


def data(length: int, batch: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and real-valued targets, (T, B, ...)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(length, batch, N_IN)) + 0.5, rng.normal(size=(length, batch, N_OUT))


CELLS: dict[str, Any] = {
    "rnn": lambda rng: etp.nn.VanillaRNNCell(N_IN, N_REC, rng=rng),
    "gru": lambda rng: etp.nn.GRUCell(N_IN, N_REC, rng=rng),
    "gru_before": lambda rng: etp.nn.GRUCell(N_IN, N_REC, reset="before", rng=rng),
    "lstm": lambda rng: etp.nn.LSTMCell(N_IN, N_REC, rng=rng),
    "lif": lambda rng: etp.nn.LIFCell(N_IN, N_REC, threshold=0.5, rng=rng),
    "lif_feedforward": lambda rng: etp.nn.LIFCell(
        N_IN, N_REC, threshold=0.5, recurrent=False, rng=rng
    ),
    "lif_full_reset": lambda rng: etp.nn.LIFCell(
        N_IN, N_REC, threshold=0.5, detach_reset=False, rng=rng
    ),
    "alif": lambda rng: etp.nn.ALIFCell(N_IN, N_REC, threshold=0.5, rng=rng),
    "leaky": Leaky,
    "coupled": Coupled,
    "plain": Plain,
    "masked": Masked,
    "two_layers": TwoLayers,
}
DIAGONAL = ("leaky", "coupled", "masked", "lif_feedforward")
