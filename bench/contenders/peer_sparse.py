"""BrainTrace: the sparse spiking layer of `bench.sparse_work`."""

from __future__ import annotations

import warnings
from typing import Any

import brainevent
import brainstate
import braintools
import braintrace
import jax
import jax.numpy as jnp
import numpy as np

from ..cases import MEMBRANE_DECAY, PP_PROP_DECAY, SYNAPSE_DECAY, THRESHOLD
from ..sparse_work import Arrays, Prepared, Work


class Network(brainstate.nn.Module):
    """Leaky integrate-and-fire units with sparse recurrent weights, and a readout."""

    def __init__(self, work: Work, given: Arrays) -> None:
        super().__init__()
        self.n = work.n
        order = np.lexsort((given["cols"], given["rows"]))
        begin = np.searchsorted(given["rows"][order], np.arange(work.n + 1)).astype(np.int32)
        parts = (given["w_rec"][order], given["cols"][order], begin)
        self.rec = braintrace.nn.SparseLinear(
            brainevent.CSR(tuple(map(jnp.asarray, parts)), shape=(work.n, work.n))
        )
        self.w_in = braintrace.nn.Linear(*given["w_in"].shape, w_init=jnp.asarray(given["w_in"]),
                                         b_init=None)  # fmt: skip
        self.out = braintrace.nn.Linear(*given["w_out"].shape, w_init=jnp.asarray(given["w_out"]),
                                        b_init=None)  # fmt: skip
        self.spike = braintools.surrogate.Arctan(alpha=2.0)

    def init_state(self, batch_size: int | None = None, **_: Any) -> None:
        shape = (self.n,) if batch_size is None else (batch_size, self.n)
        self.i = brainstate.HiddenState(jnp.zeros(shape))
        self.v = brainstate.HiddenState(jnp.zeros(shape))

    def update(self, x: jax.Array) -> jax.Array:
        v = self.v.value
        s = self.spike(v - THRESHOLD)
        i = SYNAPSE_DECAY * self.i.value + self.w_in(x) + self.rec(s)
        v = MEMBRANE_DECAY * v - THRESHOLD * s
        self.i.value = i
        self.v.value = v + (1 - MEMBRANE_DECAY) * i
        return self.out(self.spike(self.v.value - THRESHOLD))


def prepare(work: Work, given: Arrays) -> Prepared:
    """Return its gradient of a sequence, with the kernels that need no compiler of their own."""
    warnings.simplefilter("ignore")
    # Its default kernels on a CPU need the package numba, which it does not install.
    brainevent.config.set_backend("cpu", "jax_raw")
    model = Network(work, given)
    xs, ys = jax.device_put((given["xs"], given["ys"]))
    brainstate.nn.init_all_states(model, batch_size=work.batch)
    learner = braintrace.compile(
        model, "pp_prop", xs[0], batch_size=work.batch, decay_or_rank=PP_PROP_DECAY
    )

    def step_loss(x: jax.Array, y: jax.Array) -> jax.Array:
        error = learner(x) - y
        return jnp.sum(error * error)

    @brainstate.transform.jit
    def gradient(xs: jax.Array, ys: jax.Array) -> Any:
        for state in learner.states(brainstate.ShortTermState).values():
            state.value = jax.tree.map(jnp.zeros_like, state.value)
        return learner.etrace_grad(xs, ys, step_fn=step_loss, reduction="sum")

    return Prepared(lambda: jax.block_until_ready(gradient(xs, ys)))
