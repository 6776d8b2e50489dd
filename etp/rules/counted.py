"""Whole numbers that rules are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..sequences import as_count


def counted(what: str, least: int = 1) -> Callable[[Any], int]:
    """Return a converter to a whole number that counts something, see `as_count`."""

    def convert(n: Any) -> int:
        return as_count(n, what, least)

    return convert
