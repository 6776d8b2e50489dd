"""Algebraic simplification by the rules in `etp_ir.passes.rules`."""

from __future__ import annotations

from ..core import Program
from . import rules  # noqa: F401  (registers them)
from .accumulate import accumulate_sums
from .cse import cse
from .dce import dce
from .rewrite import sweep

# Rules only ever remove work, so sweeps end by themselves; the bound is a safety net.
MAX_SWEEPS = 32


def simplify(program: Program) -> Program:
    """Return an equivalent program in which no rule applies any more, also inside regions.

    Equivalent means equal up to rounding for finite values: ``x * 0`` becomes 0, also where
    ``x`` may be infinite.
    """
    program = dce(cse(program, inside=False))  # regions are simplified in turn
    regions_changed = True
    for _ in range(MAX_SWEEPS):
        program, fired = sweep(program, simplify if regions_changed else None)
        program = dce(program)
        accumulated = accumulate_sums(program)
        regions_changed = accumulated is not program
        if not fired and not regions_changed:
            break
        program = accumulated
    return program
