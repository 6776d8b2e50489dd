"""Models that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp


class LinearValue(etp.Module):
    """A linear value; the state is there because a model has one."""

    def __init__(self, n: int) -> None:
        self.w = etp.Param(np.zeros((n, 1)))
        self.last = etp.State((n,))

    def __call__(self, x: Any) -> Any:
        self.last.value = x
        return etp.matmul(x, self.w)


class Heads(etp.Module):
    """A recurrent cell below a value and a policy."""

    def __init__(self, cell: etp.Module, width: int, actions: int, *, rng: Any) -> None:
        rng = np.random.default_rng(rng)
        self.cell = cell
        self.value = etp.nn.Linear(width, 1, rng=rng)
        self.policy = etp.nn.Linear(width, actions, rng=rng)

    def __call__(self, x: Any) -> Any:
        h = self.cell(x)
        return xp.concat([self.value(h), self.policy(h)])


class Value(etp.Module):
    """A recurrent cell below a value."""

    def __init__(self, cell: etp.Module, width: int, *, rng: Any) -> None:
        self.cell, self.value = cell, etp.nn.Linear(width, 1, rng=rng)

    def __call__(self, x: Any) -> Any:
        return self.value(self.cell(x))


def gru_value(n_in: int = 3, width: int = 4) -> etp.Module:
    return Value(etp.nn.GRUCell(n_in, width, rng=1), width, rng=2)


def gru_heads(n_in: int = 3, width: int = 4, actions: int = 2) -> etp.Module:
    return Heads(etp.nn.GRUCell(n_in, width, rng=1), width, actions, rng=2)
