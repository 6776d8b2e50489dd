"""Letters of a weight product: of its input, its weight, its result, and its trace."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from etp_ir.core import Node, Program

from ..rules.algebra import POSITIONS


@frozen(eq=False)
class Axes:
    """Letters of a weight product: its input, its weight, its result, and its trace."""

    x: str
    w: str
    y: str

    @property
    def trace(self) -> str:
        """Letters of a per-parameter trace: positions that share a weight, then the weight's."""
        return "".join(c for c in self.y if c not in self.w) + self.w

    @property
    def universe(self) -> str:
        """All letters in the order of a trace: letters summed away, then several positions."""
        head = self.trace
        return head + "".join(c for c in self.x if c not in head) + POSITIONS


def axes_of(node: Node) -> Axes:
    """Return the letters of an eligibility-trace node."""
    assert node.primitive.letters is not None
    left, _, y = node.primitive.letters(*node.inputs).partition("->")
    x, _, w = left.partition(",")
    return Axes(x, w, y)


def float_dtype(program: Program) -> Any:
    """Return the floating-point type of a program's parameters, states or inputs."""
    kinds = [p.type.dtype for p in program.inputs if p.type.dtype.is_float]
    return kinds[0]


def short(path: str) -> str:
    """Return the last part of a dotted path, for hints."""
    return path.rsplit(".", 1)[-1]
