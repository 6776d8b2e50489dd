"""From a program to readable Python source over an array namespace."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal as Choice

from etp_ir.core import Program
from etp_ir.passes import lower, simplify

from .dialect import NUMPY, Dialect
from .order import order
from .planned import generate_planned
from .source import Source
from .standard import generate_standard
from .tile import tile

Profile = Choice["standard", "numpy_like"]


def generate(
    program: Program,
    profile: Profile = "numpy_like",
    *,
    donate: Collection[str] = (),
    dialect: Dialect = NUMPY,
) -> Source:
    """Return the source of a program.

    Parameters
    ----------
    profile
        ``"standard"``: functions of the array-API standard, nothing in place.
        ``"numpy_like"``: statements that write into buffers planned ahead.
    donate
        Names of inputs whose memory the outputs may take (``numpy_like`` only).
    dialect
        The library ``numpy_like`` source is for.

    Raises
    ------
    LoweringError
        If the profile cannot express a primitive.
    """
    program = simplify(lower(program))
    if profile == "standard":
        return generate_standard(program)
    if dialect.tile:
        program = tile(program)
    return generate_planned(order(program, dialect, donate), dialect, donate)


__all__ = ["Profile", "generate"]
