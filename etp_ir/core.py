"""The data of the IR: values, nodes and programs, all immutable.

A `Program` is straight-line, typed, static single assignment. Names belong to the printer;
a `Value` carries only a hint. Structured control flow is a node whose attributes hold programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from .source import Source
from .types import DType, TensorType

if TYPE_CHECKING:
    from .primitive import Primitive

ROLE_KINDS = (
    "input", "target", "param", "state", "trace", "signal", "grad", "noise", "const", "buffer",
    "output", "loss", "weight", "metric", "carry", "stack", "value", "slot",
)  # fmt: skip


@frozen
class Role:
    """What a program's input or output is for, for example ``trace(w, h)``."""

    kind: str
    of: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(self.of)})" if self.of else self.kind


@frozen(eq=False, slots=True)
class Value:
    """A result of one node or an input of the program; identity is its meaning."""

    type: TensorType
    hint: str = ""


def _exact(number: bool | int | float) -> tuple[type, str]:
    """Return what tells numbers apart that compare equal: 1, 1.0 and True, or 0.0 and -0.0."""
    return type(number), repr(number)


@frozen(slots=True)
class Literal:
    """A scalar constant written in place; it broadcasts against any shape."""

    value: bool | int | float = field(eq=_exact)
    dtype: DType

    @property
    def type(self) -> TensorType:
        """The scalar type of the literal."""
        return TensorType(self.dtype, ())


Operand = Value | Literal
Attrs = Mapping[str, Any]


@frozen(eq=False, slots=True)
class Node:
    """One application of a primitive."""

    primitive: Primitive
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    attrs: Attrs = field(factory=dict)
    source: Source | None = None

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value

    @property
    def regions(self) -> tuple[Program, ...]:
        """Programs held in the attributes."""
        return tuple([v for v in self.attrs.values() if isinstance(v, Program)])

    def with_regions(self, change: Callable[[Program], Program]) -> Node:
        """Return the node with its programs changed, itself where it holds none."""
        for v in self.attrs.values():
            if isinstance(v, Program):
                break
        else:
            return self
        attrs = {k: change(v) if isinstance(v, Program) else v for k, v in self.attrs.items()}
        return evolve(self, attrs=attrs)


@frozen(eq=False, slots=True)
class Input:
    """A named input of a program."""

    name: str
    role: Role
    value: Value

    @property
    def type(self) -> TensorType:
        """Type of the value."""
        return self.value.type


@frozen(eq=False, slots=True)
class Output:
    """An output of a program; its role is also its key."""

    value: Operand
    role: Role

    @property
    def key(self) -> str:
        """Text of the role, by which callers fetch the result."""
        return str(self.role)

    @property
    def type(self) -> TensorType:
        """Type of the value."""
        return self.value.type


@frozen(eq=False)
class Program:
    """A function of typed inputs: nodes in order of execution, then outputs.

    Two programs are equal when they are the same up to the names of intermediate values.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return self is other or self.canonical == other.canonical

    def __hash__(self) -> int:
        # Cheap and coarse: programs meet in a dictionary only where loops are shared.
        return hash((self.name, len(self.inputs), len(self.nodes), len(self.outputs)))

    def __str__(self) -> str:
        from .printer import to_text

        return to_text(self)

    def __repr__(self) -> str:
        return f"<Program @{self.name}: {len(self.nodes)} nodes>"

    @cached_property
    def canonical(self) -> tuple[Any, ...]:
        """A nested tuple that is equal for equal programs."""
        number: dict[Value, int] = {}
        for port in self.inputs:
            number[port.value] = len(number)

        def ref(operand: Operand) -> Any:
            return operand if isinstance(operand, Literal) else number[operand]

        rows: list[Any] = []
        for node in self.nodes:
            rows.append((node.primitive.name, tuple(ref(x) for x in node.inputs),
                         freeze(node.attrs), tuple(v.type for v in node.outputs)))  # fmt: skip
            for value in node.outputs:
                number[value] = len(number)
        return (
            self.name,
            tuple((p.name, p.role, p.type) for p in self.inputs),
            tuple(rows),
            tuple((ref(o.value), o.role) for o in self.outputs),
        )

    @cached_property
    def producers(self) -> dict[Value, Node]:
        """The node that defines each non-input value."""
        return {value: node for node in self.nodes for value in node.outputs}

    @cached_property
    def input_names(self) -> dict[str, Input]:
        """Inputs by name."""
        return {port.name: port for port in self.inputs}

    @cached_property
    def output_keys(self) -> dict[str, Output]:
        """Outputs by key."""
        return {port.key: port for port in self.outputs}

    def input(self, name: str) -> Input:
        """Return the input called ``name``."""
        return self.input_names[name]

    def output(self, key: str) -> Output:
        """Return the output whose role prints as ``key``."""
        return self.output_keys[key]

    def inputs_of(self, *kinds: str) -> tuple[Input, ...]:
        """Return the inputs whose role is of one of the kinds."""
        return tuple(port for port in self.inputs if port.role.kind in kinds)

    def outputs_of(self, *kinds: str) -> tuple[Output, ...]:
        """Return the outputs whose role is of one of the kinds."""
        return tuple(port for port in self.outputs if port.role.kind in kinds)

    def walk(self) -> Iterator[Node]:
        """Yield every node, descending into regions."""
        for node in self.nodes:
            yield node
            for region in node.regions:
                yield from region.walk()


def freeze(item: Any) -> Any:
    """Return a hashable image of attributes, equal for equal attributes only."""
    if isinstance(item, (bool, float)):
        return _exact(item)
    if isinstance(item, (str, int, DType, Program)):
        return item
    if isinstance(item, tuple) and set(map(type, item)) <= {int}:
        return item  # an index table may be long
    if isinstance(item, (tuple, list)):
        return tuple([freeze(v) for v in item])
    if isinstance(item, Mapping):
        return tuple([(k, freeze(item[k])) for k in sorted(item)])
    return item
