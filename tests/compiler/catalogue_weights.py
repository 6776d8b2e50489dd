"""Scenarios of weights that are expressions, and of what happens to a product's result."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.compiler.catalogue import N_IN, N, read, scenario

W = (N_IN, N)


def leaky(m: Any, drive: Any) -> Any:
    """Let the state integrate a drive; return the output."""
    m.h.value = 0.8 * m.h.value + xp.tanh(drive)
    return read(m.h.value)


# -- expressions ---------------------------------------------------------------------------
@scenario("h", relations={"w.expr": "h"}, exact="w")
class SignedWeight(etp.Module):
    """``abs(w) * sign``: the sign of a weight is kept."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.sign = np.where(rng.random(W) < 0.5, -1.0, 1.0)
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        return leaky(self, etp.matmul(x, xp.abs(self.w) * self.sign))


@scenario(
    "h",
    relations={"w_v.expr": "h"},
    exact="w v",
    params={"w": W, "v": W},
    states={"h": N},
    quick=True,
)
def summed_weights(m: Any, x: Any) -> Any:
    """``w1 + w2``: two parameters behind one product."""
    return leaky(m, etp.matmul(x, m.w + m.v))


@scenario("h", relations={"w_v.expr": "h"}, exact="w v", params={"w": (N_IN, 1), "v": (N_IN, 2)},
          states={"h": N})  # fmt: skip
def concatenated_weights(m: Any, x: Any) -> Any:
    """A weight put together from parts."""
    return leaky(m, etp.matmul(x, xp.concat([m.w, xp.tanh(m.v)], axis=1)))


@scenario("h", relations={"w.expr": "h"}, exact="w", params={"w": (N_IN + 1, N + 2)},
          states={"h": N})  # fmt: skip
def sliced_weight(m: Any, x: Any) -> Any:
    """Part of a larger parameter; the rest is unused."""
    return leaky(m, etp.matmul(x, m.w[1:, 1:4]))


@scenario("h", relations={"w_gain.expr": "h"}, exact="w gain", params={"w": W, "gain": N},
          states={"h": N})  # fmt: skip
def standardised_weight(m: Any, x: Any) -> Any:
    """Weight standardisation with a trained gain."""
    d = m.w - xp.mean(m.w, axis=0)
    return leaky(m, etp.matmul(x, m.gain * d / xp.sqrt(xp.mean(d * d, axis=0) + 0.1)))


@scenario("h", relations={"w_v.expr": "h"}, exact="w v",
          params={"w": (N_IN, 1), "v": (1, N)}, states={"h": N})  # fmt: skip
def low_rank_weight(m: Any, x: Any) -> Any:
    """A product of parameters as weight."""
    return leaky(m, etp.matmul(x, m.w @ m.v))


@scenario("h", relations={"w": "h", "w.expr": "h"}, exact="w", params={"w": (N_IN, N_IN)},
          states={"h": N_IN})  # fmt: skip
def tied_transposed(m: Any, x: Any) -> Any:
    """A weight and its transpose."""
    return leaky(m, etp.matmul(x, m.w) + etp.matmul(xp.tanh(x), m.w.T))


@scenario("h", relations={"w": "h"}, approximate="w", params={"w": W}, states={"h": N})
def traced_and_plain_use(m: Any, x: Any) -> Any:
    """The same weight goes through a traced and an ordinary product."""
    return leaky(m, etp.matmul(x, m.w) + xp.tanh(x) @ m.w)


@scenario("h", relations={}, direct="w", params={"w": W}, states={"h": N})
def fast_weight(m: Any, x: Any) -> Any:
    """A weight that depends on the state: the direct gradient of each step."""
    return leaky(m, etp.matmul(x, m.w * (1.0 + 0.5 * xp.tanh(xp.sum(m.h.value)))))


@scenario("h", relations={}, direct="w", params={"w": W}, states={"h": N})
def driven_weight(m: Any, x: Any) -> Any:
    """A weight that depends on the input."""
    return leaky(m, etp.matmul(x, m.w * xp.sigmoid(x[0])))


@scenario("h", relations={"a.expr": "h", "w": "h"}, exact="a w", params={"a": N, "w": W},
          states={"h": N})  # fmt: skip
def trained_decay(m: Any, x: Any) -> Any:
    """A decay for each unit, kept between 0 and 1 by a function."""
    decay = etp.element_wise(m.a, xp.sigmoid)
    m.h.value = decay * m.h.value + (1 - decay) * etp.matmul(x, m.w)
    return read(m.h.value)


# -- tails ---------------------------------------------------------------------------------
@scenario(
    "h", relations={"w": "h"}, exact="w", params={"w": (N_IN, 3 * N)}, states={"h": N}, quick=True
)
def fused_gates(m: Any, x: Any) -> Any:
    """One product of width 3n, split into three gates."""
    f, i, g = xp.split(etp.matmul(x, m.w), 3)
    m.h.value = xp.sigmoid(f) * m.h.value + xp.sigmoid(i) * xp.tanh(g)
    return read(m.h.value)


@scenario("h", relations={"w": "h", "v": "h"}, exact="w v",
          params={"w": (N_IN, 2), "v": (N_IN, 1)}, states={"h": N})  # fmt: skip
def concatenated_results(m: Any, x: Any) -> Any:
    """Two products side by side in one state."""
    return leaky(m, xp.concat([etp.matmul(x, m.w), etp.matmul(x, m.v)]))


@scenario("h", relations={"w": "h"}, exact="w", params={"w": (N_IN, N + 2)}, states={"h": N})
def sliced_result(m: Any, x: Any) -> Any:
    """Part of a result; the rest goes nowhere."""
    return leaky(m, etp.matmul(x, m.w)[1:4])


@scenario("h", relations={"w": "h"}, exact="w", params={"w": (N_IN, 4)}, states={"h": 4})
def reshaped_result(m: Any, x: Any) -> Any:
    """Reshaped, permuted and flattened again: positions move and do not mix."""
    y = xp.tanh(xp.reshape(etp.matmul(x, m.w), (2, 2)))
    return leaky(m, xp.reshape(xp.permute_dims(y, (1, 0)), (4,)))


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N}, slow=True)
def flipped_result(m: Any, x: Any) -> Any:
    """Read backwards."""
    return leaky(m, xp.flip(etp.matmul(x, m.w)))


@scenario("h", relations={"w": "h"}, exact="w", params={"w": (N_IN, 2 * N)}, states={"h": N})
def pooled_in_place(m: Any, x: Any) -> Any:
    """Pairs are averaged: each element still reaches one position."""
    return leaky(m, xp.mean(xp.reshape(etp.matmul(x, m.w), (N, 2)), axis=1))


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N})
def gathered_result(m: Any, x: Any) -> Any:
    """Read at constant places, each at most once."""
    return leaky(m, xp.take(etp.matmul(x, m.w), np.array([2, 0, 1])))


@scenario("h", relations={}, direct="w", params={"w": W}, states={"h": N}, slow=True)
def gathered_twice(m: Any, x: Any) -> Any:
    """An element that reaches two positions."""
    return leaky(m, xp.take(etp.matmul(x, m.w), np.array([2, 0, 2])))


@scenario("h", relations={}, direct="w", params={"w": (N_IN, 1)}, states={"h": N})
def broadcast_result(m: Any, x: Any) -> Any:
    """One element that reaches every position."""
    return leaky(m, xp.broadcast_to(etp.matmul(x, m.w), (N,)))


@scenario("h", relations={"w": "h", "a.expr": "h"}, exact="a w", params={"a": (), "w": W},
          states={"h": N})  # fmt: skip
def scalar_decay(m: Any, x: Any) -> Any:
    """One trained number for all units."""
    m.h.value = etp.element_wise(m.a, xp.sigmoid) * m.h.value + xp.tanh(etp.matmul(x, m.w))
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, approximate="w", params={"w": W}, states={"h": N})
def normalised_result(m: Any, x: Any) -> Any:
    """Layer normalisation between product and state mixes positions."""
    y = etp.matmul(x, m.w)
    d = y - xp.mean(y)
    return leaky(m, d / xp.sqrt(xp.mean(d * d) + 0.1))


@scenario("h", relations={"w": "h"}, approximate="w", params={"w": W}, states={"h": N})
def softmax_result(m: Any, x: Any) -> Any:
    """So does a softmax."""
    return leaky(m, 3.0 * xp.softmax(etp.matmul(x, m.w)))


@scenario("h", relations={}, direct="w", params={"w": W}, states={"h": N}, slow=True)
def mean_of_result(m: Any, x: Any) -> Any:
    """Pooling over all positions, spread again."""
    return leaky(m, xp.broadcast_to(xp.mean(etp.matmul(x, m.w), keepdims=True), (N,)))


@scenario("h", relations={}, direct="w")
class PlainSecondProduct(etp.Module):
    """A constant matrix between product and state."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.mix = rng.normal(size=(N, N))
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        return leaky(self, xp.tanh(etp.matmul(x, self.w)) @ self.mix)


# -- readouts ------------------------------------------------------------------------------
@scenario("h", "readout.y", relations={"w": "h", "readout.weight": "readout.y",
                                       "readout.bias": "readout.y"},
          approximate="w", exact="readout.weight readout.bias")  # fmt: skip
class LeakyReadout(etp.Module):
    """A readout with a state of its own: what lies below it acts through its memory."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.h = etp.State((N,))
        self.readout = etp.nn.LeakyRateReadout(N, 2, rng=rng)

    def __call__(self, x: Any) -> Any:
        leaky(self, etp.matmul(x, self.w))
        return self.readout(self.h.value)
