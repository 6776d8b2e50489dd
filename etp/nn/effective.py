"""Weights that are computed from parameters, and act as arrays wherever a weight does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from etp_ir.errors import ModelError

from ..arraylike import ArrayLike
from ..given import mistake
from ..model import Module
from ..variables import current_trace


class Effective(ArrayLike, Module):
    """Base of weights that are functions of parameters: ``__call__`` returns the array.

    A layer whose ``weight`` is one of these uses it like a `Param`. The eligibility trace lives on
    the effective weight, and its gradient is pulled back to the parameters, which are those of
    this module: ``layer.weight.v``.
    """

    @property
    def value(self) -> Any:
        """The effective weight, computed once per step."""
        trace = current_trace()
        if trace is None:
            return self()
        if id(self) not in trace.values:
            trace.values[id(self)] = self()
        return trace.values[id(self)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.named_params().values()))})"


def weight_of(layer: Any, what: str) -> Any:
    """Return the weight of a layer.

    Raises
    ------
    ModelError
        If it has none.
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, Module) or not isinstance(weight, ArrayLike):
        raise mistake(
            ModelError, f"{what} is about a layer's `weight`, and {type(layer).__name__} has none",
            "give a layer such as etp.nn.Linear, or a module whose attribute `weight` is a Param",
        )  # fmt: skip
    return weight


def with_weight(layer: Any, make: Callable[[Any], Any], what: str) -> Any:
    """Return a layer that shares everything with another but its weight, made from its own."""
    weight = make(weight_of(layer, what))
    changed = copy.copy(layer)
    vars(changed)["weight"] = weight
    return changed
