"""Names of arrays in generated source, with what is known of their memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

from attrs import frozen

from etp_ir.core import Literal
from etp_ir.types import TensorType

Strides = tuple[int, ...]


@frozen(eq=False)
class Ref:
    """A name bound to an array.

    Attributes
    ----------
    name
        Identifier in the source.
    type
        Element type and shape.
    strides
        Elements from one entry to the next, for every axis.
    level
        Nesting of the block that binds the name; 0 is outside the compiled function.
    root
        Identity of the memory: views share the root of what they view.
    literal
        The number, where every element is the same one.
    """

    name: str
    type: TensorType
    strides: Strides
    level: int
    root: Any
    literal: Literal | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.type.shape

    @property
    def contiguous(self) -> bool:
        """Whether elements lie in row-major order without gaps."""
        return same_layout(self.shape, self.strides, row_major(self.shape))


def row_major(shape: Sequence[int]) -> Strides:
    """Return the strides of a row-major array."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def same_layout(shape: Sequence[int], a: Strides, b: Strides) -> bool:
    """Whether two strides address the same elements; axes of extent 1 never step."""
    return 0 in shape or all(n == 1 or s == t for n, s, t in zip(shape, a, b, strict=True))


def merged(shape: Sequence[int], strides: Strides) -> int | None:
    """Return the stride of all axes taken as one, or None where no single stride reaches all."""
    axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    for (_, outer), (n, inner) in pairwise(axes):
        if outer != n * inner:
            return None
    return axes[-1][1] if axes else 1


def reshaped_strides(shape: Sequence[int], strides: Strides, new: Sequence[int]) -> Strides | None:
    """Return the strides of a reshaped view, or None where reshaping has to copy."""
    if 0 in shape:
        return row_major(new)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    result = [1] * len(new)
    axes = [axis for axis, n in enumerate(new) if n != 1]
    i = j = 0
    while i < len(old):
        # The shortest runs of old and new axes that hold equally many elements.
        ii, jj, have, want = i + 1, j + 1, old[i][0], new[axes[j]]
        while have != want:
            if have < want:
                have *= old[ii][0]
                ii += 1
            else:
                want *= new[axes[jj]]
                jj += 1
        step = merged([n for n, _ in old[i:ii]], tuple(s for _, s in old[i:ii]))
        if step is None:
            return None
        for axis in reversed(axes[j:jj]):
            result[axis] = step
            step *= new[axis]
        i, j = ii, jj
    return tuple(result)
