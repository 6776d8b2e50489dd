"""Modules one after the other."""

from __future__ import annotations

from typing import Any

from ..model import Module


class Sequential(Module):
    """Modules applied one after the other in each step.

    Parameters
    ----------
    layers
        Modules, or functions of an array.
    """

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def __call__(self, x: Any) -> Any:
        """Return the output of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x
