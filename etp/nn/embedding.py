"""A table of trained vectors, looked up by integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..embedding import embedding
from ..init import Initializer, Rng, drawn, normal
from ..model import Module, Param


class Embedding(Module):
    r"""Vectors for integers, $y = W_k$.

    Parameters
    ----------
    num
        Number of vectors.
    size
        Length of a vector, or the shape of what stands in its place.
    rng
        Generator or seed of the initial weight.
    w_init
        Initial weight of shape (num, size), ``(rng, shape) -> array``; by default normal numbers
        of variance 1.
    """

    def __init__(
        self,
        num: int,
        size: int | Sequence[int],
        *,
        rng: Rng,
        w_init: Initializer = normal,
    ) -> None:
        shape = (size,) if isinstance(size, int) else tuple(size)
        self.weight = Param(drawn(w_init, rng, (num, *shape)))

    def __call__(self, indices: Any) -> Any:
        """Return the vectors at ``indices``, an integer or an array of integers."""
        return embedding(indices, self.weight)
