"""A compiled program: one jitted function of its inputs in a fixed order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from attrs import frozen
from jax import lax

from etp_ir.backend import Executable
from etp_ir.core import Program
from etp_ir.errors import IRError, ShapeError, compose, nearest
from etp_ir.types import TensorType, dtype_of, type_of

from .lower import run
from .options import warn_about_foreign_jit

_RANK = {"bool": 0, "uint": 1, "int": 1, "float": 2}


@frozen
class Memory:
    """Bytes an executable needs while it runs.

    Attributes
    ----------
    arguments, outputs
        Its inputs and its results.
    temporaries
        Everything in between.
    aliased
        Results written into donated inputs, counted in both of the first two.
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int


class JaxExecutable(Executable):
    """A program compiled by XLA on its first call, and never again.

    Attributes
    ----------
    program
        The program given to the backend.
    lowered
        The same in core primitives, as it is traced.
    compilations
        How often the program has been compiled.
    compiler_options
        What it is compiled with; see `function`.
    """

    def __init__(
        self,
        program: Program,
        lowered: Program,
        *,
        donate: Collection[str] = (),
        device: Any = None,
        platform: str,
        compiler_options: Mapping[str, Any],
    ) -> None:
        self.program = program
        self.lowered = lowered
        self.compiler_options = dict(compiler_options)
        self.compilations = 0
        self._platform = platform
        self._device = device
        self._wide = is_wide(lowered)
        self._keys = [out.key for out in program.outputs]
        self._ports = [(p.name, p.type, p.type.dtype.numpy()) for p in program.inputs]
        self._donated = donatable(program, donate)
        self._jitted = jax.jit(
            self._positional,
            donate_argnums=self._donated,
            compiler_options=self.compiler_options or None,
        )

    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program on JAX or NumPy arrays by input name; return arrays by output key.

        Raises
        ------
        ShapeError
            If an array does not fit its input.
        """
        with self._precision():
            arguments = [self._argument(*port, arrays) for port in self._ports]
            if self._donated:
                self._separate(arguments)
            results = self._jitted(*arguments)
        return dict(zip(self._keys, results, strict=True))

    def function(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs by key: a pure function for your own ``jit``, ``scan`` or ``grad``.

        XLA takes options from the outermost ``jit`` only, so write
        ``jax.jit(f, compiler_options=executable.compiler_options)``. On a CPU jaxlib 0.10.2 sums
        some products wrongly without them. Double precision needs ``jax.enable_x64``.
        """
        warn_about_foreign_jit(self._platform)
        if self._wide and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
            raise IRError(
                compose(
                    f"@{self.program.name} has 64-bit elements, which JAX would narrow here",
                    how="call it inside `with jax.enable_x64(True):`",
                )
            )
        arguments = [
            lax.convert_element_type(_checked(name, type, arrays), dtype)
            for name, type, dtype in self._ports
        ]
        results = run(self.lowered, arguments, self._platform)
        return dict(zip(self._keys, results, strict=True))

    def compiled(self) -> jax.stages.Compiled:
        """Return XLA's form of the program, with its text and its costs."""
        with self._precision():
            shapes: list[Any] = [
                jax.ShapeDtypeStruct(type.shape, dtype)  # type: ignore[no-untyped-call]
                for _, type, dtype in self._ports
            ]
            return self._jitted.lower(*shapes).compile()

    def memory(self) -> Memory:
        """Return the bytes the program needs."""
        found: Any = self.compiled().memory_analysis()
        return Memory(
            arguments=found.argument_size_in_bytes,
            outputs=found.output_size_in_bytes,
            temporaries=found.temp_size_in_bytes,
            aliased=found.alias_size_in_bytes,
        )

    def _positional(self, *arguments: Any) -> tuple[Any, ...]:
        # Python runs this body once per compilation.
        self.compilations += 1
        return tuple(run(self.lowered, arguments, self._platform))

    def _precision(self) -> AbstractContextManager[Any]:
        """Allow 64-bit elements during a call, where the program has them."""
        return jax.enable_x64(True) if self._wide else nullcontext()

    def _argument(self, name: str, type: TensorType, dtype: Any, arrays: Mapping[str, Any]) -> Any:
        """Return the array for one input, always in the same form, so that jit sees no change."""
        array = arrays.get(name)
        if not (
            isinstance(array, jax.Array) and array.dtype == dtype and array.shape == type.shape
        ):
            array = _checked(name, type, arrays)
        if not isinstance(array, jax.Array):
            # JAX may read a NumPy buffer in place after the call returns: the caller keeps his.
            array = np.array(array, dtype=dtype, copy=True)
        elif array.dtype != dtype or array.weak_type:
            array = lax.convert_element_type(array, dtype)
        return array if self._device is None else jax.device_put(array, self._device)

    def _separate(self, arguments: list[Any]) -> None:
        """Copy an array that is given twice and donated once: XLA refuses to donate it."""
        taken: set[int] = set()
        shared = (i for i in range(len(arguments)) if i not in self._donated)
        for i in (*self._donated, *shared):
            if id(arguments[i]) in taken:
                arguments[i] = jax.numpy.array(arguments[i], copy=True)
            elif i in self._donated:
                taken.add(id(arguments[i]))


def donatable(program: Program, donate: Collection[str]) -> tuple[int, ...]:
    """Return the positions of the inputs to donate: those whose buffer some output can take.

    Raises
    ------
    IRError
        If the program has no input of a name.
    """
    unknown = [name for name in donate if name not in program.input_names]
    if unknown:
        known = [port.name for port in program.inputs]
        raise IRError(
            f"cannot donate {unknown[0]!r} of @{program.name}{nearest(unknown[0], known)}"
        )
    free = [out.type for out in program.outputs]
    positions: list[int] = []
    for i, port in enumerate(program.inputs):
        if port.name in donate and port.type in free:
            free.remove(port.type)
            positions.append(i)
    return tuple(positions)


def is_wide(program: Program) -> bool:
    """Whether the program holds 64-bit elements, which JAX narrows unless told otherwise."""
    types = [port.type for port in program.inputs] + [port.type for port in program.outputs]
    types += [value.type for node in program.walk() for value in node.outputs]
    return any(type.dtype.bits == 64 for type in types)


def _checked(name: str, type: TensorType, arrays: Mapping[str, Any]) -> Any:
    """Return the array given for an input.

    Raises
    ------
    ShapeError
        If it is missing, has another shape, or has elements that would lose their meaning.
    """
    if name not in arrays:
        raise ShapeError(
            compose(f"input {name!r} is missing; it needs {type}",
                    how=f"pass arrays[{name!r}]; given are {', '.join(map(repr, arrays))}")
        )  # fmt: skip
    array = arrays[name]
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        array = np.asarray(array)
    if tuple(array.shape) != type.shape:
        raise ShapeError(
            compose(f"input {name!r} needs {type}, got {type_of(array)}",
                    how=f"give it the shape {list(type.shape)}")
        )  # fmt: skip
    if array.dtype != type.dtype.array_name:
        given = dtype_of(array.dtype)
        if _RANK[given.kind] > _RANK[type.dtype.kind]:
            raise ShapeError(
                compose(f"input {name!r} needs {type}, got {type_of(array)}",
                        how=f"convert it with astype({type.dtype.array_name!r})")
            )  # fmt: skip
    return array
