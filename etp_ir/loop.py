"""Building a loop: a `scan` whose inputs and results are added in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import ops
from .builder import Builder
from .core import Input, Operand, Program
from .primitive import get
from .tracer import Tracer, operand
from .types import TensorType

KINDS = ("const", "carry", "slot")


def kinds(body: Program, consts: int, carries: int) -> list[str]:
    """Return what each input of a loop's body is: a constant, a carry, or a slice."""
    sliced = len(body.inputs) - consts - carries
    return [KINDS[0]] * consts + [KINDS[1]] * carries + [KINDS[2]] * sliced


def filled(builder: Builder, number: float, type: TensorType) -> Any:
    """Return an array of a type filled with a number."""
    return ops.full(builder, type.shape, number, type.dtype)


class Loop:
    """A `scan` under construction.

    Parameters
    ----------
    outer
        Receives the loop.
    name, length, reverse
        Those of the `scan`.

    Attributes
    ----------
    builder
        Receives the nodes of the body.
    """

    def __init__(self, outer: Builder, name: str, length: int, reverse: bool) -> None:
        self.outer = outer
        self.builder = Builder(name, share=True)
        self.length = length
        self.reverse = reverse
        self._inputs: dict[str, list[tuple[Input, Operand]]] = {kind: [] for kind in KINDS}
        self._names: set[str] = set()
        self._next: dict[Operand, Operand] = {}
        self._stacks: list[Operand] = []

    def add(self, kind: str, x: Any, type: TensorType, name: str) -> Tracer:
        """Add an input of the body for an operand ``x`` of the loop, and return it.

        Parameters
        ----------
        type
            Type of the input: for a slice, without the axis of time.
        """
        while name in self._names:
            name += "_"
        self._names.add(name)
        value = self.builder.input(name, type, kind)
        if not isinstance(x, Tracer):
            shape = (self.length, *type.shape) if kind == "slot" else type.shape
            x = filled(self.outer, x, type.with_shape(shape))
        self._inputs[kind].append((self.builder.inputs[-1], x.value))
        return Tracer(self.builder, value)

    def hand(self, carry: Tracer, following: Any) -> tuple[str, int]:
        """Hand a value on to the next step as a carry; return the key of its final value."""
        self._next[carry.value] = operand(self.builder, following, carry.dtype)
        place = [port.value for port, _ in self._inputs["carry"]].index(carry.value)
        return "final", place

    def stack(self, x: Any) -> tuple[str, int]:
        """Collect a value of every step; return the key of the stack."""
        self._stacks.append(operand(self.builder, x))
        return "stack", len(self._stacks) - 1

    def run(
        self, rewrite: Callable[[Program], Program] | None = None
    ) -> dict[tuple[str, int], Any]:
        """Append the loop to the outer builder, its body rewritten; return its results by key."""
        ports = [row for kind in KINDS for row in self._inputs[kind]]
        carries = [port.value for port, _ in self._inputs["carry"]]
        results: list[Any] = [(self._next[v], "carry") for v in carries]
        results += [(x, "stack") for x in self._stacks]
        self.builder.inputs = [port for port, _ in ports]
        if not results:
            return {}
        body = self.builder.finish(results)
        # Not `bind`, which would compute a loop without operands at once.
        values = self.outer.emit(get("scan"), [x for _, x in ports], {
            "body": rewrite(body) if rewrite else body, "length": self.length,
            "consts": len(self._inputs["const"]), "carries": len(carries), "reverse": self.reverse,
        })  # fmt: skip
        outs = [Tracer(self.outer, value) for value in values]
        n = len(carries)
        keys = [("final", i) for i in range(n)] + [("stack", i) for i in range(len(outs) - n)]
        return dict(zip(keys, outs, strict=True))
