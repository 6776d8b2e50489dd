"""The random numbers that a rule of the package meets in a stream, for its twin."""

from __future__ import annotations

import numpy as np

from etp.compiler import numbers
from etp.keys import SEQUENCE, STEP, Stretch
from etp_ir.primitive import get
from etp_ir.tracer import bind


def uniform(t: int, shape: tuple[int, ...], stream: int, per: str = "step") -> np.ndarray:
    """Return the draws of step ``t``, in the first sequence of a learner with seed 0."""
    kind = STEP if per == "step" else SEQUENCE
    key = Stretch(0, 0, t).keys(kind, 1, 1)[0, 0]
    with np.errstate(over="ignore"):
        words = bind(get("random_bits"), key + np.uint32(numbers._RULE + stream), shape=shape)
    return (words >> 8) * 2.0**-24


def signs(t: int, shape: tuple[int, ...], stream: int = 1, per: str = "step") -> np.ndarray:
    return np.where(uniform(t, shape, stream, per) < 0.5, -1.0, 1.0)


def normal(t: int, shape: tuple[int, ...], stream: int = 1, per: str = "step") -> np.ndarray:
    u, v = uniform(t, (2, *shape), stream, per)
    return np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v)
