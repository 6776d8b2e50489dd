"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, nearest

from ..functional import element_wise, matmul
from ..init import Rng, zeros
from ..model import Param, State
from .cell import register
from .exchange import GatedCell
from .linear import Gate, products


@register
class GRUCell(GatedCell):
    r"""Gated recurrent unit (Cho et al., EMNLP 2014).

    $$\begin{aligned}
    r &= \sigma(x W^r_{in} + h W^r_{rec} + b^r) \\
    z &= \sigma(x W^z_{in} + h W^z_{rec} + b^z) \\
    n &= \tanh(x W^n_{in} + b^n + r \odot (h W^n_{rec} + b^n_{rec})) \\
    h' &= (1 - z) \odot n + z \odot h
    \end{aligned}$$

    Here the reset gate acts after the product (the variant of cuDNN and PyTorch), so that every
    weight reaches the state position by position. With ``reset="before"``, the paper's form,
    $n = \tanh(x W^n_{in} + b^n + (r \odot h) W^n_{rec})$, and the weights of $r$ reach the state
    only through another product.

    Parameters
    ----------
    n_in, n_rec
        Width of the input and of the state.
    reset
        ``"after"`` or ``"before"``.
    fused
        Make the products of the gates with the same vector one product. It is
        worth it where small products cost more than their arithmetic; measure before.
    rng
        Generator or seed of the initial weights: Glorot for the input, orthogonal for the state.

    Notes
    -----
    D-RTRL: approximate ``r.*``, ``z.*``, ``n.*``, ``b_rec``. With ``reset="before"`` the
    weights of ``r`` are direct-only.
    """

    GATES = ("r", "z", "n")
    APART = ("n",)
    FLAX_BIAS = (GATES, APART)

    def __init__(
        self, n_in: int, n_rec: int, *, reset: str = "after", fused: bool = False, rng: Rng
    ) -> None:
        if reset not in ("after", "before"):
            raise ModelError(f"no reset variant {reset!r}{nearest(reset, ('after', 'before'))}")
        rng = np.random.default_rng(rng)
        self.r = Gate(n_in, n_rec, rng=rng)
        self.z = Gate(n_in, n_rec, rng=rng)
        self.n = Gate(n_in, n_rec, rng=rng)
        self.b_rec = Param(zeros((n_rec,))) if reset == "after" else None
        self.fused = fused
        self.h = State((n_rec,))

    def __call__(self, x: Any) -> Any:
        """Return the new state."""
        h, fused = self.h.value, self.fused
        gates = (self.r, self.z, self.n)
        of_x = products(x, [gate.w_in for gate in gates], fused=fused)
        r, z, n = (gate.biased(y) for gate, y in zip(gates, of_x, strict=True))
        if self.b_rec is None:
            of_r, of_z = products(h, [self.r.w_rec, self.z.w_rec], fused=fused)
        else:
            of_r, of_z, of_n = products(h, [gate.w_rec for gate in gates], fused=fused)
        r, z = xp.sigmoid(r + of_r), xp.sigmoid(z + of_z)
        if self.b_rec is None:
            n = xp.tanh(n + matmul(r * h, self.n.w_rec))
        else:
            n = xp.tanh(n + r * (of_n + element_wise(self.b_rec)))
        self.h.value = (1 - z) * n + z * h
        return self.h.value
