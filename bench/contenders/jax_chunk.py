"""D-RTRL and pp-prop by hand in plain JAX, the whole sequence as one chunk: no trace is kept.

The trace is linear in its past, so with fixed weights the sum over steps of signal times trace is
a reverse recurrence on ``(B, n)`` arrays and one product over all steps and examples.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..cases import (
    LEAK,
    MEMBRANE_DECAY,
    PP_PROP_DECAY,
    SYNAPSE_DECAY,
    THRESHOLD,
    Arrays,
    Case,
)
from . import Prepared
from .jax_models import Params, drive, pack, rollout, spike, spike_slope, unpack, visible

Seqs = dict[str, jax.Array]


def adjoint(decay: jax.Array | float, source: jax.Array) -> jax.Array:
    """Return ``lam[t] = source[t+1] + decay[t+1] lam[t+1]``, zero at the last step."""

    def step(lam: jax.Array, now: tuple[jax.Array, Any]) -> tuple[jax.Array, jax.Array]:
        term, varying = now
        return term + (decay if varying is None else varying) * lam, lam

    varying = None if isinstance(decay, float) else decay
    lams: jax.Array = lax.scan(step, jnp.zeros_like(source[0]), (source, varying), reverse=True)[1]
    return lams


def outer(x: jax.Array, d: jax.Array) -> jax.Array:
    """Return the weight gradient summed over steps and examples: one product."""
    return x.reshape(-1, x.shape[-1]).T @ d.reshape(-1, d.shape[-1])


def leaky(p: Params, xs: jax.Array, seqs: Seqs, signal: jax.Array, window: int) -> Params:
    """Return the gradients of the recurrent layer; ``signal`` is dL/dh of each step alone."""
    u = LEAK * (1 - seqs["c"] ** 2)
    back = signal * (1 - LEAK)
    if window:
        back = back + (u * signal) @ p["w_rec"].T
    d = u * (signal + adjoint(1 - LEAK, back))
    return {"w_in": outer(xs, d), "w_rec": outer(seqs["h"], d), "b": d.sum((0, 1))}


def gru(p: Params, xs: jax.Array, seqs: Seqs, signal: jax.Array, window: int) -> Params:
    """Return the gradients of the recurrent layer, gates side by side."""
    h, z, r, c = (seqs[k] for k in "hzrc")
    n = h.shape[-1]
    u_z, u_h = (c - h) * z * (1 - z), z * (1 - c * c)
    d_rh = (u_h * signal) @ p["w_rec"][:, 2 * n :].T
    d_r = d_rh * h * r * (1 - r)
    back = signal * (1 - z)
    if window:
        d_zr = jnp.concatenate([u_z * signal, d_r], axis=-1)
        back = back + d_zr @ p["w_rec"][:, : 2 * n].T + d_rh * r
    total = signal + adjoint(1 - z, back)
    d = jnp.concatenate([u_z * total, d_r, u_h * total], axis=-1)
    w_rec = jnp.concatenate([outer(h, d[..., : 2 * n]), outer(r * h, d[..., 2 * n :])], axis=1)
    return {"w_in": outer(xs, d), "w_rec": w_rec, "b": d.sum((0, 1))}


def lif(p: Params, xs: jax.Array, seqs: Seqs, signal: jax.Array, window: int) -> Params:
    """Return the pp-prop gradients; ``signal`` is dL/dv' of each step alone."""
    k, drive_v = PP_PROP_DECAY, 1 - MEMBRANE_DECAY
    spikes, slope = spike(seqs["v"]), spike_slope(seqs["v"])
    keep = MEMBRANE_DECAY - THRESHOLD * slope

    def advance(e: tuple[jax.Array, ...], now: tuple[jax.Array, ...]) -> Any:
        e_x, e_s, f_i, f_v = e
        x, s, keep = now
        to_i = k * SYNAPSE_DECAY * f_i + (1 - k)
        to_v = k * (drive_v * SYNAPSE_DECAY * f_i + keep * f_v) + (1 - k) * drive_v
        after = (k * e_x + x, k * e_s + s, to_i, to_v)
        return after, e if window else after

    zero = jnp.zeros_like(slope[0])
    start = (jnp.zeros_like(xs[0]), zero, zero, zero)
    traces: tuple[jax.Array, ...] = lax.scan(advance, start, (xs, spikes, keep))[1]
    e_x, e_s, f_i, f_v = traces
    steps = jnp.arange(1, len(xs) + 1, dtype=xs.dtype)[:, None, None]
    if not window:
        d = signal * f_v / (1 - k**steps)
        return {"w_in": outer(e_x, d), "w_rec": outer(e_s, d)}
    direct = signal * drive_v
    back_v = keep * signal + slope * (direct @ p["w_rec"].T)
    d = direct * SYNAPSE_DECAY * f_i + back_v * f_v
    d = d / jnp.where(steps > 1, 1 - k ** (steps - 1), 1.0)
    return {
        "w_in": outer(xs, direct) + outer(e_x, d),
        "w_rec": outer(spikes, direct) + outer(e_s, d),
    }


RULES = {"leaky": leaky, "gru": gru, "lif": lif}


def prepare(case: Case, params: Arrays, xs: np.ndarray, ys: np.ndarray, window: int) -> Prepared:
    """Return the jitted online gradient of the whole sequence."""
    device = jax.device_put((params, xs, ys))

    @jax.jit
    def gradient(params: Params, xs: jax.Array, ys: jax.Array) -> Params:
        p = pack(case, params)
        seqs = rollout(case, p, drive(case, p, xs))
        seen = visible(case, seqs)
        d_out = 2 * (seen @ p["out.w"] + p["out.b"] - ys)
        signal = d_out @ p["out.w"].T
        if case.model == "lif":
            signal = signal * spike_slope(seqs["v_next"])
        grads = RULES[case.model](p, xs, seqs, signal, window)
        return unpack(case, grads | {"out.w": outer(seen, d_out), "out.b": d_out.sum((0, 1))})

    return Prepared(
        lambda: jax.block_until_ready(gradient(*device)),
        lambda result: {k: np.asarray(v) for k, v in result.items()},
    )
