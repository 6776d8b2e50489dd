"""The list of cells: what has a state of its own and reads one input vector in each step."""

from __future__ import annotations

from typing import Any, TypeVar

from ..model import Module

_CELLS: dict[str, type[Module]] = {}
C = TypeVar("C", bound="type[Module]")


def register(cell: C) -> C:
    """Add a class to the list of cells; a decorator.

    Such a class can be made as ``cell(n_in, n_rec, rng=rng)`` and then maps a vector of ``n_in``
    numbers to a vector. What its docstring says on its parameters under D-RTRL is held to.
    """
    _CELLS[cell.__name__] = cell
    return cell


def cells() -> dict[str, type[Any]]:
    """Return every cell by name."""
    return dict(sorted(_CELLS.items()))
