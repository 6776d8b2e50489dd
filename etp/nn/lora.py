"""Low-rank adaptation: a small trained product beside a weight that stays."""

from __future__ import annotations

import copy
from math import prod
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError

from ..given import mistake
from ..init import Initializer, Rng, constant, drawn, lecun
from ..model import Module, Param
from ..products import lora_matmul
from .effective import Effective, weight_of, with_weight


class LowRank(Effective):
    r"""A weight and a product of low rank, $W + \alpha B A$.

    Parameters
    ----------
    base
        $W$, outputs on the last axis; all other axes count as inputs of the product.
    b, a
        Factors (inputs, rank) and (rank, outputs).
    alpha
        $\alpha$.
    """

    def __init__(self, base: Any, b: Any, a: Any, alpha: float) -> None:
        self.base = base
        self.b = Param(b)
        self.a = Param(a)
        self.alpha = alpha

    def __call__(self) -> Any:
        """Return the weight."""
        product = xp.reshape(xp.matmul(self.b, self.a), self.base.shape)
        return xp.add(self.base, xp.multiply(self.alpha, product))


class LoRA(Module):
    r"""Low-rank adaptation of a layer, $W \rightarrow W + \alpha B A$, or such a product alone.

    Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022, where
    $\alpha$ is written as a number over the rank. The trace lives on the effective weight, and
    gradients are pulled back to the factors, ``layer.weight.b`` and ``layer.weight.a``.

    Parameters
    ----------
    layer
        Any layer with a ``weight``, which is copied; or ``(n_in, n_out)`` for
        $y = \alpha\, x B A$ alone, with parameters ``b`` and ``a``.
    rank
        Rank of the product.
    alpha
        $\alpha$.
    freeze
        Whether everything else in the layer stays as it is. Otherwise it is trained too, and the
        layer shares its other parameters with the one given.
    rng, b_init
        Generator or seed, and initial values, of $B$; $A$ starts at zero, so that at first the
        layer computes what it did.

    Raises
    ------
    ModelError
        If the layer has no weight with two axes or more, or one that keeps something (the signs of
        `SignedWLinear`), or the rank is not between 1 and the smaller side of the weight.
    """

    def __init__(
        self, layer: Any, rank: int, *, alpha: float = 1.0, freeze: bool = True, rng: Rng,
        b_init: Initializer = lecun,
    ) -> None:  # fmt: skip
        if rank < 1:
            raise mistake(ModelError, f"a product of rank {rank}", "give a rank of 1 or more")
        alone = isinstance(layer, tuple)
        shape = layer if alone else tuple(weight_of(layer, "LoRA").shape)
        if len(shape) < 2:
            raise mistake(ModelError, f"LoRA of a weight of shape {shape}", "give (n_in, n_out)")
        sides = prod(shape[:-1]), shape[-1]
        if rank > min(sides):
            raise mistake(
                ModelError, f"a product of rank {rank} for a weight of {sides[0]} inputs and "
                f"{sides[1]} outputs, which has rank {min(sides)} at most",
                f"give a rank up to {min(sides)}; the product is small where it is much less",
            )  # fmt: skip
        b = drawn(b_init, rng, (sides[0], rank))
        a = constant((rank, shape[-1]), 0.0)
        self.alpha = float(alpha)
        self.layer = None
        if alone:
            self.b, self.a = Param(b), Param(a)
            return
        if freeze:
            layer = copy.deepcopy(layer)
            for param in layer.named_params().values():
                param.trainable = False
        dtype = np.asarray(layer.weight.value).dtype
        self.layer = with_weight(
            layer, lambda w: LowRank(w, b.astype(dtype), a.astype(dtype), self.alpha), "LoRA"
        )

    def __call__(self, x: Any) -> Any:
        """Return the adapted layer's output, or the product of low rank."""
        if self.layer is None:
            return lora_matmul(x, self.b, self.a, alpha=self.alpha)
        return self.layer(x)
