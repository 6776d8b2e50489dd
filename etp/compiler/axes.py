"""Letters of a weight product: of its input, its weight, its result, and its trace."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from etp_ir.core import Node, Program

from ..rules.algebra import POSITIONS

# The letter of several products of one weight, laid side by side.
TIED = "S"


@frozen(eq=False)
class Axes:
    """Letters of a weight product: its input, its weight, its result, and its trace.

    Attributes
    ----------
    x, w, y
        Letters of input, weight and result.
    folded
        Letters of the result along which all elements act on the same positions of states: their
        influence moves alike, so one trace holds the sum.
    """

    x: str
    w: str
    y: str
    folded: str = ""

    @property
    def at(self) -> str:
        """Letters of arrays over positions of states, as the result meets them."""
        return "".join(c for c in self.y if c not in self.folded)

    @property
    def trace(self) -> str:
        """Letters of a per-parameter trace: positions that share a weight, then the weight's."""
        return "".join(c for c in self.at if c not in self.w) + self.w

    @property
    def universe(self) -> str:
        """All letters in one order: letters summed away, those of a trace, several positions."""
        rest = dict.fromkeys(c for c in self.y + self.x if c not in self.trace)
        return "".join(rest) + self.trace + POSITIONS


def tie(axes: Axes) -> Axes:
    """Return the letters of several products of one weight, laid side by side."""
    x = TIED + axes.x if axes.x else ""
    return Axes(x, axes.w, TIED + axes.y, TIED + axes.folded)


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
