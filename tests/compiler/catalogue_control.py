"""Scenarios with structured control flow and with convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp import xp
from tests.compiler.catalogue import N_IN, N, read, scenario

W, U = (N_IN, N), (N, N)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N}, needs=("cond",))
def product_in_one_branch(m: Any, x: Any) -> Any:
    """A weight that acts only where a condition holds."""
    h = m.h.value
    m.h.value = etp.cond(x[0] > 0, lambda: 0.8 * h + xp.tanh(etp.matmul(x, m.w)), lambda: 0.5 * h)
    return read(m.h.value)


@scenario("h", relations={"w": "h", "v": "h"}, exact="w v", params={"w": W, "v": W},
          states={"h": N}, needs=("cond",))  # fmt: skip
def products_in_both_branches(m: Any, x: Any) -> Any:
    """A weight in each branch."""
    h = m.h.value
    m.h.value = etp.cond(
        x[0] > 0, lambda: 0.8 * h + xp.tanh(etp.matmul(x, m.w)),
        lambda: 0.5 * h + xp.sigmoid(etp.matmul(x, m.v)),
    )  # fmt: skip
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N}, needs=("cond",))
def cond_gated(m: Any, x: Any) -> Any:
    """The state is updated or kept, by a condition on the state; no NaN from the dead branch."""
    drive, h = etp.matmul(x, m.w), m.h.value
    m.h.value = etp.cond(
        xp.sum(h) < 0.5, lambda: 0.8 * h + xp.tanh(drive),
        lambda: 0.9 * h + xp.log(xp.abs(h) + 1.0),
    )  # fmt: skip
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N},
          needs=("fori_loop",))  # fmt: skip
def sub_steps(m: Any, x: Any) -> Any:
    """An integrator of five sub-steps; the product stands outside the loop."""
    drive = xp.tanh(etp.matmul(x, m.w))
    m.h.value = etp.fori_loop(0, 5, lambda i, h: h + 0.2 * (drive - xp.sin(h)), m.h.value)
    return read(m.h.value)


@scenario("v", relations={"w": "v"}, exact="w", params={"w": W}, states={"v": N},
          needs=("scan",), slow=True)  # fmt: skip
def spiking_in_forty_sub_steps(m: Any, x: Any) -> Any:
    """A spiking neuron integrated in a loop too long to unroll."""
    drive = etp.matmul(x, m.w)

    def body(v: Any, _: Any) -> Any:
        z = etp.spike(v - 0.5, "sigmoid")
        return 0.9 * v - 0.5 * z + 0.2 * drive, z

    m.v.value, spikes = etp.scan(body, m.v.value, None, length=40)
    return read(xp.mean(spikes, axis=0) + m.v.value)


@scenario("v a", relations={"w": "v a"}, exact="w", params={"w": W}, states={"v": N, "a": N},
          needs=("scan",), slow=True)  # fmt: skip
def two_states_in_forty_sub_steps(m: Any, x: Any) -> Any:
    """The same with an adapting threshold: two carries."""
    drive = etp.matmul(x, m.w)

    def body(carry: Any, _: Any) -> Any:
        v, a = carry
        z = etp.spike(v - 0.5 - 0.2 * a, "sigmoid")
        return (0.9 * v - 0.5 * z + 0.2 * drive, 0.95 * a + 0.1 * z), z

    (m.v.value, m.a.value), spikes = etp.scan(body, (m.v.value, m.a.value), None, length=40)
    return read(xp.mean(spikes, axis=0) + m.v.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N},
          needs=("scan",))  # fmt: skip
def state_read_from_a_stack(m: Any, x: Any) -> Any:
    """The new state is read from the stacked results of a loop, not from its carry."""
    drive = xp.tanh(etp.matmul(x, m.w))

    def body(h: Any, _: Any) -> Any:
        h = h + 0.2 * (drive - h)
        return h, h

    _, stack = etp.scan(body, m.h.value, None, length=3)
    m.h.value = stack[-1]
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N}, needs=("scan",),
          slow=True)  # fmt: skip
def product_in_a_loop(m: Any, x: Any) -> Any:
    """A weight product in the body of a long loop, which does not wait for its rounds."""
    body = lambda h, _: (h + 0.02 * (xp.tanh(etp.matmul(x, m.w)) - h), None)  # noqa: E731
    m.h.value, _ = etp.scan(body, m.h.value, None, length=40)
    return read(m.h.value)


def _settled(h: Any, drive: Any, times: int) -> Any:
    for _ in range(times):
        h = 0.5 * h + 0.5 * xp.tanh(drive + 0.3 * h)
    return h


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N})
def settling_twin(m: Any, x: Any) -> Any:
    """A state relaxing for four sub-steps, written out."""
    m.h.value = _settled(m.h.value, etp.matmul(x, m.w), 4)
    return read(m.h.value)


@scenario("h", relations={"w": "h"}, exact="w", params={"w": W}, states={"h": N},
          needs=("while_loop",), slow=True)  # fmt: skip
def settling_while(m: Any, x: Any) -> Any:
    """The same four sub-steps in a loop whose end is found while it runs."""
    drive = etp.matmul(x, m.w)

    def body(carry: Any) -> Any:
        i, h = carry
        return i + 1, _settled(h, drive, 1)

    _, m.h.value = etp.while_loop(lambda c: c[0] < 4, body, (xp.asarray(0), m.h.value))
    return read(m.h.value)


@scenario(params={"w": W}, states={"h": N}, needs=("while_loop",), refused="inside of a while loop")
def product_in_a_while(m: Any, x: Any) -> Any:
    """A weight product inside a loop without a known end."""

    def body(carry: Any) -> Any:
        i, h = carry
        return i + 1, 0.5 * h + 0.5 * xp.tanh(etp.matmul(x, m.w))

    _, m.h.value = etp.while_loop(lambda c: c[0] < 3, body, (xp.asarray(0), m.h.value))
    return read(m.h.value)


@scenario("h", relations={"k": "h"}, approximate="k", slow=True)
class ConvRnn(etp.Module):
    """A recurrent convolution."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.k = etp.Param(rng.normal(size=(3, 1, 1)))
        self.h = etp.State((2, 1))

    def __call__(self, x: Any) -> Any:
        drive = etp.conv(x[:, None] + self.h.value, self.k, padding="SAME")
        self.h.value = xp.tanh(drive)
        return self.h.value[:, 0]
