"""Where the battery puts a primitive: before a stateful layer, and inside of a recurrent loop."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.primitives.drawn import Drawn

LEAK = 0.7


class Before(etp.Module):
    """A leaky layer that the primitive drives: every path through time is position-wise."""

    def __init__(self, drawn: Drawn, *, linear: bool = False) -> None:
        self.p = {n: etp.Param(w) for n, w in drawn.weights.items()}
        self.call = drawn.call
        self.linear = linear
        self.h = etp.State(np.shape(drawn.call(drawn.x, drawn.weights)))

    def __call__(self, x: Any) -> Any:
        new = LEAK * self.h.value + self.call(x, self.p)
        self.h.value = new if self.linear else xp.tanh(new)
        return self.h.value


class Inside(etp.Module):
    """A leaky layer whose state comes back through the primitive."""

    def __init__(self, drawn: Drawn) -> None:
        self.p = {n: etp.Param(w) for n, w in drawn.weights.items()}
        self.call = drawn.call
        y = drawn.call(drawn.x, drawn.weights)
        rng = np.random.default_rng(7)
        self.back = rng.normal(size=(np.size(y), drawn.x.size if not drawn.indices else np.size(y)))
        self.x_shape, self.y_shape = np.shape(drawn.x), np.shape(y)
        self.integer = bool(drawn.indices)
        self.h = etp.State(self.y_shape, init=0.1 * rng.normal(size=self.y_shape))

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        mixed = 0.5 * xp.matmul(xp.reshape(h, (-1,)), self.back)
        if self.integer:
            drive = self.call(x, self.p) * xp.cos(xp.reshape(mixed, self.y_shape))
        else:
            drive = self.call(x + xp.reshape(mixed, self.x_shape), self.p)
        self.h.value = LEAK * h + xp.tanh(drive)
        return self.h.value
