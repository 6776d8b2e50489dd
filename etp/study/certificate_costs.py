"""What a rule costs on growing models, by formula and measured."""

from __future__ import annotations

from math import log
from time import perf_counter
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ETPError

from ..compile import compile
from ..learner import Learner
from ..rules import LearningRule, OnlineRule
from .certificate_models import SAMPLES, Sample, data
from .certificate_trial import quiet

WIDTHS = (8, 16, 32, 64)
# Models on which costs are told, the first that the rule accepts.
ORDER = ("rnn", "lif", "lif_layer", "leaky")
STEPS, BATCH = 32, 4


@frozen
class Cost:
    """The cost of one step on a model with so many units, for a batch.

    Attributes
    ----------
    units, weights
        Size of the model.
    flops, trace_bytes
        By formula, when traces are advanced at every step: what the report counts, and the sizes
        of the arrays that the rule declares.
    measured_bytes
        Bytes of the traces that a stream holds; None for a rule that keeps none between steps.
    seconds, seconds_by_step
        Per step of a sequence on the NumPy backend, the best of a few runs: as ``schedule`` "auto"
        computes it with weights fixed over the sequence, and with traces advanced at every step.
        None where the rule does not admit that.
    """

    units: int
    weights: int
    flops: int
    trace_bytes: int
    measured_bytes: int | None
    seconds: float
    seconds_by_step: float | None


@frozen
class Costs:
    """Costs on growing models, and the powers of the number of units by which they grow.

    Attributes
    ----------
    model
        Title of the model.
    powers
        Of ``flops`` and ``trace_bytes``, between the two largest models.
    """

    model: str
    batch: int
    rows: tuple[Cost, ...]
    powers: dict[str, float]


def costs(
    rule: LearningRule, options: dict[str, Any], widths: tuple[int, ...] = WIDTHS
) -> Costs | None:
    """Return what a rule costs, or None if it refuses the models on which that is told."""
    for name in ORDER:
        try:
            rows = tuple(_cost(rule, SAMPLES[name], n, options) for n in widths)
        except ETPError:
            continue
        return Costs(SAMPLES[name].title, BATCH, rows, _powers(rows))
    return None


def _cost(rule: LearningRule, sample: Sample, n: int, options: dict[str, Any]) -> Cost:
    xs, ys = data(STEPS, BATCH)

    def learner(schedule: str) -> Learner:
        return compile(
            sample.build(n), rule, "mse", backend="numpy", batch_size=BATCH,
            example=(xs[0, 0], ys[0, 0]), length=STEPS, schedule=schedule, **options,
        )  # fmt: skip

    with quiet():
        auto, held, stepped = learner("auto"), None, None
        report = auto.report()
        seconds = _best(rule, auto, xs, ys)
        if isinstance(rule, OnlineRule):
            stepped = _best(rule, learner("step"), xs, ys)
            auto.step(xs[0], ys[0], **_modulator(rule, 0))
            held = sum(np.asarray(x).nbytes for x in auto.traces.values())
    weights = sum(int(p.size) for p in auto.params.values())
    declared = auto.engine.last()[0].steps.traces
    formula = sum(a.type.nbytes * (1 if a.shared else BATCH) for a in declared)
    return Cost(n, weights, report.flops_per_step, formula, held, seconds, stepped)


def _best(rule: LearningRule, learner: Learner, xs: Any, ys: Any) -> float:
    """Return the seconds per step of the fastest of a few runs."""
    seconds, given = [], _modulator(rule, STEPS)
    for _ in range(4):  # the first one compiles
        began = perf_counter()
        learner.grad(xs, ys, **given)
        seconds.append(perf_counter() - began)
    return min(seconds) / STEPS


def _modulator(rule: LearningRule, steps: int) -> dict[str, Any]:
    """Return a modulator if the learning signal of a rule asks for one."""
    if not rule.modulated:
        return {}
    return {"modulator": np.ones(steps) if steps else 1.0}


def _powers(rows: tuple[Cost, ...]) -> dict[str, float]:
    a, b = rows[-2:]
    return {
        name: round(log(getattr(b, name) / getattr(a, name)) / log(b.units / a.units), 2)
        for name in ("flops", "trace_bytes")
        if getattr(a, name) and getattr(b, name)
    }
