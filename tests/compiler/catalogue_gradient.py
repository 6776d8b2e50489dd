"""Scenarios whose gradients tell rules apart: what is exact, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.compiler.catalogue import N_IN, N, read, scenario

W, U = (N_IN, N), (N, N)
GATE = ("gate.w_in", "gate.w_rec", "gate.b")


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N})
def leaky_linear(m: Any, x: Any) -> Any:
    """A linear integrator."""
    m.h.value = 0.9 * m.h.value + etp.matmul(x, m.w)
    return read(m.h.value)


@scenario(
    "first.h", "second.h",
    relations={f"{c}.{w}": f"{c}.h" for c in ("first", "second") for w in GATE},
    approximate=" ".join(f"{c}.{w}" for c in ("first", "second") for w in GATE),
)  # fmt: skip
class StackedTanh(etp.Module):
    """Two recurrent layers: credit through time crosses from the first to the second."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first = etp.nn.VanillaRNNCell(N_IN, N, rng=rng)
        self.second = etp.nn.VanillaRNNCell(N, N, rng=rng)

    def __call__(self, x: Any) -> Any:
        return read(self.second(self.first(x)))


@scenario("h", "v", relations={"w": "h", "u": "v"}, approximate="w", exact="u",
          params={"w": W, "u": U}, states={"h": N, "v": N})  # fmt: skip
def stacked_leaky(m: Any, x: Any) -> Any:
    """Two integrators in series, neither recurrent: the first still acts across time."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    m.v.value = 0.8 * m.v.value + xp.tanh(etp.matmul(m.h.value, m.u))
    return read(m.v.value)


@scenario("h c", relations={"w": "h c"}, exact="w", params={"w": W}, states={"h": N, "c": N})
def two_state_old(m: Any, x: Any) -> Any:
    """Two states, each reading the old value of the other."""
    h, c = m.h.value, m.c.value
    m.h.value = 0.8 * h - 0.3 * c + xp.tanh(etp.matmul(x, m.w))
    m.c.value = 0.6 * c + 0.5 * xp.tanh(h)
    return read(m.h.value)


@scenario("h", relations={"w": "h", "u.expr": "h"}, approximate="w u")
class SparseRing(etp.Module):
    """A recurrent weight on a ring of units, by a mask."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, 5)))
        self.u = etp.Param(rng.normal(size=(5, 5)))
        self.ring = np.roll(np.eye(5), 1, axis=1)
        self.h = etp.State((5,))

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.w) + etp.matmul(self.h.value, self.ring * self.u)
        self.h.value = xp.tanh(0.5 * self.h.value + drive)
        return read(self.h.value)


@scenario("h c", relations={"w": "h c", "u.expr": "h c"}, approximate="w u", slow=True)
class SparseRingTwoStates(SparseRing):
    """The ring with an adapting second state."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.c = etp.State((5,))

    def __call__(self, x: Any) -> Any:
        h, c = self.h.value, self.c.value
        drive = etp.matmul(x, self.w) + etp.matmul(h, self.ring * self.u)
        self.h.value = xp.tanh(0.5 * h - 0.4 * c + drive)
        self.c.value = 0.9 * c + 0.1 * self.h.value
        return read(self.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N})
def rolled_tail(m: Any, x: Any) -> Any:
    """The result of the product moves to other positions on its way."""
    m.h.value = 0.7 * m.h.value + xp.roll(xp.tanh(etp.matmul(x, m.w)), 1)
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, approximate="w", params={"w": W}, states={"h": N})
def rolled_state(m: Any, x: Any) -> Any:
    """The state itself moves round: its influence leaves its position."""
    m.h.value = 0.7 * xp.roll(m.h.value, 1) + xp.tanh(etp.matmul(x, m.w))
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W},
          states={"h": (N, np.array([0.5, -1.0, 2.0]))})  # fmt: skip
def nonzero_start(m: Any, x: Any) -> Any:
    """A state that starts somewhere."""
    m.h.value = xp.tanh(0.9 * m.h.value + etp.matmul(x, m.w))
    return read(m.h.value)


@scenario("h", relations={"w": "h", "h0": "h"}, exact="w h0", quick=True)
class TrainedStart(etp.Module):
    """A state that starts from a trained parameter."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.h0 = etp.Param(rng.normal(size=N))
        self.h = etp.State(init=self.h0)

    def __call__(self, x: Any) -> Any:
        self.h.value = xp.tanh(0.9 * self.h.value + etp.matmul(x, self.w))
        return read(self.h.value)


@scenario("h", relations={"w": "h"}, exact="w")
class DelayedReward(etp.Module):
    """A counter opens the output at the fifth step only: all credit is in the past."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.h = etp.State((N,))
        self.n = etp.State((), dtype="int32")

    def __call__(self, x: Any) -> Any:
        self.n.value = self.n.value + 1
        self.h.value = 0.9 * self.h.value + xp.tanh(etp.matmul(x, self.w)) / (
            1.0 + xp.astype(self.n.value, self.h.value.dtype)
        )
        return read(xp.where(self.n.value == 5, 1.0, 0.3) * self.h.value)


@scenario("a", "b", relations={"w": "a", "v": "b"}, exact="w v",
          params={"w": W, "v": (N_IN, 2 * N)}, states={"a": N, "b": 2 * N}, slow=True)  # fmt: skip
def two_islands(m: Any, x: Any) -> Any:
    """Two networks of different widths that share nothing but the output."""
    m.a.value = 0.7 * m.a.value + xp.tanh(etp.matmul(x, m.w))
    m.b.value = 0.4 * m.b.value + xp.sigmoid(etp.matmul(x, m.v))
    return read(m.a.value) + read(m.b.value[:N] * m.b.value[N:])


# -- states of every wiring ----------------------------------------------------------------
@scenario("v a", relations={"w": "v a"}, exact="w", params={"w": W}, states={"v": N, "a": N})
def difference_of_states(m: Any, x: Any) -> Any:
    """``V - a``: two states in one equation."""
    m.v.value = 0.8 * (m.v.value - m.a.value) + etp.matmul(x, m.w)
    m.a.value = 0.9 * m.a.value + 0.1 * xp.tanh(m.v.value - m.a.value)
    return read(m.v.value)


@scenario("c h", relations={"w": "c h", "g": "c h"}, exact="w g", params={"w": W, "g": W},
          states={"c": N, "h": N}, quick=True)  # fmt: skip
def in_step_coupling(m: Any, x: Any) -> Any:
    """The new value of one state feeds the other within the step."""
    m.c.value = xp.sigmoid(etp.matmul(x, m.g)) * m.c.value + etp.matmul(x, m.w) - 0.1 * m.h.value
    m.h.value = 0.5 * m.h.value + xp.tanh(m.c.value)
    return read(m.h.value)


@scenario("a b c", relations={"w": "a b c"}, exact="w", params={"w": W},
          states={"a": N, "b": N, "c": N}, slow=True)  # fmt: skip
def coupling_out_of_order(m: Any, x: Any) -> Any:
    """Three states assigned in another order than they are declared in."""
    m.c.value = 0.5 * m.c.value + xp.tanh(etp.matmul(x, m.w)) - 0.2 * m.a.value
    m.a.value = 0.7 * m.a.value + xp.tanh(m.c.value)
    m.b.value = 0.6 * m.b.value + m.a.value * m.c.value
    return read(m.b.value)


@scenario("h", relations={"w": "h", "v": "h"}, exact="w v", params={"w": W, "v": W},
          states={"h": N})  # fmt: skip
def assigned_twice(m: Any, x: Any) -> Any:
    """A state assigned twice in a step."""
    m.h.value = 0.8 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    m.h.value = xp.tanh(m.h.value) + 0.3 * m.h.value * xp.sigmoid(etp.matmul(x, m.v))
    return read(m.h.value)


@scenario("h", "k", relations={"w": "h"}, exact="w", params={"w": W},
          states={"h": N, "k": (N, 0.5)})  # fmt: skip
def never_assigned(m: Any, x: Any) -> Any:
    """A state that is read and keeps its value; it scales the input, not the state."""
    m.h.value = 0.8 * m.h.value + xp.tanh(etp.matmul(x * m.k.value[:2], m.w))
    return read(m.h.value)


@scenario("h", "s", relations={"w": ("h", "s"), "v": "s"}, exact="v", approximate="w",
          params={"w": W, "v": W}, states={"h": N, "s": 2})  # fmt: skip
def different_shapes(m: Any, x: Any) -> Any:
    """States of different shapes in one cell, one reading a slice of the other."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    m.s.value = 0.5 * m.s.value + xp.tanh(etp.matmul(x, m.v))[1:] + 0.3 * m.h.value[:2]
    return m.s.value


@scenario("h", "v", relations={"w": "h", "back": "h", "u": "v"}, approximate="w back u",
          params={"w": W, "u": U, "back": U}, states={"h": N, "v": N}, quick=True)  # fmt: skip
def delayed_feedback(m: Any, x: Any) -> Any:
    """The second layer acts on the first one step later."""
    feedback = etp.matmul(m.v.value, m.back)
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w) + feedback)
    m.v.value = 0.8 * m.v.value + xp.tanh(etp.matmul(m.h.value, m.u))
    return read(m.v.value)


@scenario("h", "v", relations={"w": "h", "u": "v", "skip": "v"}, approximate="w",
          exact="u skip", params={"w": W, "u": U, "skip": W}, states={"h": N, "v": N})  # fmt: skip
def skip_connection(m: Any, x: Any) -> Any:
    """The second layer also sees the input."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    drive = etp.matmul(m.h.value, m.u) + etp.matmul(x, m.skip)
    m.v.value = 0.8 * m.v.value + xp.tanh(drive)
    return read(m.v.value)


@scenario("h", "mean", relations={"w": "h"}, exact="w", params={"w": W},
          states={"h": N, "mean": 2})  # fmt: skip
def running_statistics(m: Any, x: Any) -> Any:
    """A running mean of the input, which carries no derivative."""
    m.mean.value = 0.9 * m.mean.value + 0.1 * etp.stop_gradient(x)
    m.h.value = 0.8 * m.h.value + xp.tanh(etp.matmul(x - m.mean.value, m.w))
    return read(m.h.value)


@scenario("h mean", relations={"w": "h mean"}, exact="w", params={"w": W},
          states={"h": N, "mean": N}, slow=True)  # fmt: skip
def running_mean_of_the_state(m: Any, x: Any) -> Any:
    """A running mean of the state itself, detached, that the state reads."""
    m.h.value = 0.8 * m.h.value + xp.tanh(etp.matmul(x, m.w) - m.mean.value)
    m.mean.value = 0.9 * m.mean.value + 0.1 * etp.stop_gradient(m.h.value)
    return read(m.h.value)
