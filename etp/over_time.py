"""States, traces and gradients recorded over time, beside whatever a learner is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ModelError, nearest

from .eligibility import TraceBook
from .engine import unnamed
from .stream import advance

if TYPE_CHECKING:
    from .learner import Learner

# What a run beside the stream must leave as it was.
_PLACE = ("stream", "draws", "buffers", "rule_arrays", "gradients")


@frozen(eq=False)
class Record:
    """What was recorded, arrays of the learner's backend.

    Attributes
    ----------
    loss
        Loss of each step, (T,).
    states
        States after each step by path, (T, B, ...).
    traces
        Traces after each step, (T, B, ...), by their names and by the weights they belong to, see
        `EligibilityTrace`.
    gradients
        The gradient of each step by path, (T, ...).
    """

    loss: Any
    states: Mapping[str, Any]
    traces: TraceBook
    gradients: Mapping[str, Any]


def record(
    self: Learner, xs: Any, ys: Any, mask: Any = None, *, traces: Iterable[str] = (),
    states: Iterable[str] = (), gradients: Iterable[str] = (), modulator: Any = None,
) -> Record:  # fmt: skip
    """Return states, traces and gradients at every step of sequences.

    The sequences run from initial states and empty traces, as in `Learner.grad`, one step after
    the other. Parameters, the stream, its random numbers and buffers stay as they are.

    Parameters
    ----------
    xs, ys, mask, modulator
        As those of `Learner.grad`.
    traces
        Dotted paths of weights, or names of traces; ``"all"`` for every trace.
    states, gradients
        Dotted paths of states and of parameters, or ``"all"``.

    Raises
    ------
    etp.ModelError
        If there is nothing of a name.
    etp.NotSupportedError
        If the rule keeps nothing between steps.
    """
    learner = self
    batch = learner.engine.batch(xs, ys, mask, modulator)
    place = {name: getattr(learner, name) for name in _PLACE}
    engine = learner.engine
    seen, stretch = engine.seen, engine.stretch
    streamed = {id(c): c.streamed for c in engine.compiled.values()}
    learner.__dict__.update(stream={}, draws=learner.draws.reset())
    rows: list[dict[str, dict[str, Any]]] = []
    losses = []
    try:
        for t in range(batch.length):
            x = unnamed({n: a[t] for n, a in batch.xs.items()})
            m = None if batch.modulator is None else batch.modulator[t]
            losses.append(advance(learner, x, batch.ys[t], batch.mask[t], None, m))
            parts = {
                "trace": learner.traces,
                "state": learner.states,
                "gradient": learner.gradients,
            }
            if t == 0:
                wanted = {
                    "trace": _wanted(traces, parts["trace"], "trace", _arrays),
                    "state": _wanted(states, parts["state"], "state"),
                    "gradient": _wanted(gradients, parts["gradient"], "gradient"),
                }
            rows.append({k: {n: parts[k][n] for n in names} for k, names in wanted.items()})
    finally:
        learner.__dict__.update(place)
        compiled = engine.seen and engine.seen[0]
        engine.seen, engine.stretch = seen, stretch
        for c in engine.compiled.values():
            c.streamed = streamed.get(id(c), False)
    backend = learner.backend

    def over_time(kind: str) -> dict[str, Any]:
        stacks = {n: [backend.to_numpy(row[kind][n]) for row in rows] for n in rows[0][kind]}
        return {n: backend.asarray(np.stack(found)) for n, found in stacks.items()}

    kept = TraceBook(over_time("trace"), compiled, ("step", "example"))
    return Record(
        backend.asarray(np.array(losses)), over_time("state"), kept, over_time("gradient")
    )


def _arrays(held: Any, name: str) -> list[str]:
    """Return the names of the arrays that a name stands for."""
    found = held[name]
    return list(getattr(found, "arrays", {name: found}))


def _wanted(
    names: Iterable[str], held: Mapping[str, Any], what: str,
    arrays: Callable[[Any, str], list[str]] = lambda held, name: [name],
) -> list[str]:  # fmt: skip
    """Return the names of the arrays to be recorded."""
    if names == "all":
        return list(held)
    given = [names] if isinstance(names, str) else list(names)
    for name in given:
        if name not in held and isinstance(held, TraceBook):
            held[name]  # says what there is
        if name not in held:
            raise ModelError(
                f"there is no {what} {name!r} to record{nearest(str(name), list(held))}\n"
                f"there are {', '.join(held) or 'none'}"
            )
    return list(dict.fromkeys(a for name in given for a in arrays(held, name)))
