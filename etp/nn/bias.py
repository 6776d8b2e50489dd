"""What users say of a bias, the same for every layer and cell."""

from __future__ import annotations

import numpy as np

from ..init import constant
from ..model import Param

Bias = bool | float | None


def initial_bias(given: Bias, shape: tuple[int, ...]) -> Param | None:
    """Return the bias of a layer.

    Parameters
    ----------
    given
        True for one that starts at zero, a number for one that starts there, False or None for
        none.
    """
    if given is None or isinstance(given, (bool, np.bool_)):
        return Param(constant(shape, 0.0)) if given else None
    return Param(constant(shape, float(given)))
