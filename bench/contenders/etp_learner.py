"""etp: the three networks as modules, and ``Learner.grad`` over the whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp

from ..cases import (
    GATES,
    LEAK,
    MEMBRANE_DECAY,
    PP_PROP_DECAY,
    SYNAPSE_DECAY,
    THRESHOLD,
    Arrays,
    Case,
)
from . import Prepared


class Affine(etp.Module):
    """``x W_in + h W_rec + b``, the bias optional."""

    def __init__(self, params: Arrays, prefix: str = "") -> None:
        self.w_in = etp.Param(params[f"{prefix}w_in"])
        self.w_rec = etp.Param(params[f"{prefix}w_rec"])
        self.b = etp.Param(params[f"{prefix}b"]) if f"{prefix}b" in params else None

    def __call__(self, x: Any, h: Any) -> Any:
        return etp.matmul(x, self.w_in, self.b) + etp.matmul(h, self.w_rec)


class Leaky(etp.Module):
    """The leaky tanh network."""

    def __init__(self, case: Case, params: Arrays) -> None:
        self.layer = Affine(params)
        self.h = etp.State((case.n,))

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        self.h.value = (1 - LEAK) * h + LEAK * xp.tanh(self.layer(x, h))
        return self.h.value


class GRU(etp.Module):
    """Reset before the product, as in the paper by Cho et al."""

    def __init__(self, case: Case, params: Arrays) -> None:
        self.z, self.r, self.c = (Affine(params, f"{gate}.") for gate in GATES)
        self.h = etp.State((case.n,))

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        z, r = _sigmoid(self.z(x, h)), _sigmoid(self.r(x, h))
        self.h.value = (1 - z) * h + z * xp.tanh(self.c(x, r * h))
        return self.h.value


class LIF(etp.Module):
    """Leaky integrate-and-fire units with an exponential current synapse."""

    def __init__(self, case: Case, params: Arrays) -> None:
        self.layer = Affine(params)
        self.i = etp.State((case.n,))
        self.v = etp.State((case.n,))

    def __call__(self, x: Any) -> Any:
        v = self.v.value
        s = etp.spike(v - THRESHOLD, surrogate="arctan")
        self.i.value = SYNAPSE_DECAY * self.i.value + self.layer(x, s)
        drive = (1 - MEMBRANE_DECAY) * self.i.value
        self.v.value = MEMBRANE_DECAY * v + drive - THRESHOLD * s
        return etp.spike(self.v.value - THRESHOLD, surrogate="arctan")


class Network(etp.Module):
    """A recurrent layer and its readout."""

    def __init__(self, case: Case, params: Arrays) -> None:
        self.cell = {"leaky": Leaky, "gru": GRU, "lif": LIF}[case.model](case, params)
        self.w = etp.Param(params["out.w"])
        self.b = etp.Param(params["out.b"])

    def __call__(self, x: Any) -> Any:
        return etp.matmul(self.cell(x), self.w, self.b)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))


def _squares(output: Any, target: Any) -> Any:
    error = output - target
    return xp.sum(error * error)


def _named(case: Case, grads: dict[str, Any]) -> Arrays:
    """Return the gradients under the names the case uses."""
    gates = {"cell.z.": "z.", "cell.r.": "r.", "cell.c.": "h."}
    prefixes = gates if case.model == "gru" else {"cell.layer.": ""}
    found = {"out.w": np.asarray(grads["w"]), "out.b": np.asarray(grads["b"])}
    for ours, theirs in prefixes.items():
        for name, value in grads.items():
            if name.startswith(ours):
                found[theirs + name.removeprefix(ours)] = np.asarray(value)
    return found


def prepare(
    case: Case, params: Arrays, xs: np.ndarray, ys: np.ndarray, backend: str, window: int
) -> Prepared:
    """Return ``Learner.grad`` of the whole sequence from a fresh state."""
    rule = etp.rules.PPProp(decay=PP_PROP_DECAY) if case.rule == "pp_prop" else case.rule
    learner = etp.compile(
        Network(case, params), rule=rule, loss=_squares, backend=backend,
        batch_size=case.batch, window=window, schedule="auto",
    )  # fmt: skip
    if backend == "numpy":
        wait, inputs = (lambda grads: grads), (xs, ys)
    else:
        import jax

        wait, inputs = jax.block_until_ready, jax.device_put((xs, ys))

    def run() -> Any:
        learner.reset()
        return wait(learner.grad(*inputs, reduction="sum")[0])

    return Prepared(run, lambda grads: _named(case, grads))
