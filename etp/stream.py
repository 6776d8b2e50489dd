"""Streaming: one step of a sequence after the other, states and traces kept in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etp_ir.errors import ModelError, ShapeError

from .compiled import Compiled
from .fit import apply_optimizer
from .sequences import loss_weights

if TYPE_CHECKING:
    from .learner import Learner


def advance(
    learner: Learner, x: Any, y: Any, mask: Any, optimizer: Any, modulator: Any = None
) -> float:
    """Advance a learner's stream by one step; see `etp.Learner.step`."""
    engine = learner.engine
    batch = engine.row(x, y, mask, modulator)
    compiled = learner.compile(batch)
    stream = learner.stream or engine.stream(compiled, batch.size)
    _check_stream(stream, compiled, batch.size)
    run = engine.executable(("online", batch.size), compiled, lambda: compiled.online(batch.size))
    engine.warn(compiled, 1, batch.size)
    draw, after = learner.draws.step()
    given = engine.arguments(
        run.program, compiled.step, compiled.loss.constants, learner.held, batch, draw,
        loss_weights(batch.mask, "mean"),
    )  # fmt: skip
    given.update({n: x for n, x in stream.items() if n in run.program.input_names})
    out = run(given)
    moved = {}
    for port in run.program.inputs_of("state", "trace"):
        key = f"state({port.name})" if port.role.kind == "state" else str(port.role)
        moved[port.name] = out[key]
    loss, grads = engine.metrics(out)["loss"], learner.as_grads(out)
    changed = {} if optimizer is None else apply_optimizer(learner, optimizer, grads)
    # One assignment, so that an interrupt finds everything of the same step.
    learner.__dict__.update(
        stream={**stream, **moved}, gradients=grads, **changed,
        **learner.moved(run.program, out, after),
    )  # fmt: skip
    return loss


def _check_stream(stream: Mapping[str, Any], compiled: Compiled, size: int) -> None:
    """Raise if the stream goes on with another batch size, or was left by another rule."""
    wanted = [*compiled.states, *(a.name for a in compiled.steps.traces)]
    if set(wanted) != set(stream):
        raise ModelError("the stream holds other states and traces than this learner advances\n"
                         "call reset() to start another")  # fmt: skip
    held = stream[wanted[0]].shape[0]
    if held != size:
        raise ShapeError(f"the stream runs with {held} examples, got {size}\n"
                         "call reset() to start another")  # fmt: skip
