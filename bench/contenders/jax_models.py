"""The three networks in plain JAX, one scan each, everything that can leave the scan left out.

``rollout`` takes the pre-activation of the input, computed for all steps in one product, and
returns what a gradient by hand needs at each step.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..cases import GATES, LEAK, MEMBRANE_DECAY, SYNAPSE_DECAY, THRESHOLD, Case

Params = dict[str, jax.Array]


@jax.custom_jvp
def spike(v: jax.Array) -> jax.Array:
    """Return 1 where ``v`` is past the threshold; the derivative is the surrogate."""
    return (v > THRESHOLD).astype(v.dtype)


def spike_slope(v: jax.Array) -> jax.Array:
    """Return the surrogate derivative ``1 / (1 + (pi (v - 1))^2)``."""
    return 1 / (1 + (jnp.pi * (v - THRESHOLD)) ** 2)


@spike.defjvp
def _spike_jvp(primals: Any, tangents: Any) -> Any:
    return spike(primals[0]), spike_slope(primals[0]) * tangents[0]


def pack(case: Case, params: Params) -> Params:
    """Return the parameters with the gates side by side, so that one product serves all."""
    if case.model != "gru":
        return params
    return {
        "w_in": jnp.concatenate([params[f"{g}.w_in"] for g in GATES], axis=1),
        "w_rec": jnp.concatenate([params[f"{g}.w_rec"] for g in GATES], axis=1),
        "b": jnp.concatenate([params[f"{g}.b"] for g in GATES]),
        "out.w": params["out.w"],
        "out.b": params["out.b"],
    }


def unpack(case: Case, packed: Params) -> Params:
    """Return the parameters (or gradients) under their own names again."""
    if case.model != "gru":
        return packed
    split = {k: jnp.split(packed[k], 3, axis=-1) for k in ("w_in", "w_rec", "b")}
    named = {f"{g}.{k}": parts[i] for k, parts in split.items() for i, g in enumerate(GATES)}
    return named | {"out.w": packed["out.w"], "out.b": packed["out.b"]}


def drive(case: Case, packed: Params, xs: jax.Array) -> jax.Array:
    """Return the input's part of the pre-activations ``(T, B, gates * n)`` in one product."""
    product = jnp.einsum("tbi,io->tbo", xs, packed["w_in"])
    return product + packed["b"] if "b" in packed else product


def rollout(case: Case, packed: Params, driven: jax.Array) -> dict[str, jax.Array]:
    """Run one scan over time and return the sequences of the quantities named in it."""
    step: Any = {"leaky": _leaky, "gru": _gru, "lif": _lif}[case.model]
    zero = jnp.zeros((case.batch, case.n), driven.dtype)
    state: Any = (zero, zero) if case.model == "lif" else zero
    seqs: Params = lax.scan(lambda s, a: step(packed["w_rec"], s, a), state, driven)[1]
    return seqs


def _leaky(w: jax.Array, h: jax.Array, a: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    c = jnp.tanh(a + h @ w)
    return h + LEAK * (c - h), {"h": h, "c": c}


def _gru(w: jax.Array, h: jax.Array, a: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    n = h.shape[-1]
    zr = jax.nn.sigmoid(a[:, : 2 * n] + h @ w[:, : 2 * n])
    z, r = zr[:, :n], zr[:, n:]
    rh = r * h
    c = jnp.tanh(a[:, 2 * n :] + rh @ w[:, 2 * n :])
    return h + z * (c - h), {"h": h, "z": z, "r": r, "c": c}


def _lif(w: jax.Array, state: Any, a: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    i, v = state
    s = spike(v)
    i = SYNAPSE_DECAY * i + a + s @ w
    after = MEMBRANE_DECAY * v + (1 - MEMBRANE_DECAY) * i - THRESHOLD * s
    return (i, after), {"v": v, "v_next": after}


def visible(case: Case, seqs: dict[str, jax.Array]) -> jax.Array:
    """Return what the readout sees at every step ``(T, B, n)``."""
    if case.model == "lif":
        return spike(seqs["v_next"])
    gain = LEAK if case.model == "leaky" else seqs["z"]
    return seqs["h"] + gain * (seqs["c"] - seqs["h"])
