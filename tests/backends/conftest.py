"""The backends that the conformance battery runs on."""

from collections.abc import Collection, Iterator
from enum import Enum
from importlib.util import find_spec
from typing import Any

import array_api_compat.numpy
import array_api_strict
import numpy as np
import pytest
from attrs import frozen

import etp_backends
from etp_backends.array.codegen import generate
from etp_backends.array.dialect import CUPY
from etp_backends.array.executable import ArrayExecutable
from etp_backends.array.source import load
from etp_backends.cupy.backend import Namespace
from etp_backends.numpy.backend import NONZEROS
from etp_backends.registry import BackendError
from etp_ir import Program
from etp_ir.backend import Backend


class Kind(Enum):
    """A backend, or a way to run the generated source that must give the same numbers."""

    NUMPY = "numpy"
    READONLY = "numpy, read-only inputs"
    STRICT = "standard profile, array-api-strict"
    STAND_IN = "CuPy's source, NumPy standing in"
    JAX = "jax"
    CUPY = "cupy"


class ReadOnly(Backend):
    """NumPy with inputs that nobody may write to."""

    name = "numpy, read-only inputs"

    def __init__(self) -> None:
        self.inner = etp_backends.get("numpy")

    def compile(self, program: Program, *, donate: Collection[str] = ()) -> Any:
        run = self.inner.compile(program, donate=donate)

        def frozen(arrays: Any) -> Any:
            given = {k: np.array(v) for k, v in arrays.items()}
            for array in given.values():
                array.flags.writeable = False
            return run(given)

        return frozen

    def asarray(self, array: Any) -> Any:
        return np.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)


class Strict(Backend):
    """The standard profile on the namespace that has nothing beside the standard."""

    name = "strict"

    def compile(self, program: Program, *, donate: Collection[str] = ()) -> Any:
        run = load(generate(program, "standard"), array_api_strict)

        def convert(array: Any, dtype: Any) -> Any:
            return self.asarray(np.asarray(array, dtype.numpy()))

        return ArrayExecutable(
            program, generate(program, "standard"), run, convert,
            guard=lambda: np.errstate(all="ignore"),
        )  # fmt: skip

    def asarray(self, array: Any) -> Any:
        return array_api_strict.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.from_dlpack(array) if array.shape else np.asarray(array)


@frozen
class Careful:
    """A namespace that refuses to write over memory which the same call reads out of step.

    NumPy would quietly make a copy first; CuPy computes nonsense.
    """

    inner: Any

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.inner, name)
        if isinstance(function, type) or not callable(function):
            return function

        def careful(*args: Any, **kwargs: Any) -> Any:
            out = args[0] if name == "copyto" else kwargs.get("out")
            for x in args[1:] if name == "copyto" else args:
                if isinstance(x, np.ndarray) and out is not None and np.shares_memory(x, out):
                    assert name not in ("matmul", "concatenate", "take", "sum", "max"), name
                    assert x.__array_interface__["data"] == out.__array_interface__["data"], name
                    assert (x.shape, x.strides) == (out.shape, out.strides), name
            return function(*args, **kwargs)

        careful.at = getattr(function, "at", None)  # type: ignore[attr-defined]
        return careful


class StandIn(Backend):
    """The source generated for CuPy on NumPy's arrays, through the same namespace wrapper."""

    name = "cupy stand-in"

    def compile(self, program: Program, *, donate: Collection[str] = ()) -> Any:
        source = generate(program, "numpy_like", donate=donate, dialect=CUPY)
        namespace = Careful(Namespace(np, array_api_compat.numpy))
        run = load(source, namespace, slot=lambda n: np.empty(n, np.uint8), nonzeros=NONZEROS)

        def convert(array: Any, dtype: Any) -> Any:
            return np.array(array, dtype.numpy(), order="C")

        return ArrayExecutable(
            program, source, run, convert, donate=donate, guard=lambda: np.errstate(all="ignore")
        )

    def asarray(self, array: Any) -> Any:
        return np.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)


def make(kind: Kind) -> Backend:
    """Return a backend, or skip where it cannot run."""
    if kind is Kind.READONLY:
        return ReadOnly()
    if kind is Kind.STRICT:
        return Strict()
    if kind is Kind.STAND_IN:
        return StandIn()
    try:
        return etp_backends.get(kind.value)
    except BackendError as error:
        pytest.skip(str(error).splitlines()[0])


def marks(kind: Kind) -> Any:
    return [pytest.mark.gpu] if kind is Kind.CUPY else []


@pytest.fixture(params=[pytest.param(k, id=k.name.lower(), marks=marks(k)) for k in Kind])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every backend that can run here, with double precision."""
    kind = request.param
    made = make(kind)
    if kind is Kind.JAX and find_spec("jax"):
        import jax

        with jax.enable_x64(True):
            yield made
    else:
        yield made
