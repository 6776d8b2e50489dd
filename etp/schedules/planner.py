"""Choosing how a stretch of steps with fixed weights is computed, and saying why."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from etp_ir.errors import NotSupportedError, nearest

from ..rules.base import LearningRule, OnlineRule
from .sequence import Plan

# What one chunk may hold of per-step values; above it the sequence is cut into several chunks.
CHUNK_BYTES = 256 * 2**20


@frozen
class Choice:
    """A plan, its name for the report, and the reason."""

    plan: Plan
    label: str
    why: str


def parse_schedule(schedule: str | int) -> tuple[str, int | None]:
    """Return the kind of a schedule and its chunk length, if one is given.

    Raises
    ------
    etp.NotSupportedError
        If the text is none of ``auto``, ``step``, ``chunk``, ``chunk(K)``.
    """
    if isinstance(schedule, int) and not isinstance(schedule, bool) and schedule >= 1:
        return "chunk", schedule
    if isinstance(schedule, str):
        match = re.fullmatch(r"(auto|step|chunk)(?:\((\d+)\))?", schedule.strip().lower())
        if match and not (match[2] and match[1] != "chunk") and match[2] != "0":
            return match[1], int(match[2]) if match[2] else None
    hint = nearest(schedule, ["auto", "step", "chunk"]) if isinstance(schedule, str) else ""
    raise NotSupportedError(
        f"schedule {schedule!r} is none of 'auto', 'step', 'chunk', 'chunk(K)' with K >= 1{hint}"
    )


def choose(
    rule: LearningRule, linear: bool, window: int, schedule: str | int, length: int,
    bytes_per_step: Callable[[], int],
) -> Choice:  # fmt: skip
    """Return the plan for ``length`` steps with fixed weights.

    Parameters
    ----------
    linear
        Whether all that the rule keeps is a linear recurrence.
    bytes_per_step
        Returns the bytes of the values that one step of a chunk keeps for later; called only
        where the choice depends on them.
    """
    kind, given = parse_schedule(schedule)
    if not isinstance(rule, OnlineRule):
        return Choice(Plan("window", length), "sequence", "the whole sequence is differentiated")
    if kind == "step" or length == 1:
        if window < 2:
            reason = "asked for" if kind == "step" else "weights change at every step"
            return Choice(Plan("scan", length), "step", f"traces advance at every step: {reason}")
        why = f"traces advance at every step and are read every {window} steps"
        return Choice(Plan("window", window), "step", why)
    width = given or min(length, max(8, CHUNK_BYTES // max(bytes_per_step(), 1)))
    if window >= 2:
        width = -(-width // window) * window
    width = min(width, length)
    if not linear and window >= 2:
        return Choice(Plan("window", window), f"chunk({window})",
                      "a chunk is one window: the trace of this rule is not linear")  # fmt: skip
    mode = "adjoint" if linear else "roll"
    if given:
        why = f"chunks of {width} steps, as asked for"
    elif width == length:
        why = (f"weights are fixed for all {length} steps and a chunk of them fits in memory"
               + (", so no trace need exist" if linear else ""))  # fmt: skip
    else:
        why = (f"weights are fixed for {length} steps; {width} of them fill "
               f"{CHUNK_BYTES // 2**20} MiB")  # fmt: skip
    if not linear:
        why += "; within a chunk traces advance step by step, as this rule's are not linear"
    return Choice(Plan(mode, width), f"chunk({width})", why)
