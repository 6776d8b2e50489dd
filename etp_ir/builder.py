"""Appending nodes to a program under construction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .core import Attrs, Input, Node, Operand, Output, Program, Role, Value, freeze
from .errors import TypeRuleError, compose
from .primitive import Primitive, as_tuple
from .source import Source, user_source
from .types import F32, DType, TensorType, type_of


class Builder:
    """Collects inputs and nodes, infers types, and closes into a `Program`.

    Parameters
    ----------
    name
        Name of the program.
    share
        Reuse an existing node instead of appending an equal one (value numbering).
    float_dtype
        Element type that captured floating-point constants and literals take.
    track_source
        Record the user's line on every node appended while ``source`` is None.

    Attributes
    ----------
    source
        The source that appended nodes get.
    constant_names
        Names for captured arrays, by identity; an array without one is called ``c``.
    """

    def __init__(
        self,
        name: str,
        *,
        share: bool = False,
        float_dtype: DType = F32,
        track_source: bool = False,
    ) -> None:
        self.name = name
        self.inputs: list[Input] = []
        self.nodes: list[Node] = []
        self.bindings: dict[str, np.ndarray[Any, Any]] = {}
        self.float_dtype = float_dtype
        self._track = track_source
        self.source: Source | None = None
        self._seen: dict[Any, tuple[Value, ...]] | None = {} if share else None
        self._constants: dict[int, tuple[Any, Value]] = {}
        self.constant_names: dict[int, str] = {}
        self._write: Callable[[Any], Value] | None = None

    def input(self, name: str, type: TensorType, role: Role | str) -> Value:
        """Append an input and return its value."""
        value = Value(type, name)
        self.inputs.append(Input(name, Role(role) if isinstance(role, str) else role, value))
        return value

    def constant(self, array: Any, hint: str = "c") -> Value:
        """Return the value of a captured array, adding it as an input of role ``const``."""
        if id(array) in self._constants:
            return self._constants[id(array)][1]
        if self._write is not None:
            return self._write(array)
        if isinstance(array, dict):
            raise no_array(array)
        hint = self.constant_names.get(id(array), hint)
        data = np.asarray(array)
        if type_of(data).dtype.is_float:
            data = data.astype(self.float_dtype.numpy())
        if data.dtype == np.int64 and np.all(np.abs(data) < 2**31):
            data = data.astype(np.int32)  # Python's integers; the width was not chosen by anyone
        type = type_of(data)
        data = data.astype(type.dtype.numpy(), copy=False)
        taken = {port.name for port in self.inputs}
        name, k = hint, 0
        while name in taken:
            k += 1
            name = f"{hint}{k}"
        value = self.input(name, type, "const")
        self.bindings[name] = data
        self._constants[id(array)] = (array, value)
        return value

    @contextmanager
    def writing(self, write: Callable[[Any], Value]) -> Iterator[None]:
        """Have arrays that are captured inside the block written as nodes, not made inputs."""
        before, self._write = self._write, write
        try:
            yield
        finally:
            self._write = before

    @contextmanager
    def at(self, source: Source | None) -> Iterator[None]:
        """Give nodes appended inside the block this source."""
        before, self.source = self.source, source
        try:
            yield
        finally:
            self.source = before

    @contextmanager
    def apart(self) -> Iterator[list[Node]]:
        """Collect what is appended inside the block in a list of its own, for a region."""
        nodes, seen = self.nodes, self._seen
        self.nodes, self._seen = [], None if seen is None else {}
        try:
            yield self.nodes
        finally:
            self.nodes, self._seen = nodes, seen

    def emit(
        self, primitive: Primitive, inputs: Sequence[Operand], attrs: Attrs, hint: str = "",
        types: Sequence[TensorType] | None = None,
    ) -> tuple[Value, ...]:  # fmt: skip
        """Append a node and return its outputs.

        Parameters
        ----------
        types
            Types of the outputs where they are known, as for the copy of a node.

        Raises
        ------
        TypeRuleError
            If the operands do not fit the primitive, with the user's line.
        """
        inputs = tuple(inputs)
        if self._seen is not None:
            key = _key(primitive, inputs, attrs)
            if key in self._seen:
                return self._seen[key]
        source = self.source or (user_source() if self._track else None)
        if types is None:
            try:
                types = as_tuple(primitive.infer(*inputs, **attrs))
            except TypeRuleError as error:
                raise type(error)(located(str(error), primitive.name, inputs, source)) from None
        outputs = tuple([Value(t, hint) for t in types])
        self.nodes.append(Node(primitive, inputs, outputs, attrs, source))
        if self._seen is not None:
            self._seen[key] = outputs
        return outputs

    def copy(self, node: Node, inputs: Sequence[Operand]) -> tuple[Value, ...]:
        """Append a node with other operands, of the types it has, and return its outputs."""
        self.source = node.source
        hint = node.outputs[0].hint if node.outputs else ""
        types = [v.type for v in node.outputs]
        return self.emit(node.primitive, inputs, node.attrs, hint, types)

    def forget(self, nodes: Iterable[Node]) -> None:
        """Stop reusing nodes."""
        if self._seen is not None:
            for node in nodes:
                self._seen.pop(_key(node.primitive, node.inputs, node.attrs), None)

    def finish(self, outputs: Sequence[tuple[Operand, Role | str]]) -> Program:
        """Close the program with the given outputs."""
        ports = tuple(Output(v, Role(r) if isinstance(r, str) else r) for v, r in outputs)
        return Program(self.name, tuple(self.inputs), tuple(self.nodes), ports)


def _key(primitive: Primitive, inputs: tuple[Operand, ...], attrs: Attrs) -> Any:
    """Return what is equal for two nodes that compute the same."""
    return primitive, inputs, freeze(attrs) if attrs else ()


def located(what: str, primitive: str, inputs: Sequence[Operand], source: Source | None) -> str:
    """Return an error text that also shows the operands and the user's line."""
    shown = ", ".join(
        (f"%{x.hint}: {x.type}" if x.hint else str(x.type))
        if isinstance(x, Value)
        else repr(x.value)
        for x in inputs
    )
    where = f"in `{primitive} {shown}`"
    if source is not None:
        where += f"\ntraced at {source}"
    return compose(what, where=where)


def no_array(x: dict[Any, Any]) -> TypeRuleError:
    """Return the error that a dict stands where an array has to, with the user's line."""
    source = user_source()
    keys = ", ".join(map(repr, x))
    how = f"take an array out of it, as in inputs[{next(iter(x))!r}]" if x else "give an array"
    where = "" if source is None else f"at {source}"
    return TypeRuleError(
        compose(f"a dict of {keys or 'nothing'} is no array", where=where, how=how)
    )
