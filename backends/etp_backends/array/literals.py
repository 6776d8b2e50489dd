"""Numbers of a program as bit patterns."""

from __future__ import annotations

import numpy as np

from etp_ir.core import Literal


def bits_of(number: Literal) -> int:
    """Return the bit pattern of a number in its element type, as an unsigned integer."""
    data = np.asarray(number.value, dtype=number.dtype.numpy())
    return int.from_bytes(data.tobytes(), "little" if np.little_endian else "big")
