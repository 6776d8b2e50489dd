"""One hierarchy of errors; every message says what is wrong, where, and how to mend it."""

from __future__ import annotations


class ETPError(Exception):
    """Base class of every error this library raises on purpose."""


class IRError(ETPError):
    """A program of the intermediate representation is wrong."""


class TypeRuleError(IRError):
    """An operation was given operands whose types or shapes do not fit."""


class ShapeError(TypeRuleError):
    """An array has the wrong shape."""


class VerifyError(IRError):
    """A program breaks an invariant of the IR."""


class ParseError(IRError):
    """Text is not a program."""


class ModelError(ETPError):
    """A model, a loss or an optimiser is written in a way that cannot be traced."""


class CompilationError(ETPError):
    """A traced model cannot be compiled with the chosen rule, schedule or backend."""


class NotSupportedError(ETPError):
    """Something that the library does not offer, with what to use instead."""


class TraceError(IRError, ModelError):
    """A traced value was used in a way that only a concrete array allows."""


class LoweringError(IRError):
    """A backend cannot express an operation."""


def compose(what: str, *, where: str = "", how: str = "") -> str:
    """Return an error text of the three parts *what*, *where* and *how to mend it*."""
    parts = [what]
    if where:
        parts.append("\n".join("  " + line for line in where.splitlines()))
    if how:
        parts.append(how)
    return "\n".join(parts)


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``"; did you mean 'x'?"`` with the closest known name, or a list of them all.

    The first name that ends in what was given is the closest, as ``softmax_cross_entropy`` is to
    ``cross_entropy``.
    """
    import difflib

    lowered, wanted = [k.lower() for k in known], name.lower()
    close = [k for k in lowered if k.endswith((f"_{wanted}", f".{wanted}"))]
    if not close or wanted in lowered:
        close = difflib.get_close_matches(wanted, lowered, n=1, cutoff=0.5)
    if close:
        match = next(k for k in known if k.lower() == close[0])
        return f"; did you mean {match!r}?"
    return f"; known are {', '.join(repr(k) for k in known)}"
