"""Axes made one."""

from __future__ import annotations

from math import prod
from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ShapeError

from ..given import mistake
from ..model import Module


class Flatten(Module):
    """The axes of one example made one, in row-major order: [H, W, C] to [H * W * C].

    Parameters
    ----------
    first
        First of the axes that become one; those before it stay. A model sees one example, so that
        there is no batch axis to keep.

    Raises
    ------
    ShapeError
        If the input has no such axis, with the user's line.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def __call__(self, x: Any) -> Any:
        """Return ``x`` with its last axes made one."""
        shape = tuple(x.shape)
        if not -len(shape) <= self.first < max(len(shape), 1):
            raise mistake(
                ShapeError, f"Flatten from axis {self.first} got an input of shape {shape}",
                "give the first axis to flatten of one example, without a batch axis",
            )  # fmt: skip
        kept = shape[: self.first % len(shape)] if shape else ()
        return xp.reshape(x, (*kept, prod(shape[len(kept) :])))
