"""Running generated source: inputs are checked and converted, outputs are named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from etp_ir.backend import Executable
from etp_ir.core import Input, Program
from etp_ir.errors import IRError, LoweringError, ShapeError, TypeRuleError, compose, nearest
from etp_ir.types import dtype_of

from .source import Source

Convert = Callable[[Any, Any], Any]


class ArrayExecutable(Executable):
    """A program as a function over an array library.

    Attributes
    ----------
    program
        The program as it was given to the backend.
    source
        The generated source; print ``source.text`` to read it.
    """

    def __init__(
        self,
        program: Program,
        source: Source,
        run: Callable[..., tuple[Any, ...]],
        convert: Convert,
        *,
        donate: Collection[str] = (),
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.program = program
        self.source = source
        self._run = run
        self._convert = convert
        self._guard = guard
        self._donated = frozenset(donate)
        self._ports = [
            (port, port.type.dtype.array_name, port.type.shape) for port in program.inputs
        ]
        self._keys = tuple(out.key for out in program.outputs)

    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program.

        Raises
        ------
        ShapeError
            If an array has another shape than its input.
        TypeRuleError
            If an array has an element type that its input cannot take without loss.
        IRError
            If an array is missing.
        """
        arguments = [self._argument(port, name, shape, arrays) for port, name, shape in self._ports]
        if self._donated:
            self._separate(arguments)
        with self._guard():
            results = self._run(*arguments)
        return dict(zip(self._keys, results, strict=True))

    def _argument(
        self, port: Input, name: str, shape: tuple[int, ...], arrays: Mapping[str, Any]
    ) -> Any:
        try:
            given = arrays[port.name]
        except KeyError:
            close = nearest(port.name, list(arrays))
            raise IRError(
                compose(
                    f"no array for input %{port.name}: {port.type}{close}",
                    where=f"in program @{self.program.name}",
                )
            ) from None
        try:
            array = self._convert(given, port.type.dtype)
        except TypeRuleError as error:
            raise TypeRuleError(
                compose(
                    f"input %{port.name} is {port.type}, and {error}",
                    where=f"in program @{self.program.name}",
                    how="convert the array first",
                )
            ) from None
        if tuple(array.shape) != shape:
            raise ShapeError(
                compose(
                    f"input %{port.name} is {port.type}, got an array of shape {list(array.shape)}",
                    where=f"in program @{self.program.name}",
                    how="reshape the array, or compile the program for its shape",
                )
            )
        return array

    def _separate(self, arguments: list[Any]) -> None:
        """Copy arrays that would be overwritten while they are also read under another name."""
        seen: dict[int, int] = {}
        for i, array in enumerate(arguments):
            first = seen.setdefault(id(array), i)
            if first != i:
                arguments[i] = array.copy()
        for i, (port, _, _) in enumerate(self._ports):
            flags = getattr(arguments[i], "flags", None)
            if port.name in self._donated and not getattr(flags, "writeable", True):
                arguments[i] = arguments[i].copy()


def check_cast(given: Any, port_dtype: Any) -> None:
    """Refuse conversions that would lose what the array says.

    Raises
    ------
    TypeRuleError
        For floats given where integers are needed, and anything but bool given for bool.
    """
    found = dtype_of(given)
    rank = {"bool": 0, "uint": 1, "int": 1, "float": 2}
    if rank[found.kind] > rank[port_dtype.kind]:
        raise TypeRuleError(f"an array of {found} cannot become that without loss")


def check_inputs(program: Program, donate: Collection[str]) -> None:
    """Refuse what no NumPy-like library can take.

    Raises
    ------
    IRError
        If a name in ``donate`` is not an input, with the nearest one that is.
    LoweringError
        If an input is of an element type such libraries lack.
    """
    for name in donate:
        if name not in program.input_names:
            known = list(program.input_names)
            raise IRError(f"@{program.name} has no input {name!r} to donate{nearest(name, known)}")
    for port in program.inputs:
        if port.type.dtype.array_name == "bfloat16":
            raise LoweringError(
                f"input %{port.name} is {port.type}, and bf16 runs on JAX only; use f32 or f16"
            )
