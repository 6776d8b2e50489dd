"""Backpropagation through time in plain JAX: ``jax.grad`` of a jitted scan."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..cases import Arrays, Case
from . import Prepared
from .jax_models import Params, drive, pack, rollout, unpack, visible


def loss(
    case: Case, params: Params, xs: jax.Array, ys: jax.Array, nudge: Any = 0.0
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the summed squared error; ``nudge`` is added to the driven pre-activations."""
    packed = pack(case, params)
    seqs = rollout(case, packed, drive(case, packed, xs) + nudge)
    error = jnp.einsum("tbi,io->tbo", visible(case, seqs), packed["out.w"]) + packed["out.b"] - ys
    return jnp.sum(error * error), seqs


def hoisted(case: Case, params: Params, xs: jax.Array, ys: jax.Array) -> Params:
    """Return the same gradient, every weight product made once for all steps.

    ``jax.grad`` of a scan adds one small outer product to each weight gradient per step. Here only
    the pre-activations are differentiated through time.
    """
    packed = pack(case, params)
    width = packed["w_in"].shape[1]
    nudge = jnp.zeros((case.steps, case.batch, width), xs.dtype)
    readout = {k: params[k] for k in ("out.w", "out.b")}

    def objective(nudge: jax.Array, readout: Params) -> Any:
        return loss(case, jax.lax.stop_gradient(params) | readout, xs, ys, nudge)

    (d, grads), seqs = jax.grad(objective, (0, 1), has_aux=True)(nudge, readout)
    n = case.n
    if case.model == "gru":
        first = jnp.einsum("tbi,tbo->io", seqs["h"], d[..., : 2 * n])
        second = jnp.einsum("tbi,tbo->io", seqs["r"] * seqs["h"], d[..., 2 * n :])
        w_rec = jnp.concatenate([first, second], axis=1)
    else:
        before = seqs["h"] if case.model == "leaky" else (seqs["v"] > 1.0).astype(d.dtype)
        w_rec = jnp.einsum("tbi,tbo->io", before, d)
    found = {"w_in": jnp.einsum("tbi,tbo->io", xs, d), "w_rec": w_rec} | grads
    if "b" in packed:
        found["b"] = d.sum((0, 1))
    return unpack(case, found)


def prepare(
    case: Case, params: Arrays, xs: np.ndarray, ys: np.ndarray, hoist: bool = False
) -> Prepared:
    """Return the jitted gradient of the whole sequence."""
    device = jax.device_put((params, xs, ys))

    @jax.jit
    def gradient(params: Params, xs: jax.Array, ys: jax.Array) -> Params:
        if hoist:
            return hoisted(case, params, xs, ys)
        return jax.grad(lambda p: loss(case, p, xs, ys)[0])(params)

    return Prepared(
        lambda: jax.block_until_ready(gradient(*device)),
        lambda result: {k: np.asarray(v) for k, v in result.items()},
    )
