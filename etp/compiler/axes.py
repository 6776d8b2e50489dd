"""Letters of a weight product: of its input, its weight, its result, and its trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from etp_ir.bilinear import Bilinear, Join
from etp_ir.core import Program

from ..rules.algebra import POSITIONS, TERM, TIED, Frame


@frozen(eq=False)
class Axes:
    """Letters of a weight product: its input, its weight, its result, and its trace.

    Attributes
    ----------
    x, w, y
        Letters of input, weight and result.
    joins
        Letters of input and result that are looked up in a table over other letters.
    folded
        Letters of the result along which all elements act on the same positions of states: their
        influence moves alike, so one trace holds the sum.
    """

    x: str
    w: str
    y: str
    joins: Mapping[str, Join] = field(factory=dict)
    folded: str = ""

    @property
    def at(self) -> str:
        """Letters of arrays over positions of states, as the result meets them."""
        return "".join(c for c in self.y if c not in self.folded)

    def looked_up(self, letters: str) -> str:
        """Return letters with those of their tables in place of joined ones."""
        found = (self.joins[c].letters if c in self.joins else c for c in letters)
        return "".join(dict.fromkeys("".join(found)))

    @property
    def trace(self) -> str:
        """Letters of a per-parameter trace: positions that share a weight, then the weight's."""
        return "".join(c for c in self.looked_up(self.at) if c not in self.w) + self.w

    @property
    def frame(self) -> Frame:
        """All letters in one order: terms, letters summed away, those of a trace, positions."""
        letters = self.y + self.x
        rest = dict.fromkeys(c for c in letters + self.looked_up(letters) if c not in self.trace)
        return Frame(TERM + "".join(rest) + self.trace + POSITIONS, self.joins)

    def shares(self, letter: str) -> bool:
        """Whether elements of the result along a letter have one weight between them."""
        return not set(self.looked_up(letter)) & set(self.w)


def tie(axes: Axes) -> Axes:
    """Return the letters of several products of one weight, laid side by side."""
    return Axes(TIED + axes.x, axes.w, TIED + axes.y, axes.joins, TIED + axes.folded)


def axes_of(form: Bilinear) -> Axes:
    """Return the letters of an operation that is linear in a weight."""
    return Axes(form.x or "", form.w, form.y, form.joins)


def float_dtype(program: Program) -> Any:
    """Return the floating-point type of a program's parameters, states or inputs."""
    kinds = [p.type.dtype for p in program.inputs if p.type.dtype.is_float]
    return kinds[0]


def short(path: str) -> str:
    """Return the last part of a dotted path, for hints."""
    return path.rsplit(".", 1)[-1]
