"""What the compiler found and left out, as records derived from the structure and the statuses."""

from __future__ import annotations

from collections.abc import Iterator

from ..rules.base import StepRule
from .case import Case
from .kinds import DiagnosticKind, DiagnosticLevel, kind_of, level_of
from .records import CompilationRecord, CompilationWarning, by_kind, in_order, record, warn
from .state_records import state_records
from .status import ALTERED
from .weight_records import weight_records

__all__ = [
    "CompilationRecord", "CompilationWarning", "DiagnosticKind", "DiagnosticLevel", "by_kind",
    "diagnose", "kind_of", "level_of", "record", "warn",
]  # fmt: skip

# Kinds that are a reason why a gradient is not exact.
LOSSES = frozenset({
    DiagnosticKind.VARYING_WEIGHT, DiagnosticKind.PLAIN_USE, DiagnosticKind.MIXED_USE,
    DiagnosticKind.THROUGH_WEIGHT, DiagnosticKind.PARTLY_THROUGH_WEIGHT,
    DiagnosticKind.MIXING_TAIL, DiagnosticKind.PARTLY_MIXING_TAIL,
    DiagnosticKind.RECURRENT_PRODUCT, DiagnosticKind.MIXING_TRANSITION,
    DiagnosticKind.MOVED_POSITIONS, DiagnosticKind.CROSS_GROUP, DiagnosticKind.NO_TRANSITION,
    DiagnosticKind.BEYOND_SCOPE, DiagnosticKind.OPAQUE_REGION,
    DiagnosticKind.APPROXIMATE_RULE, DiagnosticKind.ALTERED_RULE, DiagnosticKind.WINDOW_ZERO,
    DiagnosticKind.TRUNCATED, DiagnosticKind.OTHER_SIGNAL,
})  # fmt: skip


def diagnose(case: Case) -> tuple[CompilationRecord, ...]:
    """Return the records of a compiled step, by code.

    Every parameter whose gradient is not exact has at least one record that says why: its own,
    or one of a state that it acts on.
    """
    found = [*weight_records(case), *state_records(case), *_choices(case)]
    return in_order([*found, *_remainder(case, found)])


def concerning(case: Case, parameter: str) -> set[str]:
    """Return the states whose records say something about a parameter's gradient."""
    return {*case.paths.states_of(parameter), *case.paths.reached(case.paths.params[parameter])}


def _choices(case: Case) -> Iterator[CompilationRecord]:
    """Yield what follows from rule, schedule of updates, and element types."""
    rule, s = case.rule, case.structure
    if case.truncated is not None:
        steps = f"{case.truncated} steps" if case.truncated > 1 else "one step"
        yield record(
            DiagnosticKind.TRUNCATED, f"{rule.name} sees {steps} of the past: weights change "
            f"after every {steps.removeprefix('one ')}",
        )  # fmt: skip
    if not rule.signal.symmetric:
        yield from _signal(case)
    if rule.approximation:
        traced = dict.fromkeys(p for r in s.relations for p in s.weights[r.use].params)
        for name in case.statuses if isinstance(rule, StepRule) else traced:
            if case.lossy(name):
                yield record(
                    DiagnosticKind.APPROXIMATE_RULE, f"{rule.name} approximates the trace of "
                    f"{name}", parameter=name, why=rule.approximation,
                )  # fmt: skip
    for name, status in case.statuses.items():
        if status.reason.endswith(ALTERED):
            yield record(
                DiagnosticKind.ALTERED_RULE, f"{rule.name} alters the trace of {name}",
                parameter=name,
            )  # fmt: skip
    if case.streamed and case.window >= 2 and any(map(case.lossy, case.statuses)):
        yield record(
            DiagnosticKind.STREAMED_WINDOW, f"learner.step reads window {case.window} as window 1"
        )
    if case.size == 1:
        for node in s.program.nodes:
            if node.primitive.across is not None:
                yield record(
                    DiagnosticKind.SINGLE_EXAMPLE, "etp.batch_mean is taken of one example",
                    source=node.source,
                )  # fmt: skip
    kept = next(iter(s.states.values()))[0].type.dtype if s.states else None
    stored = None if case.traceless else case.trace_dtype
    if stored is not None and kept is not None and stored.name != kept.name:
        yield record(
            DiagnosticKind.ROUNDED_TRACES,
            f"traces are kept as {stored.array_name}, states as {kept.array_name}",
        )  # fmt: skip


def _signal(case: Case) -> Iterator[CompilationRecord]:
    """Yield what a learning signal that is no derivative means."""
    rule = case.rule
    if case.window > 0:
        yield record(
            DiagnosticKind.UNUSED_SIGNAL, f"with window {case.window} the signal "
            f"{type(rule.signal).__name__} of {rule.name} is not used",
        )  # fmt: skip
        return
    for name, status in case.statuses.items():
        if status.reason == rule.signal.why:
            yield record(
                DiagnosticKind.OTHER_SIGNAL, f"credit for {name} comes from the signal "
                f"{type(rule.signal).__name__}", parameter=name, why=status.reason,
            )  # fmt: skip


def _remainder(case: Case, found: list[CompilationRecord]) -> Iterator[CompilationRecord]:
    """Yield a record for each parameter whose loss no other record explains."""
    losses = [r for r in found if r.kind in LOSSES]
    whole = any(r.parameter is None and r.state is None for r in losses)
    named = {r.parameter for r in losses}
    states = {r.state for r in losses if r.parameter is None and r.state}
    for name in case.paths.params:
        if not case.lossy(name) or whole or name in named:
            continue
        if not states.intersection(concerning(case, name)):
            yield record(
                DiagnosticKind.BEYOND_SCOPE, f"the influence of {name} goes on beyond the reach "
                f"of scope {case.structure.scope}", parameter=name, why=case.statuses[name].reason,
            )  # fmt: skip
