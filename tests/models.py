"""Small models that learning rules are tested on; every cell of `etp.nn` is among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

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
    made, _, readout = name.partition("+")
    cell = CELLS[made](rng)
    width = cell(np.zeros(N_IN)).shape[0]
    cell.reset_states()
    last = etp.nn.LeakyRateReadout if readout else etp.nn.Linear
    return WithReadout(cell, last(width, N_OUT, rng=rng))


def data(length: int, batch: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and real-valued targets, (T, B, ...)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(length, batch, N_IN)) + 0.5, rng.normal(size=(length, batch, N_OUT))


def of_nn(cell: str, **options: Any) -> Any:
    """Return what makes a cell of `etp.nn`."""
    return lambda rng: etp.nn.cells()[cell](N_IN, N_REC, rng=rng, **options)


# Where a cell as it comes would do too little within a few steps to be measured.
LIVELY: dict[str, dict[str, Any]] = {
    "LIFCell": {"threshold": 0.5},
    "ALIFCell": {"threshold": 0.5},
    "LeakySpikeReadout": {"threshold": 0.1},
    "S4DCell": {"dt_min": 0.3, "dt_max": 1.0},
    "S5Cell": {"dt_min": 0.3, "dt_max": 1.0},
}
SHORT = {"VanillaRNNCell": "rnn"}
# Short names of the cells of `etp.nn`, in alphabetical order.
NN_CELLS = {SHORT.get(name, name.removesuffix("Cell").lower()): name for name in etp.nn.cells()}
# The same cells with other options, under which their docstrings hold too.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ctrnn_tau": ("CTRNNCell", {"train_tau": True}),
    "rtu_linear": ("RTUCell", {"linear": True}),
    "s4d_bilinear": ("S4DCell", {**LIVELY["S4DCell"], "method": "bilinear"}),
    "s5_bilinear": ("S5Cell", {**LIVELY["S5Cell"], "method": "bilinear"}),
    "minilstm_free": ("MiniLSTMCell", {"normalise": False}),
}
CELLS: dict[str, Any] = {
    **{short: of_nn(name, **LIVELY.get(name, {})) for short, name in NN_CELLS.items()},
    **{short: of_nn(name, **options) for short, (name, options) in VARIANTS.items()},
    "gru_before": of_nn("GRUCell", reset="before"),
    "lif_feedforward": of_nn("LIFCell", threshold=0.5, recurrent=False),
    "lif_full_reset": of_nn("LIFCell", threshold=0.5, detach_reset=False),
    "leaky": Leaky,
    "coupled": Coupled,
    "plain": Plain,
    "masked": Masked,
    "two_layers": TwoLayers,
}
DIAGONAL = ("leaky", "coupled", "masked", "lif_feedforward")
# Each mechanism once; for the others the fast set has the battery of cells alone.
FAST = {
    "rnn", "gru", "gru_before", "lstm", "lif", "lif_feedforward", "lif_full_reset", "alif",
    "leaky", "coupled", "plain", "masked", "two_layers", "rtu", "s4d", "jordan",
}  # fmt: skip


def marked(names: Iterable[str]) -> list[Any]:
    """Return names of models as test parameters, those outside of the fast set marked slow."""
    return [pytest.param(n, marks=() if n in FAST or "+" in n else pytest.mark.slow) for n in names]
