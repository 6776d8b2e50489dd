"""Programs as generated NumPy source with planned buffers."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np

from etp_ir.backend import Backend
from etp_ir.core import Program
from etp_ir.types import DType

from ..array.codegen import generate
from ..array.dialect import NUMPY
from ..array.executable import ArrayExecutable, check_cast, check_inputs
from ..array.nonzeros import Nonzeros
from ..array.slots import ALIGNMENT
from ..array.source import load


def _matrices() -> Any:
    import scipy.sparse

    return scipy.sparse


# A block of sampled products stays within the cache.
NONZEROS = Nonzeros(np, _matrices, partial(np.take, axis=0, mode="clip"), block=1 << 15)


class NumpyExecutable(ArrayExecutable):
    """A program compiled for NumPy."""


class NumpyBackend(Backend):
    """Runs programs with NumPy, on the threads that NumPy's own matrix product uses."""

    name = "numpy"
    lacks = frozenset({"bf16"})

    def compile(self, program: Program, *, donate: Collection[str] = ()) -> NumpyExecutable:
        """Return an executable; the memory of the arrays given for ``donate`` may be overwritten.

        Raises
        ------
        LoweringError
            If the program uses an element type that NumPy lacks.
        IRError
            If a name in ``donate`` is not an input.
        """
        check_inputs(program, donate)
        source = generate(program, "numpy_like", donate=donate, dialect=NUMPY)
        run = load(source, np, slot=_slot, nonzeros=NONZEROS)
        guard = partial(np.errstate, all="ignore")
        return NumpyExecutable(program, source, run, _convert, donate=donate, guard=guard)

    def asarray(self, array: Any) -> np.ndarray[Any, Any]:
        """Return the array as a NumPy array."""
        return np.asarray(array)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """Return the array as a NumPy array."""
        return np.asarray(array)


def _convert(array: Any, dtype: DType) -> np.ndarray[Any, Any]:
    """Return the array in row-major order and of the element type, itself if it is so already."""
    wanted = dtype.numpy()
    if type(array) is np.ndarray and array.dtype == wanted and array.flags.c_contiguous:
        return array
    given = np.asarray(array)
    if given.dtype != wanted:
        check_cast(given.dtype, dtype)
    # `ascontiguousarray` alone would make a scalar a vector.
    return np.asarray(given, dtype=wanted, order="C")


def _slot(nbytes: int) -> np.ndarray[Any, Any]:
    """Return aligned working memory."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + nbytes]
