"""Programs as the generated source of the NumPy backend, run on CuPy arrays."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from attrs import frozen

from etp_ir.backend import Backend
from etp_ir.core import Program
from etp_ir.errors import compose
from etp_ir.types import DType

from ..array.codegen import generate
from ..array.dialect import CUPY
from ..array.executable import ArrayExecutable, check_cast, check_inputs
from ..array.nonzeros import Nonzeros
from ..array.source import load
from ..registry import BackendError


@frozen
class Namespace:
    """CuPy's own functions, which take ``out``, and the standard's names for what it lacks."""

    own: Any
    standard: Any

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.own, name, None)
        return getattr(self.standard, name) if found is None else found


def _matrices() -> Any:
    import cupyx.scipy.sparse

    return cupyx.scipy.sparse


class CupyExecutable(ArrayExecutable):
    """A program compiled for CuPy."""


class CupyBackend(Backend):
    """Runs programs with CuPy on the current CUDA device.

    Raises
    ------
    BackendError
        If no CUDA device answers.
    """

    name = "cupy"
    lacks = frozenset({"bf16"})

    def __init__(self) -> None:
        import array_api_compat.cupy as standard
        import cupy

        if not cupy.cuda.is_available():
            raise BackendError(
                compose(
                    "backend 'cupy' finds no CUDA device",
                    how="run on a machine with an NVIDIA driver of CUDA 13 or later, "
                    "or choose another backend",
                )
            )
        self._cupy = cupy
        self._namespace = Namespace(cupy, standard)
        self._nonzeros = Nonzeros(cupy, _matrices, partial(cupy.take, axis=0), block=1 << 24)

    def compile(self, program: Program, *, donate: Collection[str] = ()) -> CupyExecutable:
        """Return an executable; the memory of the arrays given for ``donate`` may be overwritten.

        Raises
        ------
        LoweringError
            If the program uses a primitive or an element type that generated source lacks.
        IRError
            If a name in ``donate`` is not an input.
        """
        check_inputs(program, donate)
        source = generate(program, "numpy_like", donate=donate, dialect=CUPY)
        run = load(source, self._namespace, slot=self._slot, nonzeros=self._nonzeros)
        return CupyExecutable(program, source, run, self._convert, donate=donate)

    def asarray(self, array: Any) -> Any:
        """Return the array on the current device."""
        return self._cupy.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        """Return a copy of the array on the host."""
        return self._cupy.asnumpy(array)

    def _slot(self, nbytes: int) -> Any:
        return self._cupy.empty(nbytes, dtype=self._cupy.uint8)

    def _convert(self, array: Any, dtype: DType) -> Any:
        wanted = dtype.numpy()
        given = self._cupy.asarray(array)
        if given.dtype != wanted:
            check_cast(given.dtype, dtype)
        return self._cupy.asarray(given, dtype=wanted, order="C")
