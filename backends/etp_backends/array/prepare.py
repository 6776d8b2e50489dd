"""What every array backend does to a program before generating source."""

from __future__ import annotations

from etp_ir.core import Program
from etp_ir.passes import dce, lower, simplify

from .hoist import hoist


def prepare(program: Program) -> Program:
    """Return the program in core primitives, simplified, with invariants outside of loops."""
    return dce(hoist(simplify(lower(program))))
