"""The only contract between programs and the array libraries that run them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

from .core import Program


class Executable(ABC):
    """A compiled program: arrays by input name in, arrays by output key out.

    Outputs never alias a buffer that a later call overwrites, unless it was donated.
    """

    program: Program

    @abstractmethod
    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program on arrays of the backend (NumPy arrays are converted)."""


class Backend(ABC):
    """An array library that runs programs."""

    name: str
    lacks: frozenset[str] = frozenset()  # element types that the array library has not

    @abstractmethod
    def compile(self, program: Program, *, donate: Collection[str] = ()) -> Executable:
        """Return an executable; the arrays given for ``donate`` are dead after each call."""

    @abstractmethod
    def asarray(self, array: Any) -> Any:
        """Return the array as one of this backend (a copy where it is not one already)."""

    @abstractmethod
    def to_numpy(self, array: Any) -> Any:
        """Return the array as a NumPy array."""
