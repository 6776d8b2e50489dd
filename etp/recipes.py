"""The models that can be trained by name, each with settings that work for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ModelError, nearest
from etp_ir.types import F32, TensorType

from . import nn
from .model import Module, trace_step
from .tasks import Task

Part = Callable[..., Module]


class Network(Module):
    """A recurrent cell and a readout of it."""

    def __init__(self, cell: Module, readout: Module) -> None:
        self.cell = cell
        self.readout = readout

    def __call__(self, x: Any) -> Any:
        """Return one score per class, or the numbers that are asked for."""
        return self.readout(self.cell(x))


@frozen
class Recipe:
    """How to build a model, and what it is trained with unless asked otherwise.

    Attributes
    ----------
    title
        Name for people.
    cell, readout
        Functions of the widths before and after, with keywords ``length``, the steps per
        sequence, and ``rng``.
    hidden, hidden_full
        Hidden units; for rules that keep the influence of every weight on every state.
    lr
        Learning rate when weights change at every step.
    weight_decay, epochs
        See `etp.runs.Config`.
    loss_share
        Share of the steps, at the end of each sequence, that carry the loss, where the task
        leaves it open.
    """

    title: str
    cell: Part
    readout: Part
    hidden: int = 64
    hidden_full: int = 16
    lr: float = 4e-3
    weight_decay: float = 0.0
    epochs: int = 16
    loss_share: float = 0.25

    def build(self, n_in: int, hidden: int, n_out: int, length: int, seed: int) -> Network:
        """Return the model with initial weights drawn from a seed."""
        rng = np.random.default_rng(seed)
        cell = self.cell(n_in, hidden, length=length, rng=rng)
        # Some cells return as many numbers as they read, whatever their states are.
        (width,) = trace_step(cell, TensorType(F32, (n_in,))).program.output("output").type.shape
        return Network(cell, self.readout(width, n_out, length=length, rng=rng))

    def rate(self, steps: int) -> float:
        """Return the learning rate when weights change every so many steps.

        Rarer updates average more gradients, which allows for longer steps.
        """
        return float(round(self.lr * min(steps, 8) ** 0.5, 6))

    def loss_steps(self, task: Task) -> int:
        """Return how many of the last steps of a task carry the loss."""
        if task.train.stepwise:
            return task.judged
        return max(1, round(task.length * self.loss_share))


def _plain(cell: Part) -> Part:
    """Return a part that does not depend on the length of sequences."""
    return lambda before, after, *, length, rng: cell(before, after, rng=rng)


def _spiking(cell: Part) -> Part:
    """Return neurons whose time constants are spread over the sequence.

    Some forget and others remember: Perez-Nieves et al., "Neural heterogeneity promotes robust
    learning", Nature Communications 2021.
    """

    def build(before: int, after: int, *, length: int, rng: np.random.Generator) -> Module:
        return cell(
            before, after, rng=rng, tau_mem=np.geomspace(length / 16, length, after),
            tau_syn=length / 24, threshold=0.5, reset="zero", surrogate="arctan",
        )  # fmt: skip

    return build


def _leaky(before: int, after: int, *, length: int, rng: np.random.Generator) -> Module:
    return nn.LeakyRateReadout(before, after, tau=length / 2, rng=rng)


_gated = partial(Recipe, readout=_plain(nn.Linear))
_network = partial(Recipe, readout=_leaky, hidden=256, lr=3e-3, epochs=20, loss_share=0.375)

_TUNED = {
    "gru": _gated("GRU", _plain(nn.GRUCell)),
    "lstm": _gated("LSTM", _plain(nn.LSTMCell)),
    "rnn": _gated("simple RNN", _plain(nn.VanillaRNNCell), hidden=128, lr=1e-3),
    "leaky_rnn": _gated("leaky tanh RNN", _plain(partial(nn.VanillaRNNCell, leak=0.3))),
    "lif": _network("LIF network", _spiking(nn.LIFCell)),
    "alif": _network("ALIF network", _spiking(nn.ALIFCell)),
}
# Every other cell with its own defaults; ``VanillaRNNCell`` is ``rnn``.
_OTHERS = {
    name.removesuffix("Cell"): cell
    for name, cell in nn.cells().items()
    if cell is not nn.VanillaRNNCell
}
RECIPES = {
    **{name.lower(): _gated(name, _plain(cell)) for name, cell in _OTHERS.items()},
    **_TUNED,
}


def recipe(model: str) -> Recipe:
    """Return the recipe of a model.

    Raises
    ------
    etp.ModelError
        If there is no model of that name.
    """
    if model.lower() not in RECIPES:
        raise ModelError(f"no model {model!r}{nearest(model, list(RECIPES))}")
    return RECIPES[model.lower()]
