"""Gradients by central differences, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def finite_differences(
    loss: Callable[[dict[str, Array]], float], params: Mapping[str, Array], step: float = 1e-6
) -> dict[str, Array]:
    """Return the gradient of ``loss(params)`` by central differences.

    Parameters
    ----------
    loss
        Function of a dict of arrays.
    params
        Where to differentiate; float64.
    step
        Half the distance between the two evaluations.
    """
    grads = {}
    for name, array in params.items():
        grad = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = array.copy()
                moved[place] += sign * step
                values.append(loss({**params, name: moved}))
            grad[place] = (values[0] - values[1]) / (2 * step)
        grads[name] = grad
    return grads
