"""Affine maps of groups of features that do not mix."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError

from ..given import mistake
from ..init import Initializer, Rng, drawn, glorot
from ..model import Module, Param
from ..products import grouped_matmul
from .bias import Bias, initial_bias


class GroupedLinear(Module):
    r"""Affine map of each group of features, $y_g = x_g W_g + b_g$: a block-diagonal weight.

    Parameters
    ----------
    n_in, n_out
        Sizes of the last axis before and after; features of a group lie next to each other.
    groups
        Number of groups, which divides both.
    bias, rng
        See `Linear`; ``weight`` is (groups, n_in / groups, n_out / groups).
    w_init
        Initial weight of one group, ``(rng, shape) -> array``.

    Raises
    ------
    ModelError
        If the groups do not divide both sizes.
    ShapeError
        If the input has another size, with the user's line.
    """

    def __init__(
        self, n_in: int, n_out: int, groups: int, *, bias: Bias = True, rng: Rng,
        w_init: Initializer = glorot,
    ) -> None:  # fmt: skip
        if groups < 1 or n_in % groups or n_out % groups:
            raise mistake(
                ModelError, f"{groups} groups of {n_in} inputs and {n_out} outputs",
                "choose a number of groups that divides both",
            )  # fmt: skip
        rng = np.random.default_rng(rng)
        shape = (n_in // groups, n_out // groups)
        self.n_in, self.groups = n_in, groups
        self.weight = Param(np.stack([drawn(w_init, rng, shape) for _ in range(groups)]))
        self.bias = initial_bias(bias, (groups, shape[1]))

    def __call__(self, x: Any) -> Any:
        """Return the map of ``x``."""
        shape = tuple(x.shape)
        if not shape or shape[-1] != self.n_in:
            raise mistake(
                ShapeError, f"GroupedLinear of {self.n_in} features got an input of {shape}",
                "give the number of features of the last axis",
            )  # fmt: skip
        apart = xp.reshape(x, (*shape[:-1], self.groups, self.n_in // self.groups))
        y = grouped_matmul(apart, self.weight, self.bias)
        return xp.reshape(y, (*shape[:-1], y.shape[-2] * y.shape[-1]))
