"""The engine of rewriting: a builder that tries rules on every node before it appends it.

A rule is a function of a `Match`. It returns what the node may be replaced by, built with
`etp_ir.ops`, or None. What it builds goes through the rules in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ..builder import Builder
from ..core import Attrs, Literal, Node, Operand, Program, Value
from ..ops import full
from ..primitive import Primitive, as_tuple
from ..tracer import Tracer, wrap
from ..types import TensorType

Rule = Callable[["Match"], Any]
RULES: dict[str, list[Rule]] = {}


def rule(*keys: str) -> Callable[[Rule], Rule]:
    """Register a rule for primitives named by ``keys``.

    A key may also be a value of `Primitive.positions`, such as ``"elementwise"``; primitives
    that carry a trained weight are matched by their own name only.
    """

    def decorate(function: Rule) -> Rule:
        for key in keys:
            RULES.setdefault(key, []).append(function)
        _rules.cache_clear()
        return function

    return decorate


class Rewriter(Builder):
    """A builder that simplifies while it appends.

    Attributes
    ----------
    fired
        Number of rules applied so far.
    uses
        How often each value is read, as far as it is known; 0 where it is not.
    definitions
        The node that defines each value.
    constants
        The number that fills each value that is known to be constant.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, share=True)
        self.fired = 0
        self.uses: Counter[Value] = Counter()
        self.definitions: dict[Value, Node] = {}
        self.constants: dict[Value, bool | int | float] = {}

    def emit(
        self, primitive: Primitive, inputs: Sequence[Operand], attrs: Attrs, hint: str = "",
        types: Sequence[TensorType] | None = None,
    ) -> tuple[Value, ...]:  # fmt: skip
        """Return the outputs of the node, or of what a rule replaces it by."""
        replaced = self._replaced(Match(self, primitive, tuple(inputs), attrs, types), hint)
        if replaced is not None:
            return replaced
        appended = len(self.nodes)
        outputs = super().emit(primitive, inputs, attrs, hint, types)
        if len(self.nodes) > appended:
            self.definitions.update(dict.fromkeys(outputs, self.nodes[-1]))
            if primitive.name == "broadcast" and isinstance(inputs[0], Literal):
                self.constants[outputs[0]] = inputs[0].value
        return outputs

    def replacement(self, node: Node, inputs: Sequence[Operand]) -> tuple[Value, ...] | None:
        """Return the outputs of what a rule replaces a node by, or None if no rule applies."""
        self.source = node.source
        match = Match(self, node.primitive, tuple(inputs), node.attrs)
        return self._replaced(match, node.outputs[0].hint)

    def _replaced(self, match: Match, hint: str) -> tuple[Value, ...] | None:
        for candidate in _rules(match.primitive):
            found = candidate(match)
            if found is not None:
                self.fired += 1
                results = found if isinstance(found, tuple) else (found,)
                return tuple(_named(match.value(x), hint) for x in results)
        return None


class Match:
    """One node about to be appended, as rules see it."""

    def __init__(
        self, builder: Rewriter, primitive: Primitive, operands: tuple[Operand, ...], attrs: Attrs,
        types: Sequence[TensorType] | None = None,
    ) -> None:  # fmt: skip
        self.builder = builder
        self.primitive = primitive
        self.operands = operands
        self.attrs = attrs
        self.args: tuple[Any, ...] = tuple([wrap(builder, x) for x in operands])
        self._types = types

    @property
    def type(self) -> TensorType:
        """Type of the only result."""
        if self._types is None:
            self._types = as_tuple(self.primitive.infer(*self.operands, **self.attrs))
        (type,) = self._types
        return type

    def value(self, x: Any) -> Value:
        """Return the value of a rule's result; a number stands for an array filled with it."""
        if not isinstance(x, Tracer):
            x = full(self.builder, self.type.shape, x, self.type.dtype)
        value: Value = x.value
        return value

    def definition(self, x: Any, *names: str) -> Node | None:
        """Return the node that defines ``x`` if its primitive is one of the names."""
        node = self.builder.definitions.get(x.value) if isinstance(x, Tracer) else None
        return node if node is not None and node.primitive.name in names else None

    def sole(self, x: Any, *names: str) -> Node | None:
        """Return the node that defines ``x`` if this match is the only one to read it."""
        node = self.definition(x, *names)
        return node if node is not None and self.builder.uses[x.value] == 1 else None

    def inputs(self, node: Node) -> tuple[Any, ...]:
        """Return the operands of a node already appended, as tracers and numbers."""
        return tuple(wrap(self.builder, x) for x in node.inputs)

    def constant(self, x: Any) -> bool | int | float | None:
        """Return the number that all elements of ``x`` are known to be, or None."""
        return self.builder.constants.get(x.value) if isinstance(x, Tracer) else x


@cache
def _rules(primitive: Primitive) -> list[Rule]:
    general = [] if primitive.is_etp else RULES.get(primitive.positions, [])
    return general + RULES.get(primitive.name, [])


def _named(value: Value, hint: str) -> Value:
    """Return the value, with the hint of what it replaces if it has none of its own."""
    if hint and not value.hint:
        object.__setattr__(value, "hint", hint)
    return value


def sweep(program: Program, region: Callable[[Program], Program] | None) -> tuple[Program, int]:
    """Return the program rebuilt through the rules once, and how many rules were applied.

    ``region`` is applied to the programs that nodes hold, unless it is None.
    """
    builder = Rewriter(program.name)
    uses = count_uses(program)
    env: dict[Operand, Operand] = {}

    def rename(old: Value, new: Value) -> None:
        env[old] = new
        builder.uses[new] += uses[old]

    for port in program.inputs:
        rename(port.value, builder.input(port.name, port.type, port.role))
    for node in program.nodes:
        inputs = [env.get(x, x) for x in node.inputs]
        outputs = None
        if region is not None and node.regions:
            # Before the region is changed: a rule that rebuilds the node does so itself.
            outputs = builder.replacement(node, inputs)
            node = node if outputs else node.with_regions(region)
        outputs = outputs or builder.copy(node, inputs)
        for old, new in zip(node.outputs, outputs, strict=True):
            rename(old, new)
    ports: list[Any] = [(env.get(o.value, o.value), o.role) for o in program.outputs]
    return builder.finish(ports), builder.fired


def count_uses(program: Program) -> Counter[Value]:
    """Return how often each value is read by nodes and outputs of the program."""
    readers = [x for node in program.nodes for x in node.inputs if isinstance(x, Value)]
    readers += [out.value for out in program.outputs if isinstance(out.value, Value)]
    return Counter(readers)
