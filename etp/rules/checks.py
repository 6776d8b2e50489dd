"""Checks of the parameters of rules."""

from __future__ import annotations

from typing import Any

from etp_ir.errors import ETPError


def decay(instance: Any, attribute: Any, value: Any) -> None:
    """Raise unless a decay, the part of a value that is kept in a step, lies in [0, 1).

    Raises
    ------
    etp.ETPError
        If it does not.
    """
    if not _number(value) or not 0 <= value < 1:
        raise ETPError(
            f"{attribute.name} is the part that is kept in each step and lies in [0, 1), got "
            f"{value!r}\na time constant tau stands for exp(-dt / tau)"
        )


def count(instance: Any, attribute: Any, value: Any) -> None:
    """Raise unless a number is an integer of at least 1.

    Raises
    ------
    etp.ETPError
        If it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ETPError(f"{attribute.name} is an integer of at least 1, got {value!r}")


def not_negative(instance: Any, attribute: Any, value: Any) -> None:
    """Raise unless a number is at least 0.

    Raises
    ------
    etp.ETPError
        If it is below.
    """
    if not _number(value) or not value >= 0:
        raise ETPError(f"{attribute.name} must be a number of at least 0, got {value!r}")


def number(instance: Any, attribute: Any, value: Any) -> None:
    """Raise unless a value is a number.

    Raises
    ------
    etp.ETPError
        If it is none.
    """
    if not _number(value):
        raise ETPError(f"{attribute.name} must be a number, got {value!r}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
