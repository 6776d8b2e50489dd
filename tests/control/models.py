"""Small models with choices and loops inside of a step; a new one joins by one line here."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.models import N_IN, N_OUT, N_REC, WithReadout


class SubStepped(etp.Module):
    """A leaky unit integrated in many small steps, with its input held fixed."""

    def __init__(self, rng: np.random.Generator, steps: int = 40, recurrent: bool = False) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.wr = etp.Param(rng.normal(size=(N_REC, N_REC))) if recurrent else None
        self.v = etp.State((N_REC,), init=0.1)
        self.steps = steps

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.w)
        if self.wr is not None:
            drive = drive + etp.matmul(self.v.value, self.wr)
        dt = 1 / self.steps
        self.v.value = etp.fori_loop(
            0, self.steps, lambda i, v: v + dt * (xp.tanh(drive) - v * v * v), self.v.value
        )
        return self.v.value


class Adaptive(etp.Module):
    """Two states in sub-steps; the stack of voltages is read out."""

    def __init__(self, rng: np.random.Generator, steps: int = 40) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.a = etp.State((N_REC,))
        self.v = etp.State((N_REC,))
        self.steps = steps

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.w)
        dt = 2 / self.steps

        def step(carry: Any, _: Any) -> Any:
            v, a = carry["v"], carry["a"]
            spikes = etp.spike(v - 0.2 - a)
            moved = {"v": v + dt * (drive - v) - 0.3 * spikes, "a": a + dt * (0.5 * v - a)}
            return moved, (moved["v"], spikes)

        carry = {"v": self.v.value, "a": self.a.value}
        carry, (voltages, spikes) = etp.scan(step, carry, length=self.steps)
        self.v.value, self.a.value = carry["v"], carry["a"]
        return xp.mean(voltages, axis=0) + xp.tanh(voltages[-1]) + 0.1 * xp.sum(spikes, axis=0)


class Products(etp.Module):
    """A weight product in every sub-step, with the weights of the steps stacked or shared."""

    def __init__(self, rng: np.random.Generator, stacked: bool = False, **options: Any) -> None:
        shape = (N_IN, N_REC)
        self.w = etp.Param(rng.normal(size=(5, *shape) if stacked else shape))
        self.h = etp.State((N_REC,))
        self.stacked = stacked
        self.options = options

    def __call__(self, x: Any) -> Any:
        def step(h: Any, w: Any) -> Any:
            w = self.w if w is None else w
            h = 0.8 * h + 0.2 * xp.tanh(etp.matmul(x * xp.cos(xp.sum(x)), w) + h)
            return h, h

        xs = self.w if self.stacked else None
        self.h.value, stack = etp.scan(
            step, self.h.value, xs, None if self.stacked else 5, **self.options
        )
        return stack[2] + self.h.value


class Gated(etp.Module):
    """The state moves only where a condition on its input holds."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        z = etp.matmul(x, self.w)
        self.h.value = etp.cond(
            x[0] > 0.5, lambda: 0.7 * self.h.value + xp.tanh(z), lambda: 0.9 * self.h.value
        )
        return self.h.value


class Dangerous(etp.Module):
    """The branch that is not taken has a logarithm of a negative number, and a weight."""

    def __init__(self, rng: np.random.Generator, state: bool = True) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.k = etp.Param(rng.normal(size=N_REC))
        self.h = etp.State((N_REC,))
        self.state = state

    def __call__(self, x: Any) -> Any:
        z = etp.matmul(x, self.w)
        level = x[0] - 0.5
        positive = level > 0

        def then() -> Any:
            return xp.log(level) * self.k + xp.sqrt(level) / level + z

        value = etp.cond(positive, then, lambda: self.k * 0.1 - z)
        if self.state:
            self.h.value = 0.5 * self.h.value + xp.tanh(value)
            return self.h.value
        self.h.value = 0.5 * self.h.value + xp.tanh(z)
        return self.h.value + value


class InBranches(etp.Module):
    """Weight products inside of one branch, or of both."""

    def __init__(self, rng: np.random.Generator, both: bool = False) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.u = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.b = etp.Param(rng.normal(size=N_REC))
        self.h = etp.State((N_REC,))
        self.both = both

    def __call__(self, x: Any) -> Any:
        h = self.h.value

        def then(x: Any) -> Any:
            return xp.tanh(etp.matmul(xp.log(x[0] - 0.5) * x, xp.abs(self.w), self.b)) + 0.5 * h

        def otherwise(x: Any) -> Any:
            return 0.3 * etp.matmul(x, self.u if self.both else self.w) + 0.8 * h

        base = 0.1 * etp.element_wise(self.b) + 0.1 * etp.matmul(x, self.u)
        self.h.value = etp.cond(x[0] > 0.5, then, otherwise, x) + base
        return self.h.value


class Nested(etp.Module):
    """A choice in a loop in a choice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.h = etp.State((N_REC,), init=0.2)

    def __call__(self, x: Any) -> Any:
        z = etp.matmul(x, self.w)

        def step(i: Any, h: Any) -> Any:
            return etp.cond(xp.sum(h) > 0.4, lambda h: 0.8 * h, lambda h: h + 0.1 * xp.tanh(z), h)

        self.h.value = etp.cond(
            x[1] > 0.5, lambda h: etp.fori_loop(0, 20, step, h), lambda h: h * 0.9 + 0.1 * z,
            self.h.value,
        )  # fmt: skip
        return self.h.value


class Assigning(etp.Module):
    """A cell of its own, advanced several times within a step."""

    def __init__(self, rng: np.random.Generator, unroll: int = 16) -> None:
        self.cell = etp.nn.LIFCell(N_IN, N_REC, threshold=0.4, recurrent=False, rng=rng)
        self.unroll = unroll

    def __call__(self, x: Any) -> Any:
        _, spikes = etp.scan(
            lambda carry, _: (carry, self.cell(x)), None, length=6, unroll=self.unroll
        )
        return xp.sum(spikes, axis=0)


class Settling(etp.Module):
    """A network that settles within each step until it hardly moves."""

    def __init__(self, rng: np.random.Generator, rounds: int | None = None) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.u = etp.Param(0.4 * rng.normal(size=(N_REC, N_REC)))
        self.h = etp.State((N_REC,))
        self.rounds = rounds

    def __call__(self, x: Any) -> Any:
        z = etp.matmul(x, self.w)

        def settle(h: Any) -> Any:
            return 0.5 * h + 0.5 * xp.tanh(z + h @ self.u)

        if self.rounds is None:
            h = etp.while_loop(
                lambda h: xp.sum(xp.square(settle(h) - h)) > 1e-2, settle, self.h.value
            )
        else:
            h = self.h.value
            for _ in range(self.rounds):
                h = xp.where(xp.sum(xp.square(settle(h) - h)) > 1e-2, settle(h), h)
        self.h.value = h
        return h


class Damped(etp.Module):
    """Each unit is halved until the largest is small; the number of rounds depends on all."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        h = 0.9 * self.h.value + etp.matmul(x, self.w)
        self.h.value, rounds = etp.while_loop(
            lambda held: xp.max(xp.abs(held[0])) > 0.6,
            lambda held: (0.9 * xp.sin(held[0]), held[1] + 1), (h, 0),
        )  # fmt: skip
        return self.h.value * (1 + xp.astype(rounds, xp.float64))


class FromParts(etp.Module):
    """The input of a weight product in a long loop comes from outside of it, slice by slice."""

    def __init__(self, rng: np.random.Generator, steps: int = 300) -> None:
        self.w = etp.Param(rng.normal(size=(N_IN, N_REC)))
        self.h = etp.State((N_REC,))
        self.times = np.linspace(0, 3, steps)

    def __call__(self, x: Any) -> Any:
        def step(h: Any, t: Any) -> Any:
            drive = etp.matmul(x * xp.cos(t), self.w) + etp.matmul(x, xp.abs(self.w))
            return h + 0.02 * (drive - h * h * h), None

        self.h.value, _ = etp.scan(step, self.h.value, self.times)
        return self.h.value


CELLS: dict[str, Any] = {
    "substepped": SubStepped,
    "substepped_recurrent": lambda rng: SubStepped(rng, recurrent=True),
    "adaptive": Adaptive,
    "adaptive_long": lambda rng: Adaptive(rng, steps=300),
    "products": Products,
    "products_rolled": lambda rng: Products(rng, unroll=0),
    "products_stacked": lambda rng: Products(rng, stacked=True),
    "products_stacked_rolled": lambda rng: Products(rng, stacked=True, unroll=0, reverse=True),
    "gated": Gated,
    "dangerous": Dangerous,
    "dangerous_readout": lambda rng: Dangerous(rng, state=False),
    "one_branch": InBranches,
    "both_branches": lambda rng: InBranches(rng, both=True),
    "nested": Nested,
    "assigning": Assigning,
    "assigning_rolled": lambda rng: Assigning(rng, unroll=0),
    "settling": Settling,
    "settling_twin": lambda rng: Settling(rng, rounds=24),
    "damped": Damped,
    "from_parts": FromParts,
}


def build(name: str, seed: int = 0) -> etp.Module:
    """Return the model called ``name``, with a readout."""
    rng = np.random.default_rng(seed)
    return WithReadout(CELLS[name](rng), etp.nn.Linear(N_REC, N_OUT, rng=rng))
