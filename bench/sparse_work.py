"""The work of ``python -m bench sparse``: a spiking layer with sparse recurrent weights.

Needs NumPy only, because it is imported by every interpreter that takes part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Run = Callable[[], Any]


@dataclass(frozen=True)
class Work:
    """Leaky integrate-and-fire units, each with so many recurrent inputs, learn to tell classes.

    One step is ``s = H(v - 1)``, ``i' = 0.9 i + x W_in + s W_rec``,
    ``v' = 0.95 v + 0.05 i' - s``, with a linear readout of the spikes ``H(v' - 1)`` and the squared
    error to a one-hot class at every step; pp-prop with window 0.
    """

    n: int
    fan_in: int = 20
    inputs: int = 20
    outputs: int = 10
    batch: int = 16
    steps: int = 20
    seed: int = 0

    @property
    def nnz(self) -> int:
        """Nonzeros of the recurrent weight."""
        return self.n * min(self.fan_in, self.n)

    @property
    def unit_mib(self) -> float:
        """One number for each nonzero and example, in MiB: what memory is measured in."""
        return self.nnz * self.batch * 4 / 2**20

    def arrays(self) -> Arrays:
        """Return places and weights, inputs (T, B, inputs) and targets (T, B, outputs)."""
        rng = np.random.default_rng(self.seed)
        k = min(self.fan_in, self.n)
        # Row by row within a column, the order in which products want them.
        columns = [np.sort(rng.choice(self.n, k, replace=False)) for _ in range(self.n)]

        def normal(std: float, *shape: int) -> np.ndarray:
            return (std * rng.standard_normal(shape)).astype(np.float32)

        rates = rng.uniform(0, 0.6, (self.outputs, self.inputs))
        classes = rng.integers(0, self.outputs, self.batch)
        drawn = rng.random((self.steps, self.batch, self.inputs))
        target = np.eye(self.outputs, dtype=np.float32)[classes]
        return {
            "rows": np.concatenate(columns).astype(np.int32),
            "cols": np.repeat(np.arange(self.n, dtype=np.int32), k),
            "w_rec": normal(1.0 / np.sqrt(k), self.nnz),
            "w_in": normal(1.5, self.inputs, self.n),
            "w_out": normal(1.0 / np.sqrt(self.n), self.n, self.outputs),
            "xs": (drawn < rates[classes]).astype(np.float32),
            "ys": np.broadcast_to(target, (self.steps, *target.shape)).copy(),
        }


@dataclass(frozen=True)
class Prepared:
    """A contender ready to run.

    ``gradient()`` returns the gradient of a sequence by parameter; ``train()`` makes one pass over
    it with an update of Adam at every step and returns the mean loss, None where it has none.
    """

    gradient: Run
    train: Run | None = None
