"""Weights of fixed sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError

from ..functional import matmul
from ..given import mistake
from ..init import Initializer, Rng, drawn, glorot
from ..model import Module, Param
from .bias import Bias, initial_bias
from .effective import Effective


class Signed(Effective):
    r"""A weight of fixed signs, $|W| \odot s$.

    Parameters
    ----------
    weight
        Array it is at first, whose signs do not matter.
    sign
        $s$: an array of 1 and -1 that broadcasts to the weight.
    """

    def __init__(self, weight: Any, sign: Any) -> None:
        self.magnitude = Param(np.abs(weight))
        self.sign = np.asarray(sign, self.magnitude.value.dtype)

    @property
    def keeps(self) -> str:
        """The signs."""
        return "the sign of each element"

    def __call__(self) -> Any:
        """Return the weight."""
        return xp.multiply(xp.abs(self.magnitude), self.sign)


class SignedWLinear(Module):
    r"""Affine map whose weights keep their signs during training: $y = x\,(|W| \odot s) + b$.

    With one sign per input it is Dale's principle, by which a neuron excites or inhibits all its
    targets: Dale, "Pharmacology and nerve-endings", 1935; in trained networks Song, Yang & Wang,
    "Training excitatory-inhibitory recurrent neural networks for cognitive tasks", PLoS
    Computational Biology 2016. The trace lives on the effective weight.

    Parameters
    ----------
    n_in, n_out
        See `Linear`.
    sign
        $s$: one of 1 and -1 for each input, ``(n_in,)``, or for each weight, ``(n_in, n_out)``; 1
        where not given.
    bias, rng, w_init
        See `Linear`; the weight starts at the absolute values. It is ``weight.magnitude``.

    Raises
    ------
    ModelError, ShapeError
        If signs are something else, or of another shape.
    """

    def __init__(
        self, n_in: int, n_out: int, sign: Any = None, *, bias: Bias = True, rng: Rng,
        w_init: Initializer = glorot,
    ) -> None:  # fmt: skip
        signs = np.ones(n_in) if sign is None else np.asarray(sign)
        if signs.shape not in ((n_in,), (n_in, n_out)):
            raise mistake(
                ShapeError, f"signs of shape {signs.shape} for weights ({n_in}, {n_out})",
                f"give one sign per input, ({n_in},), or per weight, ({n_in}, {n_out})",
            )  # fmt: skip
        if not np.isin(signs, (1, -1)).all():
            raise mistake(
                ModelError, "signs are 1 and -1, got others",
                "leave connections out with a mask: etp.matmul(x, mask * w)",
            )  # fmt: skip
        signs = signs[:, None] if signs.ndim == 1 else signs
        self.weight = Signed(drawn(w_init, rng, (n_in, n_out)), signs)
        self.bias = initial_bias(bias, (n_out,))

    def __call__(self, x: Any) -> Any:
        """Return the map of ``x``."""
        return matmul(x, self.weight, self.bias)
