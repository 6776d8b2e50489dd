"""Scenarios of what a compiler must find its way through."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.compiler.catalogue import N_IN, N_OUT, N, read, scenario

GATE = ("gate.w_in", "gate.w_rec", "gate.b")
W, U, READ = (N_IN, N), (N, N), (N, N_OUT)


@scenario(
    "h",
    relations={"w": "h"},
    approximate="w",
    params={"w": (N_IN + N, N)},
    states={"h": N},
    quick=True,
)
def tanh_rnn(m: Any, x: Any) -> Any:
    """One product of input and state: the state's part mixes positions in time."""
    m.h.value = xp.tanh(etp.matmul(xp.concat([x, m.h.value]), m.w))
    return read(m.h.value)


@scenario("h", relations={"a": "h", "b": "h"}, exact="a b", params={"a": 2, "b": 2},
          states={"h": 2})  # fmt: skip
def elementwise_only(m: Any, x: Any) -> Any:
    """No product at all: a trained decay and a bias, position by position."""
    m.h.value = xp.tanh(etp.element_wise(m.a) * m.h.value + etp.element_wise(m.b) + x)
    return m.h.value


@scenario("h", relations={"w.in": "h", "w.rec": "h", "w.b": "h"}, approximate="w.in w.rec w.b")
class DictOfWeights(etp.Module):
    """Weights kept in a dict."""

    def __init__(self, rng: np.random.Generator) -> None:
        shapes = {"in": W, "rec": U, "b": N}
        self.w = {name: etp.Param(rng.normal(size=shape)) for name, shape in shapes.items()}
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.w["in"], self.w["b"])
        self.h.value = xp.tanh(drive + etp.matmul(self.h.value, self.w["rec"]))
        return read(self.h.value)


@scenario("h", relations={"w.expr": "h"}, exact="w")
class MaskedOutside(etp.Module):
    """A mask multiplied onto the weight before it enters the product."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.mask = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.8 * self.h.value + xp.tanh(etp.matmul(x, self.mask * self.w))
        return read(self.h.value)


@scenario(
    "cells.0.h", "cells.1.h", "cells.2.h",
    relations={f"cells.{i}.{w}": f"cells.{i}.h" for i in range(3) for w in GATE},
    approximate=" ".join(f"cells.{i}.{w}" for i in range(3) for w in GATE),
)  # fmt: skip
class ThreeStacked(etp.Module):
    """Three recurrent layers: each also acts on the later ones."""

    def __init__(self, rng: np.random.Generator) -> None:
        widths = (N_IN, N, N)
        self.cells = [etp.nn.VanillaRNNCell(n, N, rng=rng) for n in widths]

    def __call__(self, x: Any) -> Any:
        for cell in self.cells:
            x = cell(x)
        return read(x)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N}, quick=True)
def tied_twice(m: Any, x: Any) -> Any:
    """One weight in two products of a step."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w)) * xp.sigmoid(etp.matmul(x * x, m.w))
    return read(m.h.value)


@scenario("h", relations={"w": "h", "u": "h"}, approximate="w u",
          params={"w": (1, N), "u": U}, states={"h": ((2, N), None)})  # fmt: skip
def matrix_state(m: Any, x: Any) -> Any:
    """A state of two axes: the weight is shared along the first."""
    drive = etp.matmul(x[:, None], m.w) + etp.matmul(m.h.value, m.u)
    m.h.value = 0.7 * m.h.value + xp.tanh(drive)
    return xp.sum(m.h.value, axis=1)


@scenario("h", relations={"w": "h", "u": "h"}, approximate="w", exact="u",
          params={"w": W, "u": U}, states={"h": N}, quick=True)  # fmt: skip
def partial_path(m: Any, x: Any) -> Any:
    """One product reaches the state directly and through another product."""
    y = etp.matmul(x, m.w)
    m.h.value = 0.6 * m.h.value + xp.tanh(y) + xp.tanh(etp.matmul(xp.tanh(y), m.u))
    return read(m.h.value)


@scenario("h c", relations={"w": "h c"}, exact="w", params={"w": W}, states={"h": N, "c": N})
def fan_out(m: Any, x: Any) -> Any:
    """One product feeds two states."""
    y = etp.matmul(x, m.w)
    m.c.value = 0.5 * m.c.value + xp.sigmoid(y)
    m.h.value = 0.8 * m.h.value + xp.tanh(y) + 0.1 * m.c.value
    return read(m.h.value)


@scenario("h", relations={"inner.weight": "h", "inner.bias": "h"}, exact="inner.weight inner.bias")
class SubmoduleTwice(etp.Module):
    """One submodule applied twice in a step."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.inner = etp.nn.Linear(N_IN, N, rng=rng)
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        drive = xp.tanh(self.inner(x)) + xp.sigmoid(self.inner(-x))
        self.h.value = 0.7 * self.h.value + drive
        return read(self.h.value)


@scenario("h", relations={"w": "h"}, exact="w v", params={"w": W, "v": W}, states={"h": N})
def residual_skip(m: Any, x: Any) -> Any:
    """The readout also sees the input, past the state."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    return read(m.h.value + etp.matmul(x, m.v))


class _Inner(etp.Module):
    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W))
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.7 * self.h.value + xp.tanh(etp.matmul(x, self.w))
        return self.h.value


class _Middle(etp.Module):
    def __init__(self, rng: np.random.Generator) -> None:
        self.parts = [_Inner(rng)]

    def __call__(self, x: Any) -> Any:
        return self.parts[0](x)


@scenario("deep.inner.parts.0.h", relations={"deep.inner.parts.0.w": "deep.inner.parts.0.h"},
          exact="deep.inner.parts.0.w")  # fmt: skip
class NestedThreeDeep(etp.Module):
    """Parameters and states under dicts, modules and lists."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.deep = {"inner": _Middle(rng)}

    def __call__(self, x: Any) -> Any:
        return read(self.deep["inner"](x))


@scenario("h", relations={"b": "h"}, exact="b")
class ConstantWeight(etp.Module):
    """A weight that is not trained, with a bias that is."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.w = etp.Param(rng.normal(size=W), trainable=False)
        self.b = etp.Param(rng.normal(size=N))
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.7 * self.h.value + xp.tanh(etp.matmul(x, self.w, self.b))
        return read(self.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N})
def tanh_chain(m: Any, x: Any) -> Any:
    """Several element-wise operations between product and state."""
    y = xp.tanh(xp.tanh(xp.tanh(etp.matmul(x, m.w))))
    m.h.value = xp.tanh(0.5 * m.h.value + xp.exp(-y) * xp.sqrt(y * y + 1.0) - 0.3 * y**3)
    return read(m.h.value)


@scenario("h", relations={"u": "h"}, exact="u", direct="w", params={"w": W, "u": U},
          states={"h": N})  # fmt: skip
def two_in_series(m: Any, x: Any) -> Any:
    """Two products in series: the first reaches the state only through the second."""
    m.h.value = 0.7 * m.h.value + etp.matmul(xp.tanh(etp.matmul(x, m.w)), m.u)
    return read(m.h.value)


@scenario("h", relations={"w": "h", "v": "h"}, exact="w v", params={"w": W, "v": W},
          states={"h": N})  # fmt: skip
def two_fan_in(m: Any, x: Any) -> Any:
    """Two products meet in one state."""
    drive = xp.tanh(etp.matmul(x, m.w)) * xp.sigmoid(etp.matmul(x, m.v))
    m.h.value = 0.7 * m.h.value + drive
    return read(m.h.value)


@scenario("h", "c", relations={"w": "h", "v": "c"}, exact="w v", params={"w": W, "v": W},
          states={"h": N, "c": N})  # fmt: skip
def independent_states(m: Any, x: Any) -> Any:
    """Two states that never meet."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    m.c.value = 0.4 * m.c.value + xp.tanh(etp.matmul(x, m.v))
    return read(m.h.value * m.c.value)


@scenario("h", relations={}, direct="w u", params={"w": W, "u": U}, states={"h": N})
def plain_product(m: Any, x: Any) -> Any:
    """Weights used with the ordinary product: the gradient of each step only."""
    m.h.value = xp.tanh(x @ m.w + m.h.value @ m.u)
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, direct="u", approximate="w", params={"w": W, "u": U},
          states={"h": N})  # fmt: skip
def plain_and_traced(m: Any, x: Any) -> Any:
    """An ordinary product beside a traced one."""
    m.h.value = xp.tanh(etp.matmul(x, m.w) + m.h.value @ m.u)
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w out b plain",
          params={"w": W, "out": READ, "b": 2, "plain": READ}, states={"h": N})  # fmt: skip
def readouts_have_no_past(m: Any, x: Any) -> Any:
    """Weights that never reach a state: their direct gradient is exact, traced or not."""
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    return etp.matmul(m.h.value, m.out, m.b) + xp.tanh(m.h.value) @ m.plain


@scenario("h", relations={"w": "h"}, exact="w", unreachable="v lost", params={"w": W, "v": W,
          "lost": W}, states={"h": N}, slow=True)  # fmt: skip
def weights_without_effect(m: Any, x: Any) -> Any:
    """A weight whose result is dropped, and one whose way is cut by hand."""
    etp.matmul(x, m.lost)
    m.h.value = 0.7 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    return read(m.h.value + etp.stop_gradient(etp.matmul(x, m.v)))


def _decayed(h: Any, drive: Any, *, rate: float = 0.7) -> Any:
    """A function of the user's own."""
    return rate * h + xp.tanh(drive)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N})
def helper_function(m: Any, x: Any) -> Any:
    """Part of the step is a function elsewhere."""
    m.h.value = _decayed(m.h.value, etp.matmul(x, m.w))
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N}, slow=True)
def python_loop(m: Any, x: Any) -> Any:
    """A loop of Python unrolls: three sub-steps of an integrator."""
    drive = etp.matmul(x, m.w)
    for _ in range(3):
        m.h.value = m.h.value + 0.2 * (xp.tanh(drive) - m.h.value)
    return read(m.h.value)
