"""Vectors that run over all states, or all parameters, of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any

from etp_ir import ops
from etp_ir.tracer import Tracer


class Bundle(Mapping[str, Tracer]):
    """Arrays by path, added and scaled together like one long vector."""

    __array_ufunc__ = None

    def __init__(self, arrays: Mapping[str, Tracer]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> Tracer:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def map(self, function: Callable[[Tracer], Any]) -> Bundle:
        """Return the bundle with a function applied to every array."""
        return Bundle({n: function(x) for n, x in self.items()})

    def __add__(self, other: Mapping[str, Tracer]) -> Bundle:
        total = dict(self._arrays)
        for n, x in other.items():
            total[n] = ops.add(total[n], x) if n in total else x
        return Bundle(total)

    def __sub__(self, other: Mapping[str, Tracer]) -> Bundle:
        return self + Bundle(other) * -1.0

    def __mul__(self, factor: float | Tracer | Bundle) -> Bundle:
        if isinstance(factor, Bundle):
            return Bundle({n: ops.mul(x, factor[n]) for n, x in self.items()})
        return self.map(lambda x: ops.mul(_spread(factor, x), x))

    __rmul__ = __mul__

    def __truediv__(self, factor: float | Tracer) -> Bundle:
        return self * (ops.div(1.0, factor) if isinstance(factor, Tracer) else 1 / factor)

    def flat(self) -> Tracer:
        """Return all numbers as one vector, array after array."""
        parts = [ops.reshape(x, (x.size,)) for x in self.values()]
        whole: Tracer = parts[0] if len(parts) == 1 else ops.concat(parts, 0)
        return whole

    def shaped(self, flat: Tracer) -> Bundle:
        """Return a vector as arrays of the shapes that these have: the inverse of `flat`."""
        return shaped(flat, {n: x.shape for n, x in self.items()})

    def dot(self, other: Mapping[str, Tracer]) -> Tracer:
        """Return the inner product over the paths that both have."""
        terms = [_sum(ops.mul(x, other[n])) for n, x in self.items() if n in other]
        if not terms:
            first = next(iter(self.values()))
            zero: Tracer = ops.full(first.builder, (), 0.0, first.dtype)
            return zero
        total = terms[0]
        for term in terms[1:]:
            total = ops.add(total, term)
        return total

    def dots(self, several: Mapping[str, Tracer]) -> Tracer:
        """Return the inner product with each of several vectors, which lie along a first axis."""
        terms = [
            ops.contract(ops.reshape(x, (x.size,)), _rows(several[n]), "n,kn->k")
            for n, x in self.items() if n in several
        ]  # fmt: skip
        if terms:
            return reduce(ops.add, terms)
        first = next(iter(several.values()))
        zero: Tracer = ops.full(first.builder, first.shape[:1], 0.0, first.dtype)
        return zero

    def combined(self, weights: Tracer) -> Bundle:
        """Return the sum of several vectors, which lie along a first axis, times their weights."""
        return self.map(
            lambda x: ops.reshape(ops.contract(weights, _rows(x), "k,kn->n"), x.shape[1:])
        )

    def norm(self) -> Tracer:
        """Return the square root of the sum of all squares."""
        found: Tracer = ops.sqrt(self.dot(self))
        return found


def shaped(flat: Tracer, shapes: Mapping[str, Sequence[int]]) -> Bundle:
    """Return a vector, part after part, as arrays of given shapes."""
    found, start = {}, 0
    for n, shape in shapes.items():
        stop = start + prod(shape)
        found[n] = ops.reshape(ops.slice_(flat, (start,), (stop,), (1,)), shape)
        start = stop
    return Bundle(found)


def _rows(x: Tracer) -> Tracer:
    rows: Tracer = ops.reshape(x, (x.shape[0], prod(x.shape[1:])))
    return rows


def _spread(factor: float | Tracer, like: Tracer) -> Any:
    return ops.broadcast(factor, like.shape, ()) if isinstance(factor, Tracer) else float(factor)


def _sum(x: Tracer) -> Any:
    return ops.reduce_sum(x, tuple(range(x.ndim))) if x.ndim else x
