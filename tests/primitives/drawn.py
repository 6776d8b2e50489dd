"""One use of an eligibility-trace primitive, as the battery tries it, and the register of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen
from hypothesis import strategies as st

Weights = dict[str, np.ndarray]


@frozen(eq=False)
class Drawn:
    """A call of a primitive with shapes, attributes and patterns drawn at random.

    Attributes
    ----------
    call
        ``call(x, weights)`` returns the result, for traced arrays and for NumPy's.
    x
        One example of its input: floating-point, or integers in the range of ``indices``.
    weights
        Initial weights by name, the bias among them where there is one.
    indices
        Number of different indices, where ``x`` holds integers.
    text
        What a failing draw is called.
    """

    call: Callable[[Any, dict[str, Any]], Any]
    x: np.ndarray
    weights: Weights
    indices: int = 0
    text: str = ""

    def __repr__(self) -> str:
        shapes = {n: w.shape for n, w in self.weights.items()}
        return f"<{self.text} x{self.x.shape} {shapes}>"


PRIMITIVES: dict[str, st.SearchStrategy[Drawn]] = {}


def register(name: str, strategy: st.SearchStrategy[Drawn]) -> None:
    """Add what is drawn for a primitive."""
    PRIMITIVES[name] = strategy


def sizes(low: int = 1, high: int = 4) -> st.SearchStrategy[int]:
    """Return extents of axes."""
    return st.integers(low, high)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Return normal numbers."""
    return np.random.default_rng(seed).normal(size=shape)
