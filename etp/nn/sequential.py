"""Modules one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from etp_ir.errors import ModelError

from ..given import mistake
from ..model import Module


class Sequential(Module):
    """Modules applied one after the other in each step.

    Parameters
    ----------
    layers
        Modules, or functions of an array.

    Raises
    ------
    ModelError
        If something can not be called.

    Examples
    --------
    >>> net = Sequential(abs, Sequential(abs, abs))
    >>> len(net), len(net[1]), net(-2.0)
    (2, 2, 2.0)
    """

    def __init__(self, *layers: Any) -> None:
        for i, layer in enumerate(layers):
            if not callable(layer) or isinstance(layer, type):
                raise mistake(
                    ModelError, f"layer {i} of a Sequential is {layer!r}, not a module or function",
                    "pass modules one by one: Sequential(a, b), or Sequential(*layers)",
                )  # fmt: skip
        self.layers = layers

    def __call__(self, x: Any) -> Any:
        """Return the output of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __getitem__(self, key: int | slice) -> Any:
        """Return a layer, or the `Sequential` of a slice, which shares its layers."""
        found = self.layers[key]
        return Sequential(*found) if isinstance(key, slice) else found
