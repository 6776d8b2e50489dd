"""Learning signals by a word, for the options of rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import Parameter, signature
from typing import Any

from etp_ir.errors import ETPError, nearest

from ..checks import made
from ..given import mistake
from .base import Signal

_PACKAGE = __name__.rpartition(".")[0]


def snake(kind: type[Signal]) -> str:
    """Return the name of a class of signals in snake case, its own word."""
    return "_".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*", kind.__name__)).lower()


def words() -> dict[str, type[Signal]]:
    """Return the classes of `etp.signals` by all their words: own names first, short ones after."""
    kinds = sorted(_kinds(Signal), key=snake)  # type: ignore[type-abstract]
    own = {snake(kind): kind for kind in kinds}
    return {**own, **{word: kind for kind in kinds for word in kind.__dict__.get("words", ())}}


def samples() -> tuple[Signal, ...]:
    """Return one signal of each class that needs no arguments."""
    kinds = dict.fromkeys(words().values())
    return tuple(kind() for kind in kinds if not _needed(kind))


def _kinds(base: type[Signal]) -> Iterator[type[Signal]]:
    for kind in base.__subclasses__():
        yield from _kinds(kind)
        if kind.__module__.startswith(f"{_PACKAGE}.") and not kind.__name__.startswith("_"):
            yield kind


def _needed(kind: type[Signal]) -> list[str]:
    takes = signature(kind).parameters.values()
    return [p.name for p in takes if p.default is Parameter.empty]


def as_signal(given: Any) -> Signal:
    """Return a learning signal, given itself or a word for it.

    Every class of `etp.signals` has its name in snake case as a word, ``"sign_matched"``, and some
    have a shorter one, ``"sign"``.

    Raises
    ------
    etp.ETPError
        If it is neither.
    """
    if isinstance(given, Signal):
        return given
    if isinstance(given, type) and issubclass(given, Signal):
        raise mistake(ETPError, f"{given.__name__} is a class of signals, and no signal",
                      f"give an object, {given.__name__}(...)")  # fmt: skip
    known = words()
    word = re.sub(r"[-\s]+", "_", given.strip().lower()) if isinstance(given, str) else ""
    if word in known:
        kind = known[word]
        if _needed(kind):
            raise mistake(ETPError, f"the signal {given!r} needs {', '.join(_needed(kind))}",
                          f"give an object, etp.signals.{kind.__name__}(...)")  # fmt: skip
        found: Signal = made(kind, f"signal {given!r}", (), {})
        return found
    raise mistake(ETPError, f"{given!r} is no learning signal{nearest(word, list(known))}",
                  "give a word, or an object of etp.signals")  # fmt: skip
