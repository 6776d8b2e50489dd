"""Many kinds of small models, by name: what verdicts of rules are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import etp
from etp import xp
from tests.compiler.recipes import Layer, Product, Recipe, Update
from tests.compiler.recipes import build as build_recipe
from tests.compiler.test_generated import FOUND
from tests.models import NN_CELLS, build

N_IN, N, N_OUT = 2, 3, 2
THRESHOLD = 0.4
Make = Callable[[int], etp.Module]
ZOO: dict[str, Make] = {n: lambda seed, n=n: build(n, seed) for n in (
    *NN_CELLS, "ctrnn_tau", "gru_before", "lif_feedforward", "lif_full_reset", "leaky", "coupled",
    "plain", "masked", "two_layers", "lif+leaky", "gru+leaky",
)}  # fmt: skip


class Small(etp.Module):
    """A model of one function, with drawn parameters, states of zeros, and a readout."""

    def __init__(
        self, step: Callable[[Any, Any], Any], params: Mapping[str, Any],
        states: Mapping[str, Any], seed: int,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        for name, shape in params.items():
            setattr(self, name, etp.Param(rng.normal(size=shape)))
        for name, shape in states.items():
            setattr(self, name, etp.State(shape))
        self.step = step

    def __call__(self, x: Any) -> Any:
        return self.step(self, x)


def model(states: Mapping[str, Any] | str, **params: Any) -> Callable[[Any], Any]:
    """Enter a model that is a function ``(model, x) -> output``."""
    held = dict.fromkeys(states.split(), (N,)) if isinstance(states, str) else states

    def enter(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        ZOO[step.__name__] = lambda seed: Small(step, params, held, seed)
        return step

    return enter


IN, REC, OUT = (N_IN, N), (N, N), (N, N_OUT)


# -- leaky units -----------------------------------------------------------------------------
@model("h", w=IN, u=REC, out=OUT)
def leaky_tanh(m: Any, x: Any) -> Any:
    a = etp.matmul(x, m.w) + etp.matmul(m.h.value, m.u)
    m.h.value = 0.7 * m.h.value + 0.3 * xp.tanh(a)
    return etp.matmul(m.h.value, m.out)


@model("h", w=IN, out=OUT)
def leaky_tanh_feedforward(m: Any, x: Any) -> Any:
    m.h.value = 0.5 * m.h.value + 0.5 * xp.tanh(etp.matmul(x, m.w))
    return etp.matmul(m.h.value, m.out)


@model("h", w=IN, out=OUT)
def integrator(m: Any, x: Any) -> Any:
    m.h.value = m.h.value + 0.3 * etp.matmul(x, m.w)
    return etp.matmul(m.h.value, m.out)


@model("h", w=IN, leak=(), out=OUT)
def one_trained_leak(m: Any, x: Any) -> Any:
    m.h.value = xp.sigmoid(etp.element_wise(m.leak)) * m.h.value + etp.matmul(x, m.w)
    return etp.matmul(xp.sin(m.h.value), m.out)


@model("h g", w=IN, v=REC, out=OUT)
def leaky_stack(m: Any, x: Any) -> Any:
    m.h.value = 0.5 * m.h.value + xp.tanh(etp.matmul(x, m.w))
    m.g.value = 0.5 * m.g.value + xp.tanh(etp.matmul(m.h.value, m.v))
    return etp.matmul(m.g.value, m.out)


@model("h y", w=IN, out=OUT)
def leaky_readout_alone(m: Any, x: Any) -> Any:
    m.h.value = xp.tanh(etp.matmul(x, m.w))
    m.y.value = 0.8 * m.y.value + m.h.value
    return etp.matmul(m.y.value, m.out)


# -- no memory -------------------------------------------------------------------------------
@model("h", w=IN, out=OUT)
def forgetful(m: Any, x: Any) -> Any:
    m.h.value = xp.tanh(etp.matmul(x, m.w))
    return etp.matmul(m.h.value, m.out)


@model("h", w=IN, out=OUT, idle=OUT)
def one_is_idle(m: Any, x: Any) -> Any:
    m.h.value = 0.5 * m.h.value + etp.matmul(x, m.w)
    etp.matmul(m.h.value, m.idle)
    return etp.matmul(m.h.value, m.out)


@model("h t", w=IN, out=OUT)
def clock_beside(m: Any, x: Any) -> Any:
    m.t.value = m.t.value + np.array([1.0, 1.3, 0.7])
    m.h.value = xp.cos(m.t.value) * m.h.value + etp.matmul(x, m.w)
    return etp.matmul(m.h.value, m.out)


# -- spiking ---------------------------------------------------------------------------------
def fires(v: Any, threshold: Any = THRESHOLD) -> Any:
    return etp.spike(v - threshold, "fast_sigmoid")


@model("v", w=IN, out=OUT)
def lif_one_leak(m: Any, x: Any) -> Any:
    reset = THRESHOLD * etp.stop_gradient(fires(m.v.value))
    m.v.value = 0.5 * m.v.value + etp.matmul(x, m.w) - reset
    return etp.matmul(fires(m.v.value), m.out)


@model("v", w=IN, out=OUT)
def lif_other_leak(m: Any, x: Any) -> Any:
    reset = THRESHOLD * etp.stop_gradient(fires(m.v.value))
    m.v.value = 0.8 * m.v.value + etp.matmul(x, m.w) - reset
    return etp.matmul(fires(m.v.value), m.out)


@model("v", w=IN, out=OUT)
def lif_true_reset(m: Any, x: Any) -> Any:
    m.v.value = 0.5 * m.v.value + etp.matmul(x, m.w) - THRESHOLD * fires(m.v.value)
    return etp.matmul(fires(m.v.value), m.out)


@model("v", w=IN, u=REC, out=OUT)
def lif_recurrent(m: Any, x: Any) -> Any:
    z = fires(m.v.value)
    drive = etp.matmul(x, m.w) + etp.matmul(z, m.u)
    m.v.value = 0.5 * m.v.value + drive - THRESHOLD * etp.stop_gradient(z)
    return etp.matmul(fires(m.v.value), m.out)


@model("v a", w=IN, u=REC, out=OUT)
def alif_home(m: Any, x: Any) -> Any:
    z = fires(m.v.value, THRESHOLD + 0.3 * m.a.value)
    m.a.value = 0.9 * m.a.value + z
    drive = etp.matmul(x, m.w) + etp.matmul(z, m.u)
    m.v.value = 0.6 * m.v.value + drive - THRESHOLD * etp.stop_gradient(z)
    return etp.matmul(fires(m.v.value, THRESHOLD + 0.3 * m.a.value), m.out)


@model("v w", p=IN, q=REC, out=OUT)
def lif_stack(m: Any, x: Any) -> Any:
    held = etp.stop_gradient
    m.v.value = 0.5 * m.v.value + etp.matmul(x, m.p) - THRESHOLD * held(fires(m.v.value))
    below = etp.matmul(fires(m.v.value), m.q)
    m.w.value = 0.5 * m.w.value + below - THRESHOLD * held(fires(m.w.value))
    return etp.matmul(fires(m.w.value), m.out)


@model("v z", w=IN, u=REC, out=OUT)
def emission_held(m: Any, x: Any) -> Any:
    drive = etp.matmul(x, m.w) + etp.matmul(m.z.value, m.u)
    m.v.value = 0.5 * m.v.value + drive - THRESHOLD * etp.stop_gradient(m.z.value)
    m.z.value = fires(m.v.value)
    return etp.matmul(m.z.value, m.out)


@model({"v": (N,), "y": (N_OUT,)}, w=IN, out=OUT)
def lif_into_leaky_readout(m: Any, x: Any) -> Any:
    reset = THRESHOLD * etp.stop_gradient(fires(m.v.value))
    m.v.value = 0.5 * m.v.value + etp.matmul(x, m.w) - reset
    m.y.value = 0.9 * m.y.value + etp.matmul(fires(m.v.value), m.out)
    return m.y.value


# -- several states --------------------------------------------------------------------------
@model("c h", w=IN, v=IN, out=OUT)
def two_states(m: Any, x: Any) -> Any:
    c, h = m.c.value, m.h.value
    m.c.value = 0.6 * c + etp.matmul(x, m.w) - 0.3 * h
    m.h.value = 0.8 * h + xp.tanh(m.c.value) + etp.matmul(x, m.v)
    return etp.matmul(m.h.value, m.out)


@model("h d", w=IN, out=OUT)
def delayed_line(m: Any, x: Any) -> Any:
    held = m.h.value
    m.h.value = 0.5 * held + etp.matmul(x, m.w)
    m.d.value = held
    return etp.matmul(xp.sin(m.d.value), m.out)


@model({"h": (N,), "s": (1,)}, w=IN, out=OUT)
def pooled_state(m: Any, x: Any) -> Any:
    m.h.value = 0.5 * m.h.value + etp.matmul(x, m.w) + 0.2 * xp.tanh(m.s.value)
    m.s.value = 0.5 * m.s.value + xp.reshape(xp.mean(xp.sin(m.h.value)), (1,))
    return etp.matmul(m.h.value, m.out)


# -- weights ---------------------------------------------------------------------------------
@model("h", w=IN, u=REC, out=OUT)
def self_loops_alone(m: Any, x: Any) -> Any:
    drive = etp.matmul(x, m.w) + etp.matmul(m.h.value, np.eye(N) * m.u)
    m.h.value = xp.tanh(drive)
    return etp.matmul(m.h.value, m.out)


@model("h", w=IN, u=REC, out=OUT)
def triangular(m: Any, x: Any) -> Any:
    drive = etp.matmul(x, m.w) + etp.matmul(m.h.value, np.triu(np.ones(REC), 1) * m.u)
    m.h.value = 0.5 * m.h.value + xp.tanh(drive)
    return etp.matmul(m.h.value, m.out)


@model("h", w=IN, u=REC, out=OUT)
def tied(m: Any, x: Any) -> Any:
    drive = etp.matmul(x, m.w) + etp.matmul(m.h.value, m.u)
    m.h.value = 0.5 * m.h.value + xp.tanh(drive)
    return etp.matmul(xp.tanh(etp.matmul(m.h.value, m.u)), m.out)


@model("h", w=IN, out=OUT)
def used_twice(m: Any, x: Any) -> Any:
    m.h.value = 0.5 * m.h.value + etp.matmul(x, m.w) * xp.sigmoid(etp.matmul(x * x, m.w))
    return etp.matmul(m.h.value, m.out)


@model("h", a=(N,), b=(N,), w=IN, out=OUT)
def element_wise_alone(m: Any, x: Any) -> Any:
    drive = xp.concat([x, x[:1]])
    m.h.value = xp.tanh(etp.element_wise(m.a) * m.h.value + etp.element_wise(m.b) * drive)
    return etp.matmul(m.h.value, m.out) + xp.tanh(x @ m.w.value)[:N_OUT]


@model("h", w=IN, u=REC, out=OUT)
def rolled(m: Any, x: Any) -> Any:
    m.h.value = 0.5 * xp.roll(m.h.value, 1) + xp.tanh(etp.matmul(x, m.w))
    return etp.matmul(xp.sin(m.h.value) @ m.u.value, m.out)


@model({"h": (4, 2)}, k=(3, 1, 2), out=(8, N_OUT))
def convolved(m: Any, x: Any) -> Any:
    signal = xp.reshape(xp.concat([x, x * x]), (4, 1))
    m.h.value = 0.5 * m.h.value + xp.tanh(etp.conv(signal, m.k, padding="SAME"))
    return etp.matmul(xp.reshape(m.h.value, (8,)), m.out)


@model({"h": (2, N)}, w=(2, 1, N), out=(2 * N, N_OUT))
def heads(m: Any, x: Any) -> Any:
    drive = etp.einsum("hi,hio->ho", xp.reshape(x, (2, 1)), m.w)
    m.h.value = 0.5 * m.h.value + xp.tanh(drive)
    return etp.matmul(xp.reshape(m.h.value, (2 * N,)), m.out)


def _recipe(*products: Product, decay: str | None = "fixed", first: int = 0) -> Make:
    update = Update(0, decay, products=products)
    return lambda seed: build_recipe(Recipe((Layer(N, ("zero",), (update,)),), seed=first + seed))


ZOO |= {
    # With patterns in which every unit is driven, and drives others.
    "sparse": _recipe(Product(operation="sparse"), Product("own0", operation="sparse"), first=7),
    "embedded": _recipe(Product(operation="embedding"), Product()),
    "einsum": _recipe(Product(operation="einsum")),
    "low_rank": _recipe(Product(operation="lora")),
    "own_operation": _recipe(Product(operation="own")),
    "convolved_state": _recipe(Product(), Product("own0", operation="conv")),
    "normalised": _recipe(Product(tail="layer_norm")),
    "product_of_products": _recipe(Product(tail="product")),
    "fast_weight": _recipe(Product("x", "fast", bias=True)),
    "trained_decays": _recipe(Product(bias=True), decay="vector"),
    "plain_decay": _recipe(Product(), decay="plain"),
}
for _k, _found in enumerate(FOUND):
    ZOO[f"found_{_k}"] = lambda seed, r=_found: build_recipe(r)
