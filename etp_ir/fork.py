"""Building a `cond`: operands and results of two regions, added in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ops
from .builder import Builder
from .core import Operand, Role, Value
from .primitive import get
from .tracer import Tracer, operand
from .types import TensorType

Pair = tuple[Any, Any]


class Fork:
    """A `cond` under construction.

    Parameters
    ----------
    outer
        Receives the node.
    predicate
        The condition, in the outer builder.
    names
        Names of the two regions.

    Attributes
    ----------
    builders
        Receive the nodes of the region taken where the predicate holds, and of the other.
    """

    def __init__(self, outer: Builder, predicate: Any, names: Sequence[str]) -> None:
        self.outer = outer
        self.predicate = predicate
        self.builders = tuple(Builder(name, share=True) for name in names)
        self._operands: list[Operand] = []

    def add(self, x: Any, type: TensorType, name: str) -> tuple[Tracer, Tracer]:
        """Add an operand ``x``; return the input that stands for it in each region."""
        while name in {port.name for port in self.builders[0].inputs}:
            name += "_"
        self._operands.append(operand(self.outer, x, type.dtype))
        first, second = (Tracer(b, b.input(name, type, "value")) for b in self.builders)
        return first, second

    def run(self, results: Sequence[Pair]) -> list[Any]:
        """Append the node; return one result for each pair, None for a pair of them.

        One of a pair that is None is zero.
        """
        kept = [pair for pair in results if pair[0] is not None or pair[1] is not None]
        if not kept:
            return [None] * len(results)
        regions = []
        for which, builder in enumerate(self.builders):
            values = [self._value(builder, pair[which], pair[1 - which]) for pair in kept]
            regions.append(
                builder.finish([(v, Role("output", (str(i),))) for i, v in enumerate(values)])
            )
        inputs = [operand(self.outer, self.predicate), *self._operands]
        attrs = {"then": regions[0], "otherwise": regions[1]}
        made = iter(self.outer.emit(get("cond"), inputs, attrs))
        return [
            None if a is None and b is None else Tracer(self.outer, next(made)) for a, b in results
        ]

    def _value(self, builder: Builder, x: Any, other: Any) -> Value:
        if x is None:
            x = ops.full(builder, other.shape, 0, other.dtype)
        value: Value = x.value
        return value
