"""Whether a program is valid, and if not, what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

from .checks import INTERFACE, STRUCTURE, Check, Fault
from .core import Node, Program
from .errors import VerifyError, compose
from .printer import name_text, to_window
from .stages import check_stage_roles, stage_of

Path = tuple[tuple[Program, Node, str], ...]


def verify(program: Program, stage: str | None = None) -> Program:
    """Return the program, if it is valid.

    Parameters
    ----------
    stage
        Also require what this stage of compilation does, see `etp_ir.stages.STAGES`.

    Raises
    ------
    VerifyError
        With the nodes around the first breach, the user's file and line, and how to mend it.
    """
    nested: tuple[Check, ...] = STRUCTURE
    top: tuple[Check, ...] = INTERFACE
    if stage is not None:
        wanted = stage_of(stage)
        nested = (*nested, *wanted.nested)
        top = (*top, lambda p: check_stage_roles(p, stage), *wanted.checks)
    for owner, path, fault in _faults(program, nested, ()):
        raise VerifyError(_message(owner, path, fault))
    for check in top:
        for fault in check(program):
            raise VerifyError(_message(program, (), fault))
    return program


def _faults(
    program: Program, checks: tuple[Check, ...], path: Path
) -> Iterator[tuple[Program, Path, Fault]]:
    """Yield the breaches in a program and, innermost first, in the regions of its nodes."""
    for node in program.nodes:
        for key, region in node.attrs.items():
            if isinstance(region, Program):
                yield from _faults(region, checks, (*path, (program, node, key)))
    for check in checks:
        for fault in check(program):
            yield program, path, fault


def _message(program: Program, path: Path, fault: Fault) -> str:
    where = [
        f"in program @{name_text(program.name)}"
        if fault.node is None
        else to_window(program, fault.node)
    ]
    source = None if fault.node is None else fault.node.source
    for outer, node, key in reversed(path):
        where.append(f"which is `{key}` of the node marked\n{to_window(outer, node, radius=1)}")
        source = source or node.source
    if source is not None:
        where.append(f"traced at {source}")
    return compose(fault.what, where="\n".join(where), how=fault.how)
