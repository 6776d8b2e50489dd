"""Small models on which rules are certified: each kind of recurrence once, with a readout."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir import namespace as xp
from etp_ir.errors import ETPError, nearest

from .. import nn
from ..conv import conv
from ..functional import element_wise, matmul
from ..model import Module, Param, State
from ..products import einsum

Rng = np.random.Generator
Array = np.ndarray[Any, Any]
N_IN, N_OUT = 4, 2


class WithReadout(Module):
    """A cell followed by a linear readout."""

    def __init__(self, cell: Module, width: int, rng: Rng) -> None:
        self.cell = cell
        self.readout = nn.Linear(width, N_OUT, rng=rng)

    def __call__(self, x: Any) -> Any:
        """Return the readout of the cell's output."""
        return self.readout(self.cell(x))


class Leaky(Module):
    """Each unit remembers itself alone, for a time that is trained."""

    def __init__(self, n: int, rng: Rng, n_in: int = N_IN) -> None:
        self.w = Param(rng.normal(size=(n_in, n)))
        self.a = Param(rng.normal(size=n))
        self.h = State((n,))

    def __call__(self, x: Any) -> Any:
        """Return tanh of the leaky sum."""
        decay = xp.sigmoid(element_wise(self.a))
        self.h.value = xp.tanh(decay * self.h.value + matmul(x, self.w))
        return self.h.value


class Forgetful(Module):
    """Units that remember nothing, and a leaky readout of them that does."""

    def __init__(self, n: int, rng: Rng) -> None:
        self.w = Param(rng.normal(size=(N_IN, n)))
        self.v = Param(rng.normal(size=(n, n)))
        self.h = State((n,))

    def __call__(self, x: Any) -> Any:
        """Return the leaky sum of what the units do in each step."""
        self.h.value = 0.5 * self.h.value + matmul(xp.tanh(matmul(x, self.w)), self.v)
        return self.h.value


class Coupled(Module):
    """Two states per unit that act on each other, one of them within the step."""

    def __init__(self, n: int, rng: Rng) -> None:
        self.w_in = Param(rng.normal(size=(N_IN, n)))
        self.w_gate = Param(rng.normal(size=(N_IN, n)))
        self.c = State((n,))
        self.h = State((n,))

    def __call__(self, x: Any) -> Any:
        """Return the second state."""
        gate = xp.sigmoid(matmul(x, self.w_gate))
        self.c.value = gate * self.c.value + matmul(x, self.w_in) - 0.1 * self.h.value
        self.h.value = 0.5 * self.h.value + xp.tanh(self.c.value) * (1 - 0.2 * self.h.value)
        return self.h.value


class TwoLayers(Module):
    """Two layers of leaky units: the first acts on later states of the second."""

    def __init__(self, n: int, rng: Rng) -> None:
        self.first = Leaky(n, rng)
        self.second = Leaky(n, rng, n)

    def __call__(self, x: Any) -> Any:
        """Return the state of the second layer."""
        return self.second(self.first(x))


class Heads(Module):
    """Leaky units in two groups that share an input, a product of named axes."""

    def __init__(self, n: int, rng: Rng) -> None:
        self.w = Param(rng.normal(size=(2, N_IN, n)))
        self.h = State((2, n))

    def __call__(self, x: Any) -> Any:
        """Return the sum of the groups."""
        self.h.value = xp.tanh(0.7 * self.h.value + einsum("i,gio->go", x, self.w))
        return xp.sum(self.h.value, axis=0)


class Image(Module):
    """A leaky image whose input is a convolution with trained taps."""

    def __init__(self, n: int, rng: Rng) -> None:
        self.kernel = Param(rng.normal(size=(3, 1, n)))
        self.h = State((N_IN, n))

    def __call__(self, x: Any) -> Any:
        """Return the mean over the places."""
        drive = conv(xp.reshape(x, (N_IN, 1)), self.kernel)
        self.h.value = 0.6 * self.h.value + xp.tanh(drive + 0.3 * self.h.value)
        return xp.mean(self.h.value, axis=0)


class Masked(Module):
    """Weights as expressions: a mask, an absolute value, a weight that is used twice."""

    def __init__(self, n: int, rng: Rng) -> None:
        self.w = Param(rng.normal(size=(N_IN, n)))
        self.v = Param(rng.normal(size=(N_IN, n)))
        self.mask = (np.add.outer(np.arange(N_IN), np.arange(n)) % 3 > 0).astype(float)
        self.h = State((n,))

    def __call__(self, x: Any) -> Any:
        """Return the state."""
        drive = matmul(x, self.mask * self.w) + matmul(x * x, xp.abs(self.v) + self.w)
        self.h.value = 0.8 * self.h.value + xp.tanh(drive)
        return self.h.value


@frozen
class Sample:
    """A model that a rule is certified on.

    Attributes
    ----------
    name, title
        Name for the command line, and for people.
    cell
        Function of the number of units and a generator.
    """

    name: str
    title: str
    cell: Callable[[int, Rng], Module]

    def build(self, n: int = 3, seed: int = 0) -> Module:
        """Return the model with its readout, weights drawn from a seed."""
        rng = np.random.default_rng(seed)
        cell = self.cell(n, rng)
        width = cell(np.zeros(N_IN)).shape[0]
        cell.reset_states()
        return WithReadout(cell, width, rng)


def _of_nn(cell: str, **options: Any) -> Callable[[int, Rng], Module]:
    """Return what makes a cell of `etp.nn`."""
    return lambda n, rng: nn.cells()[cell](N_IN, n, rng=rng, **options)


# Neurons that spike within a few steps.
_SPIKING = {"threshold": 0.4}
SAMPLES = {
    s.name: s
    for s in (
        Sample("leaky", "element-wise leaky units", lambda n, rng: Leaky(n, rng)),
        Sample("rnn", "dense tanh network", _of_nn("VanillaRNNCell")),
        Sample("gru", "GRU", _of_nn("GRUCell")),
        Sample("lstm", "LSTM", _of_nn("LSTMCell")),
        Sample("lif", "LIF network", _of_nn("LIFCell", **_SPIKING)),
        Sample("lif_layer", "LIF layer, no recurrent weights",
               _of_nn("LIFCell", recurrent=False, **_SPIKING)),
        Sample("alif", "ALIF network", _of_nn("ALIFCell", **_SPIKING)),
        Sample("forgetful", "units without memory", Forgetful),
        Sample("coupled", "two coupled states", Coupled),
        Sample("two_layers", "two leaky layers", TwoLayers),
        Sample("heads", "product of named axes", Heads),
        Sample("image", "convolution", Image),
        Sample("masked", "masked and shared weights", Masked),
    )
}  # fmt: skip

# One of each kind, for a first look: these take about half a minute, all of them twice that.
QUICK = ("leaky", "rnn", "lif", "lif_layer", "coupled", "image")


def sample(name: str) -> Sample:
    """Return a model by name: one of the list, or a cell of `etp.nn` such as ``MGUCell``.

    Raises
    ------
    etp.ETPError
        If there is none.
    """
    if name in SAMPLES:
        return SAMPLES[name]
    cells = {n.lower(): n for n in nn.cells()}
    found = cells.get(name.lower()) or cells.get(f"{name.lower()}cell")
    if found is None:
        raise ETPError(f"no model {name!r}{nearest(name, [*SAMPLES, *nn.cells()])}")
    return Sample(found, found, _of_nn(found, **_lively(nn.cells()[found])))


def _lively(cell: type[Module]) -> dict[str, Any]:
    """Return options under which a cell does something within a few steps."""
    known = signature(cell).parameters
    wanted = {**_SPIKING, "dt_min": 0.3, "dt_max": 1.0}
    return {n: x for n, x in wanted.items() if n in known}


def data(length: int, batch: int, seed: int = 1) -> tuple[Array, Array]:
    """Return inputs and targets, (T, B, ...); inputs are positive on average, for spikes."""
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=(length, batch, N_IN)) + 0.5
    return xs, rng.normal(size=(length, batch, N_OUT))
