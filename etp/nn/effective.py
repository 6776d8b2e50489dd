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
    def keeps(self) -> str:
        """What holds for the weight whatever its parameters are; what adds to it breaks that."""
        return ""

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
    """Return the weight of a layer, for ``what`` changes it.

    Raises
    ------
    ModelError
        If it has none with inputs and outputs, or one that keeps something.
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, Module) or not isinstance(weight, ArrayLike):
        raise mistake(
            ModelError, f"{what} is about a layer's `weight`, and {type(layer).__name__} has none",
            "give a layer such as etp.nn.Linear, or a module whose attribute `weight` is a Param",
        )  # fmt: skip
    shape = tuple(weight.shape)
    if len(shape) < 2:
        raise mistake(
            ModelError, f"{what} of a weight of shape {shape}: {type(layer).__name__} keeps one "
            "number for each connection, without axes of inputs and outputs",
            "give a layer whose weight has inputs and outputs, such as etp.nn.Linear",
        )  # fmt: skip
    keeps = weight.keeps if isinstance(weight, Effective) else ""
    if keeps:
        raise mistake(
            ModelError, f"{what} of {type(layer).__name__} would break what its weight keeps: "
            f"{keeps}",
            f"leave {what} away and train the layer itself, or give an etp.nn.Linear that starts "
            "from the same weight and is free",
        )  # fmt: skip
    return weight


def with_weight(layer: Any, make: Callable[[Any], Any], what: str) -> Any:
    """Return a layer that shares everything with another but its weight, made from its own."""
    weight = make(weight_of(layer, what))
    changed = copy.copy(layer)
    vars(changed)["weight"] = weight
    return changed
