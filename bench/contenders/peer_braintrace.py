"""BrainTrace: the three networks as brainstate modules, driven as its documentation shows."""

from __future__ import annotations

from typing import Any

import brainstate
import braintools
import braintrace
import jax
import jax.numpy as jnp
import numpy as np

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


def linear(*blocks: np.ndarray, bias: np.ndarray | None) -> Any:
    """Return its Linear over inputs side by side; the cells it ships are written like this."""
    weight = np.concatenate(blocks)
    b_init = None if bias is None else jnp.asarray(bias)
    return braintrace.nn.Linear(*weight.shape, w_init=jnp.asarray(weight), b_init=b_init)


class Leaky(brainstate.nn.Module):
    """The leaky tanh network, on its own matrix product."""

    def __init__(self, case: Case, params: Arrays) -> None:
        super().__init__()
        self.n = case.n
        self.w = linear(params["w_in"], params["w_rec"], bias=params["b"])

    def init_state(self, batch_size: int | None = None, **_: Any) -> None:
        self.h = brainstate.HiddenState(_zeros(self.n, batch_size))

    def reset_state(self, batch_size: int | None = None, **_: Any) -> None:
        self.h.value = jnp.zeros_like(self.h.value)

    def update(self, x: jax.Array) -> jax.Array:
        h = self.h.value
        c = jnp.tanh(self.w(jnp.concatenate([x, h], axis=-1)))
        self.h.value = (1 - LEAK) * h + LEAK * c
        return self.h.value


class LIF(brainstate.nn.Module):
    """Leaky integrate-and-fire units with an exponential current synapse."""

    def __init__(self, case: Case, params: Arrays) -> None:
        super().__init__()
        self.n = case.n
        self.w = linear(params["w_in"], params["w_rec"], bias=None)
        # Slope 2 makes its derivative 1 / (1 + (pi x)^2).
        self.spike = braintools.surrogate.Arctan(alpha=2.0)

    def init_state(self, batch_size: int | None = None, **_: Any) -> None:
        self.i = brainstate.HiddenState(_zeros(self.n, batch_size))
        self.v = brainstate.HiddenState(_zeros(self.n, batch_size))

    def reset_state(self, batch_size: int | None = None, **_: Any) -> None:
        self.i.value, self.v.value = jnp.zeros_like(self.i.value), jnp.zeros_like(self.v.value)

    def update(self, x: jax.Array) -> jax.Array:
        v = self.v.value
        s = self.spike(v - THRESHOLD)
        i = SYNAPSE_DECAY * self.i.value + self.w(jnp.concatenate([x, s], axis=-1))
        # One state to an equation: its compiler refuses two, so the reset is applied to v first.
        v = MEMBRANE_DECAY * v - THRESHOLD * s
        self.i.value = i
        self.v.value = v + (1 - MEMBRANE_DECAY) * i
        return self.spike(self.v.value - THRESHOLD)


class Network(brainstate.nn.Module):
    """A recurrent layer and its readout."""

    def __init__(self, case: Case, params: Arrays) -> None:
        super().__init__()
        if case.model == "gru":
            self.cell = braintrace.nn.GRUCell(case.n, case.n)
            for gate in GATES:
                weight = np.concatenate([params[f"{gate}.w_in"], params[f"{gate}.w_rec"]])
                layer = getattr(self.cell, f"W{gate}")
                layer.weight.value = {
                    "weight": jnp.asarray(weight), "bias": jnp.asarray(params[f"{gate}.b"])
                }  # fmt: skip
        else:
            self.cell = {"leaky": Leaky, "lif": LIF}[case.model](case, params)
        self.out = linear(params["out.w"], bias=params["out.b"])

    def update(self, x: jax.Array) -> jax.Array:
        return self.out(self.cell(x))


def _zeros(n: int, batch_size: int | None) -> jax.Array:
    return jnp.zeros((n,) if batch_size is None else (batch_size, n))


def _named(case: Case, grads: dict[tuple[str, ...], Any]) -> Arrays:
    found: Arrays = {}
    for path, value in grads.items():
        weight, bias = np.asarray(value["weight"]), value.get("bias")
        if path[0] == "out":
            found |= {"out.w": weight, "out.b": np.asarray(bias)}
            continue
        prefix = f"{path[1][1:]}." if case.model == "gru" else ""
        found |= {f"{prefix}w_in": weight[: case.n], f"{prefix}w_rec": weight[case.n :]}
        if bias is not None:
            found[f"{prefix}b"] = np.asarray(bias)
    return found


def prepare(
    case: Case, params: Arrays, xs: np.ndarray, ys: np.ndarray,
    vmap: bool = False, vjp_method: str = "single-step",
) -> Prepared:  # fmt: skip
    """Return its sequence driver over a fresh learner, inside its jit."""
    model = Network(case, params)
    options: dict[str, Any] = {"vjp_method": vjp_method}
    if case.rule == "pp_prop":
        options["decay_or_rank"] = PP_PROP_DECAY
    inputs, targets = jax.device_put((xs, ys))
    learner = braintrace.compile(
        model, case.rule, inputs[0], batch_size=case.batch, vmap=vmap, **options
    )
    inner = learner.module if vmap else learner

    def step_loss(x: jax.Array, y: jax.Array) -> jax.Array:
        error = learner(x) - y
        return jnp.sum(error * error)

    @brainstate.transform.jit
    def gradient(inputs: jax.Array, targets: jax.Array) -> Any:
        for state in (*inner.hidden_states.values(), *_traces(inner)):
            state.value = jax.tree.map(jnp.zeros_like, state.value)
        return learner.etrace_grad(inputs, targets, step_fn=step_loss, reduction="sum")

    return Prepared(
        lambda: jax.block_until_ready(gradient(inputs, targets)),
        lambda result: _named(case, result),
    )


def _traces(learner: Any) -> list[Any]:
    held = learner.states(brainstate.ShortTermState)
    return [s for s in held.values() if s not in learner.hidden_states.values()]
