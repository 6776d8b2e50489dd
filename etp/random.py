"""Random numbers inside a model: fresh at every step, different for every example.

Each call in a model's ``__call__`` is a stream of its own. What it gives depends on the learner's
seed, the sequence, the example, the step and the place of the call, and on nothing else: the bits
are the same on every backend and under every schedule, and a run that is resumed goes on with the
numbers it would have met. Random numbers are constants for differentiation.

Outside of a learner the functions draw from a stream that `seed` starts over.
"""

from __future__ import annotations

from math import tau
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir import ops
from etp_ir.core import Role
from etp_ir.errors import ModelError, NotSupportedError, nearest
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, bind
from etp_ir.types import BF16, F16, F32, U32, DType, TensorType

from .given import extents_of, mistake
from .keys import SEQUENCE, STEP, Stretch
from .variables import StepTrace, current_trace

__all__ = ["bernoulli", "bits", "normal", "seed", "uniform"]

# Digits of a number between 0 and 1, no more than any element type holds.
_DIGITS = {F16: 11, BF16: 8}
_PERIODS = (STEP, SEQUENCE)


class _Stream:
    """Numbers outside of a trace: each draw is a step of one sequence."""

    def __init__(self, number: int) -> None:
        self.seed, self.drawn = number, 0

    def key(self) -> Any:
        self.drawn += 1
        return Stretch(self.seed, start=self.drawn).keys(STEP, 1, 1)[0, 0]


_eager = _Stream(0)


def seed(number: int) -> None:
    """Start the stream over from which draws outside of a learner come."""
    global _eager
    _eager = _Stream(number)


def bits(shape: Any = (), *, per: str = STEP) -> Any:
    """Return random 32-bit words.

    Parameters
    ----------
    shape
        Shape for one example.
    per
        ``"step"`` for new words at every step; ``"sequence"`` for words that stay the same until
        the next sequence begins.

    Raises
    ------
    NotSupportedError
        Inside of a loop that is a node of the program, with the user's line.
    """
    extents = extents_of(shape, "random numbers")
    if per not in _PERIODS:
        raise mistake(
            ModelError, f"per={per!r} is no period of random numbers{nearest(per, list(_PERIODS))}",
            "choose 'step' or 'sequence'",
        )  # fmt: skip
    trace = current_trace()
    if trace is None:
        return bind(get("random_bits"), _eager.key(), shape=extents)
    if trace.looping:
        raise mistake(
            NotSupportedError, "a random number inside of a loop would be the same in every round",
            "draw for all rounds before the loop, with one axis more, and loop over its rows",
        )  # fmt: skip
    key = _input(trace, per)
    site, trace.sites = trace.sites, trace.sites + 1
    return bind(get("random_bits"), ops.add(key, site) if site else key, shape=extents)


def _input(trace: StepTrace, per: str) -> Tracer:
    """Return the key of the step or of the sequence, an input of the program."""
    if per not in trace.noise:
        builder = trace.builder
        taken = {*(port.name for port in builder.inputs), *trace.paths.values()}
        name = "noise" if per == STEP else "noise_sequence"
        while name in taken:
            name += "_"
        value = builder.input(name, TensorType(U32, (2,)), Role("noise", (per,)))
        trace.noise[per] = Tracer(builder, value)
    return trace.noise[per]


def uniform(shape: Any = (), low: float = 0.0, high: float = 1.0, *, per: str = STEP) -> Any:
    """Return numbers drawn uniformly from ``low`` up to, but not including, ``high``.

    Parameters
    ----------
    shape, per
        See `bits`.
    """
    words = bits(shape, per=per)
    unit = _unit(words, _dtype())
    if (low, high) == (0.0, 1.0):
        return unit
    return xp.add(xp.multiply(unit, float(high) - float(low)), float(low))


def normal(shape: Any = (), mean: float = 0.0, std: float = 1.0, *, per: str = STEP) -> Any:
    r"""Return normally distributed numbers.

    By Box & Muller, "A note on the generation of random normal deviates", 1958:
    $\sqrt{-2 \ln u_1}\,\cos 2\pi u_2$. The bits are the same on every backend, the numbers to the
    rounding of its functions.

    Parameters
    ----------
    shape, per
        See `bits`.
    """
    extents = extents_of(shape, "random numbers")
    words = bits((2, *extents), per=per)
    dtype = _dtype()
    wide = F32 if dtype in _DIGITS else dtype
    u = _unit(words, wide)
    # 1 - u lies above zero, so its logarithm is finite.
    radius = xp.sqrt(xp.multiply(xp.log(xp.subtract(1.0, u[0])), -2.0))
    z = xp.multiply(radius, xp.cos(xp.multiply(u[1], tau)))
    z = z if wide is dtype else xp.astype(z, dtype)
    return xp.add(xp.multiply(z, float(std)), float(mean)) if (mean, std) != (0.0, 1.0) else z


def bernoulli(p: Any, shape: Any = None, *, per: str = STEP) -> Any:
    """Return truth values that hold with probability ``p``.

    Parameters
    ----------
    p
        A number, or an array of probabilities.
    shape
        By default that of ``p``.
    per
        See `bits`.
    """
    extents = np.shape(p) if shape is None else shape
    return xp.less(_unit(bits(extents, per=per), F32), p)


def _dtype() -> DType:
    trace = current_trace()
    return F32 if trace is None else trace.builder.float_dtype


def _unit(words: Any, dtype: DType) -> Any:
    """Return words as numbers from 0 up to 1, exact in every element type."""
    digits = _DIGITS.get(dtype, 24)
    if isinstance(words, Tracer):
        return ops.mul(ops.cast(ops.shift_right(words, 32 - digits), dtype), 2.0**-digits)
    top = np.asarray(words) >> np.uint32(32 - digits)
    return top.astype(dtype.numpy()) * dtype.numpy().type(2.0**-digits)
