"""Checks of the parameters of rules, signals and filters: validators of attrs fields.

Numbers of NumPy are taken as numbers are, and kept as Python's. Every error names the parameter
and what it belongs to, says how to mend it, and has the user's line.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
from math import isfinite
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from etp_ir.errors import ETPError, ModelError

from .given import mistake

Validator = Callable[[Any, Any, Any], None]


def real(value: Any) -> float | int | None:
    """Return a finite number as one of Python's, or None if it is none."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return None
    try:
        found: float | int = index(value)  # type: ignore[arg-type]
    except TypeError:
        found = float(value)
    try:
        return found if isfinite(found) else None
    except OverflowError:
        return None


def integer(value: Any) -> int | None:
    """Return a whole number as one of Python's, or None if it is none."""
    found = real(value)
    return found if isinstance(found, int) else None


def wrong(instance: Any, attribute: Any, value: Any, rule: str, how: str) -> ETPError:
    """Return the error of a parameter."""
    return mistake(ModelError, f"{_named(instance, attribute)} {rule}, got {value!r}", how)


def _named(instance: Any, attribute: Any) -> str:
    return f"{attribute.alias or attribute.name} of {type(instance).__name__}"


def _settle(instance: Any, attribute: Any, value: Any, found: Any) -> None:
    """Keep the number of Python in place of the one that was given."""
    if type(value) is not type(found):
        object.__setattr__(instance, attribute.name, found)


def _numbers(test: Callable[[float], bool], rule: str, how: str) -> Validator:
    def check(instance: Any, attribute: Any, value: Any) -> None:
        found = real(value)
        if found is None or not test(found):
            raise wrong(instance, attribute, value, rule, how)
        _settle(instance, attribute, value, found)

    check.__doc__ = f"Raise `etp.ModelError` unless a parameter {rule}."
    return check


def _integers(least: int, rule: str, how: str) -> Validator:
    def check(instance: Any, attribute: Any, value: Any) -> None:
        found = integer(value)
        if found is None or found < least:
            raise wrong(instance, attribute, value, rule, how)
        _settle(instance, attribute, value, found)

    check.__doc__ = f"Raise `etp.ModelError` unless a parameter {rule}."
    return check


decay = _numbers(
    lambda x: 0 <= x < 1, "is the part that is kept in each step and lies in [0, 1)",
    "a decay is a number in [0, 1); a time constant tau stands for exp(-dt / tau)",
)  # fmt: skip
discount = _numbers(
    lambda x: 0 <= x <= 1, "is a number from 0 to 1", "give a number in [0, 1], 0 and 1 included"
)
not_negative = _numbers(lambda x: x >= 0, "must be a number of at least 0", "give 0 or more")
positive = _numbers(lambda x: x > 0, "must be a number above 0", "give a number above 0")
number = _numbers(lambda x: True, "must be a number, and finite", "give a finite number")
count = _integers(1, "is an integer of at least 1", "give a whole number from 1 on")
whole = _integers(0, "is an integer of at least 0", "give a whole number of at least 0")
seed = _integers(
    0, "is an integer of at least 0", "give a whole number from 0 on as the seed of what is drawn"
)


def flag(instance: Any, attribute: Any, value: Any) -> None:
    """Raise `etp.ModelError` unless a parameter is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise wrong(instance, attribute, value, "is True or False", "give True or False")
    _settle(instance, attribute, value, bool(value))


def function(instance: Any, attribute: Any, value: Any) -> None:
    """Raise `etp.ModelError` unless a parameter can be called."""
    if not callable(value):
        raise wrong(instance, attribute, value, "is a function",
                    "give something that can be called, such as a lambda")  # fmt: skip


def text(instance: Any, attribute: Any, value: Any) -> None:
    """Raise `etp.ModelError` unless a parameter is text."""
    if not isinstance(value, str):
        raise wrong(instance, attribute, value, "is text", "give a string")


def optional(check: Validator) -> Validator:
    """Return a check that lets None pass."""

    def found(instance: Any, attribute: Any, value: Any) -> None:
        if value is not None:
            check(instance, attribute, value)

    return found


def word(**meanings: str) -> Validator:
    """Return a check that a parameter is one of some words, given with what they mean."""
    told = " or ".join(f"{w!r} ({means})" for w, means in meanings.items())

    def check(instance: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, str) or value not in meanings:
            raise wrong(instance, attribute, value, f"is one of {', '.join(map(repr, meanings))}",
                        f"give {told}")  # fmt: skip

    return check


def made(kind: Callable[..., Any], what: str, args: Any, named: Any) -> Any:
    """Return an object of a kind, made from arguments that a text gave.

    Parameters
    ----------
    what
        What the text stands for and the text, in words.

    Raises
    ------
    etp.ModelError
        If it does not take the arguments.
    """
    bound(signature(kind), what, args, named)
    return kind(*args, **named)


def bound(takes: Signature, what: str, args: Any, named: Any) -> None:
    """Raise `etp.ModelError`, with the parameters there are, unless the arguments fit them."""
    try:
        takes.bind(*args, **named)
    except TypeError as error:
        plain = [p.replace(annotation=p.empty) for p in takes.parameters.values()]
        names = str(takes.replace(parameters=plain, return_annotation=Signature.empty))
        names = names.replace("=NOTHING", "=...")  # attrs: a default that is made anew each time
        raise mistake(ModelError, f"{what}: {error}", f"it takes {names}") from None
