"""etp: the sparse spiking layer of `bench.sparse_work`."""

from __future__ import annotations

from typing import Any

import etp
from etp import xp

from ..cases import MEMBRANE_DECAY, PP_PROP_DECAY, SYNAPSE_DECAY, THRESHOLD
from ..sparse_work import Arrays, Prepared, Work


class Network(etp.Module):
    """Leaky integrate-and-fire units with sparse recurrent weights, and a readout."""

    def __init__(self, work: Work, given: Arrays) -> None:
        self.pattern = etp.sparse_pattern((given["rows"], given["cols"], (work.n, work.n)))
        self.w_rec = etp.Param(given["w_rec"])
        self.w_in, self.w_out = etp.Param(given["w_in"]), etp.Param(given["w_out"])
        self.i, self.v = etp.State((work.n,)), etp.State((work.n,))

    def __call__(self, x: Any) -> Any:
        v = self.v.value
        s = etp.spike(v - THRESHOLD, surrogate="arctan")
        recurrent = etp.sparse_matmul(s, self.w_rec, sparse_mat=self.pattern)
        self.i.value = SYNAPSE_DECAY * self.i.value + etp.matmul(x, self.w_in) + recurrent
        drive = (1 - MEMBRANE_DECAY) * self.i.value
        self.v.value = MEMBRANE_DECAY * v + drive - THRESHOLD * s
        return etp.matmul(etp.spike(self.v.value - THRESHOLD, surrogate="arctan"), self.w_out)


def _squares(output: Any, target: Any) -> Any:
    error = output - target
    return xp.sum(error * error)


def prepare(work: Work, given: Arrays, backend: str) -> Prepared:
    """Return the gradient of a sequence and a pass of training on a backend."""
    learner = etp.compile(
        Network(work, given), etp.rules.PPProp(decay=PP_PROP_DECAY), _squares, backend=backend,
        batch_size=work.batch, window=0,
    )  # fmt: skip
    xs, ys = given["xs"], given["ys"]
    # Adam moves every weight by its rate: the wider the layer, the smaller it must be.
    optimizer = etp.optim.adam(0.75 / work.n)
    wait: Any = (lambda found: found) if backend == "numpy" else _ready()

    def gradient() -> Any:
        learner.reset()
        return wait(learner.grad(xs, ys, reduction="sum")[0])

    def train() -> float:
        learner.reset()
        return float(learner.fit([(xs, ys)], optimizer=optimizer, update="step").loss[-1])

    return Prepared(gradient, train)


def _ready() -> Any:
    import jax

    return jax.block_until_ready
