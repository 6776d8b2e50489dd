"""Records of what the compiler found and what it left out, and how they are shown."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from etp_ir.errors import compose
from etp_ir.source import Source, user_source

from .kinds import DiagnosticKind, DiagnosticLevel


class CompilationWarning(UserWarning):
    """Something in the model, as it is written, loses more than the learning rule would."""


@frozen
class CompilationRecord:
    """One thing that the compiler found.

    Attributes
    ----------
    kind
        Code, level, general meaning and mend.
    message
        What was found, naming the things.
    parameter, state
        Dotted path of the parameter and of the state it is about, if it is about one.
    source
        The user's own line, if it is known.
    why
        What it means here.
    how
        How to mend it.
    """

    kind: DiagnosticKind
    message: str
    parameter: str | None
    state: str | None
    source: Source | None
    why: str
    how: str

    @property
    def code(self) -> str:
        """The stable code."""
        return self.kind.code

    @property
    def level(self) -> DiagnosticLevel:
        """How grave it is."""
        return self.kind.level

    def __str__(self) -> str:
        place = f"at {self.source}\n" if self.source else ""
        what = f"{self.code} {self.level.value}: {self.message}"
        return compose(what, where=f"{place}{self.why}", how=self.how)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        at = self.source
        return {
            "code": self.code, "kind": self.kind.slug, "level": self.level.value,
            "message": self.message, "parameter": self.parameter, "state": self.state,
            "file": at.file if at else None, "line": at.line if at else None,
            "function": at.function if at else None, "why": self.why, "how": self.how,
        }  # fmt: skip


def record(
    kind: DiagnosticKind, message: str, *, parameter: str | None = None, state: str | None = None,
    source: Source | None = None, why: str = "", how: str = "",
) -> CompilationRecord:  # fmt: skip
    """Return a record; what it means and how to mend it are those of its kind unless given."""
    return CompilationRecord(
        kind, message, parameter, state, source, why or kind.meaning, how or kind.mend
    )


def in_order(records: Iterable[CompilationRecord]) -> tuple[CompilationRecord, ...]:
    """Return records by code, each kind in the order in which it was found, without repetitions."""
    return tuple(sorted(dict.fromkeys(records), key=lambda r: r.code))


def by_kind(
    records: Iterable[CompilationRecord],
) -> dict[DiagnosticKind, list[CompilationRecord]]:
    """Return the records of each kind."""
    found: dict[DiagnosticKind, list[CompilationRecord]] = {}
    for one in records:
        found.setdefault(one.kind, []).append(one)
    return found


def subjects(records: Iterable[CompilationRecord], most: int = 4) -> str:
    """Return what records are about, for example ``"cell.w, cell.b and 3 more"``."""
    names = list(dict.fromkeys(n for r in records if (n := r.parameter or r.state)))
    rest = len(names) - most
    if rest > 1:
        return f"{', '.join(names[:most])} and {rest} more"
    return ", ".join(names)


def warn(records: Iterable[CompilationRecord]) -> None:
    """Issue a `CompilationWarning` for each kind of warning, shown at the user's own line."""
    for kind, found in by_kind(records).items():
        if kind.level is not DiagnosticLevel.WARNING:
            continue
        first = found[0]
        text = f"{kind.code}: {first.message}"
        if len(found) > 1:
            text += f" (also {subjects(found[1:])})"
        # Indented alike, as Python shows the line of the warning below them.
        text += f"\n  {first.why}\n  {first.how}"
        at = first.source or user_source()
        file, line = (at.file, at.line) if at else ("<model>", 1)
        warnings.warn_explicit(text, CompilationWarning, file, line)
