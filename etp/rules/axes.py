"""The axes of the rule language: what may stand on each, and how it is written."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING
from attrs import fields as fields_of

from etp_ir.errors import NotSupportedError, nearest

from .. import optim
from ..compiler.scope import SCOPES, Scope, parse_scope
from ..filters import Cascade, DoubleExponential, GammaLambda, KappaFilter, PresynapticTrace
from ..given import mistake
from ..schedules.planner import parse_schedule
from ..signals.base import Signal
from ..signals.words import as_signal, samples
from .checks import made
from .points import Factorised, Jacobian, Kronecker, Leak, PerWeight, RankOne, STDPPair
from .registry import parse_call

Filters = (KappaFilter, PresynapticTrace, DoubleExponential)
# What may stand on each axis whose values are objects of their own.
KINDS: dict[str, tuple[Any, ...]] = {
    "recursion": (Jacobian, Leak, Cascade, None),
    "storage": (PerWeight, Factorised, Kronecker, RankOne),
    "pre": (*Filters, STDPPair, None),
    "post": (*Filters, None),
    "outer": (Cascade, GammaLambda, None),
}


def written(kind: Any) -> str:
    """Return how a value of an axis is written, with the names of its parameters."""
    if kind is None:
        return "'none'"
    names = ", ".join(f.name for f in fields_of(kind) if f.init)
    return f"'{kind.word}({names})'" if names else f"'{kind.word}'"


def _example(kind: Any) -> Any:
    """Return a value of an axis, with some parameters."""
    if kind is None:
        return None
    needed = [f for f in fields_of(kind) if f.init and f.default is NOTHING]
    return kind(*(2 if f.type in (int, "int") else 0.5 for f in needed))


def choices() -> dict[str, tuple[Any, ...]]:
    """Return for each axis one value of every kind that may stand on it."""
    found = {axis: tuple(map(_example, kinds)) for axis, kinds in KINDS.items()}
    scopes = tuple(parse_scope(s + "(2)" if s == "sparse_n" else s) for s in SCOPES)
    return {"scope": scopes, **found, "signal": samples(), "window": (0, 1)}


def _choice(axis: str, given: Any) -> Any:
    """Return the value of an axis, given as an object, a word, or a number for a leak."""
    kinds = {k.word: k for k in KINDS[axis] if k is not None}
    if isinstance(given, tuple(kinds.values())):
        return given
    if None in KINDS[axis] and given in (None, "none"):
        return None
    if "leak" in kinds and isinstance(given, (int, float)) and not isinstance(given, bool):
        return Leak(given)
    known, hint = ", ".join(written(k) for k in KINDS[axis]), ""
    if isinstance(given, str):
        word, args, named = parse_call(given)
        word = word.strip().lower().replace("-", "_")
        if word in kinds:
            return made(kinds[word], f"{axis} {given!r}", args, named)
        hint = nearest(word, list(kinds))
    raise mistake(NotSupportedError, f"{axis} {given!r} is none of the legal ones{hint}",
                  f"give one of {known}")  # fmt: skip


def as_storage(given: Any) -> Any:
    """Return a storage."""
    return _choice("storage", given)


def as_recursion(given: Any) -> Any:
    """Return a recursion."""
    return _choice("recursion", given)


def as_pre(given: Any) -> Any:
    """Return a filter of the input."""
    return _choice("pre", given)


def as_post(given: Any) -> Any:
    """Return a filter of the trace."""
    return _choice("post", given)


def as_outer(given: Any) -> Any:
    """Return an outer trace."""
    return _choice("outer", given)


def signal_of(given: Any) -> Signal:
    """Return a signal, given one, its word, or a helper that stands for one."""
    return as_signal(getattr(given, "signal", given))


def as_step_size(given: Any) -> Any:
    """Return an optimiser, given one, its name, or the rate of gradient descent."""
    if given is None or (isinstance(given, str) and given == "none"):
        return None
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return optim.sgd(given)
    return optim.get(given)


def as_schedule(given: Any) -> Any:
    """Return a schedule, checked."""
    parse_schedule(given)
    return given


def told(x: Any) -> str:
    """Return how a value is told."""
    return repr(str(x)) if isinstance(x, Scope) else repr(x)


def legal(x: Any) -> str:
    """Return how a kind of value is written, given one of it."""
    if isinstance(x, (Scope, Signal, int)):
        return told(x)
    return written(None if x is None else type(x))
