"""One environment's stream through a learner: values looked ahead, gradients of each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from etp_ir.errors import ModelError, NotSupportedError, compose
from etp_ir.passes import lower
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import trace
from etp_ir.types import TensorType, type_of

from ..compile import compile
from ..compiled import predict_program
from ..learner import Learner

Arrays = dict[str, Any]
# What has to be as it was before a step for the step to be taken again.
_PLACE = ("stream", "draws", "buffers", "rule_arrays")


def learner_for(model: Any, rule: Any, loss: Callable[..., Any], options: Any) -> Learner:
    """Return a learner of single steps whose gradient is that of ``loss``.

    Of a learner its model, rule, options and parameters are taken, and it stays as it is.

    Raises
    ------
    etp.ModelError
        If the model is none, or options are given twice.
    etp.NotSupportedError
        If a batch of environments is asked for.
    """
    size = options.pop("batch_size", 1)
    if size != 1:
        raise NotSupportedError(
            compose(f"one agent learns from one environment, not from {size}: each would need "
                    "traces of its own, and the gradient of a batch is a sum",
                    how="make one agent for each environment, or leave out batch_size")
        )  # fmt: skip
    if not isinstance(model, Learner):
        return compile(model, "d_rtrl" if rule is None else rule, loss, **options)
    if rule is not None or options:
        what = "rule" if rule is not None else next(iter(options))
        raise ModelError(
            compose(f"{what} was given beside a learner, which has its own",
                    how="give it to etp.compile, or pass the model")
        )  # fmt: skip
    own = model.engine
    learner = Learner(
        own.model, options=model.options, loss=loss, backend=own.backend, batch_size=1,
        dtype=own.dtype, check=own.check, seed=model.draws.seed,
    )  # fmt: skip
    learner.params = model.params
    return learner


def single(x: Any) -> Any:
    """Return an observation, or a dict or tuple of them, as a batch of one."""
    if isinstance(x, Mapping):
        return {k: single(v) for k, v in x.items()}
    if isinstance(x, tuple):
        return tuple(single(v) for v in x)
    return np.asarray(x)[None] if not hasattr(x, "shape") else x[None]


def look(learner: Learner, x: Any) -> np.ndarray[Any, Any]:
    """Return the output that the next step would have on ``x``; nothing moves on."""
    engine = learner.engine
    batch = engine.row(single(x), None)
    step = engine.trace(batch)
    run = engine.executable(("predict", 1, 1), step, lambda: predict_program(step, 1, 1))
    draw, _ = learner.draws.step()
    given = engine.arguments(run.program, step, step.constants, learner.held, batch, draw)
    given.update({n: a for n, a in learner.stream.items() if n in run.program.input_names})
    return np.asarray(learner.backend.to_numpy(run(given)["output"]))[0, 0]


def gradients(learner: Learner, x: Any, targets: Sequence[Any]) -> list[Arrays]:
    """Advance the stream by one step on ``x``; return the gradient for each target.

    What the rule keeps learns from the first target.
    """
    before = {name: getattr(learner, name) for name in _PLACE}
    found = []
    for target in reversed(targets):
        learner.__dict__.update(before)
        learner.step(single(x), single(target))
        found.append(learner.gradients)
    return found[::-1]


class Updater:
    """An update of weights, compiled for a learner's backend and the shapes of its weights."""

    def __init__(
        self, learner: Learner, function: Callable[..., tuple[Arrays, Any]], slots: Sequence[str]
    ) -> None:
        """``function(w, gs, held, numbers)`` returns weights and slots."""
        self.learner, self.function, self.slots = learner, function, tuple(slots)
        self._run: Any = None

    def __call__(
        self, gs: Sequence[Arrays], held: Mapping[str, Arrays], numbers: Mapping[str, float]
    ) -> dict[str, Arrays]:
        """Change the learner's weights; return the new slots."""
        learner = self.learner
        kind = learner.engine.dtype.numpy()
        w = {n: x for n, x in learner.held.items() if n in gs[0]}
        given: Arrays = {f"number.{k}": np.asarray(x, kind) for k, x in numbers.items()}
        given.update({f"w.{n}": x for n, x in w.items()})
        given.update({f"g{i}.{n}": x for i, g in enumerate(gs) for n, x in g.items()})
        given.update({f"{s}.{n}": x for s in self.slots for n, x in held[s].items()})
        if self._run is None:
            self._run = self._compile({k: type_of(x) for k, x in given.items()}, list(w), len(gs))
        out = list(self._run(given).values())
        names, parts = list(w), ("w", *self.slots)
        split = {p: dict(zip(names, out[i * len(names) :], strict=False))
                 for i, p in enumerate(parts)}  # fmt: skip
        learner.__dict__["_params"] = {**learner.params, **split.pop("w")}
        return split

    def _compile(self, types: dict[str, TensorType], names: list[str], count: int) -> Any:
        def of(given: Arrays, part: str) -> Arrays:
            return {n: given[f"{part}.{n}"] for n in names}

        def run(**given: Any) -> list[Any]:
            numbers = {k[7:]: x for k, x in given.items() if k.startswith("number.")}
            gs = [of(given, f"g{i}") for i in range(count)]
            held = {s: of(given, s) for s in self.slots}
            w, new = self.function(of(given, "w"), gs, held, numbers)
            return [part[n] for part in (w, *(new[s] for s in self.slots)) for n in names]

        program, _ = trace(run, types, name="update")
        return self.learner.backend.compile(simplify(lower(program)))
