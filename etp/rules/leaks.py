"""The leak of rules whose derivation rests on one that all units share."""

from __future__ import annotations

ASSUMED = 0.5


def leak_of(given: float | None) -> float:
    """Return the leak, or what is assumed where none was given."""
    return ASSUMED if given is None else given


def told_leak(given: float | None) -> str:
    """Return the leak in words, and whether it was assumed."""
    if given is None:
        return f"{ASSUMED} (assumed, as none was given: leak= sets it)"
    return f"{given} as given to the rule"
