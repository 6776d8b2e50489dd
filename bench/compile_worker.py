"""How long one compiler takes for a stack of GRU cells; prints one line of JSON.

``python -m bench.compile_worker etp LAYERS``, or ``braintrace`` in its place. Medians of CPU
seconds over rounds; a model of one layer is compiled before, so that imports are done.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from .worker import versions

INPUTS, UNITS, OUTPUTS, STEPS, BATCH = 32, 64, 10, 100, 16

Stages = Iterator[tuple[str, Callable[[], Any]]]


def etp_stages(layers: int) -> Stages:
    """Yield the stages from a model to its scheduled programs."""
    import etp
    from etp.compiled import Compiled
    from etp.model import trace_step
    from etp.traced import with_loss
    from etp_ir.types import F32, I32, TensorType, type_of

    rng = np.random.default_rng(0)
    widths = [INPUTS, *[UNITS] * layers]
    cells = [etp.nn.GRUCell(a, b, rng=rng) for a, b in pairwise(widths)]
    model = etp.nn.Sequential(*cells, etp.nn.Linear(UNITS, OUTPUTS, rng=rng))
    # What "auto" chooses as long as the sequence fits in memory.
    schedule = f"chunk({STEPS})"
    options = etp.compile(model, "d_rtrl", backend="numpy", schedule=schedule).options
    loss = etp.losses.get("softmax_cross_entropy")
    found: dict[str, Any] = {}

    def trace() -> None:
        found["step"] = trace_step(model, TensorType(F32, (INPUTS,)))
        found["loss"] = with_loss(found["step"], TensorType(I32), loss, loss.metrics)

    def analyse() -> Compiled:
        compiled = Compiled(found["step"], found["loss"], options)
        compiled.diagnostics(STEPS, STEPS, BATCH)
        return compiled

    def training(compiled: Compiled, period: int) -> None:
        optimizer = etp.optim.adam(1e-3)
        held = {n: type_of(x) for n, x in optimizer.init(found["step"].params).items()}
        compiled.training(STEPS, BATCH, period, optimizer, held)

    yield "trace", trace
    yield "analyse", analyse
    # Each program from a structure of its own: what programs share is kept there.
    fresh = [analyse() for _ in range(3)]
    yield "gradient", lambda: fresh[0].gradient(STEPS, BATCH)
    yield "update by sequence", lambda: training(fresh[1], STEPS)
    yield "update by step", lambda: training(fresh[2], 1)


def braintrace_stages(layers: int) -> Stages:
    """Yield the peer's graph of one step, and the tracing of its sequence gradient by JAX."""
    import brainstate
    import braintrace
    import jax.numpy as jnp

    brainstate.random.seed(0)
    widths = [INPUTS, *[UNITS] * layers]
    cells = [braintrace.nn.GRUCell(a, b) for a, b in pairwise(widths)]
    model = brainstate.nn.Sequential(*cells, braintrace.nn.Linear(UNITS, OUTPUTS))
    brainstate.nn.init_all_states(model, batch_size=BATCH)
    xs = jnp.zeros((STEPS, BATCH, INPUTS))
    ys = jnp.zeros((STEPS, BATCH, OUTPUTS))

    def gradient() -> None:
        learner = braintrace.compile(model, "d_rtrl", xs[0], batch_size=BATCH)

        def loss(x: Any, y: Any) -> Any:
            return jnp.sum((learner(x) - y) ** 2)

        brainstate.transform.make_jaxpr(
            lambda xs, ys: learner.etrace_grad(xs, ys, step_fn=loss, reduction="sum")
        )(xs, ys)

    yield "analyse", lambda: braintrace.compile_etrace_graph(model, xs[0])
    yield "gradient", gradient


COMPILERS = {"etp": etp_stages, "braintrace": braintrace_stages}


def measure(name: str, layers: int) -> dict[str, float]:
    """Return the seconds of every stage, for a fresh model."""
    found = {}
    gc.collect()
    for stage, work in COMPILERS[name](layers):
        begin = time.process_time()
        work()
        found[stage] = time.process_time() - begin
    return found


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=COMPILERS)
    parser.add_argument("layers", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    measure(given.name, 1)
    rounds = [measure(given.name, given.layers) for _ in range(given.rounds)]
    report: dict[str, Any] = {s: statistics.median(r[s] for r in rounds) for s in rounds[0]}
    print(json.dumps({"seconds": report, "versions": versions()}))


if __name__ == "__main__":
    main()
