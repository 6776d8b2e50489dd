"""Errors that are made inside of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..checks import not_negative, optional, seed
from .base import Arriving, Shared, Signal
from .direct import _Direct

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


@frozen
class LocalReadout(Signal):
    r"""A fixed random readout of each layer, whose own loss gives the signal.

    .. math::
        \hat y_l = G_l z_l, \qquad \ell_l = G_l^\top\,\partial L(\hat y_l, y^*)/\partial\hat y_l

    Parameters
    ----------
    seed, scale
        Seed and standard deviation of :math:`G_l`; the deviation is by default one over the square
        root of the number of outputs.

    References
    ----------
    Kaiser, Mostafa and Neftci, Frontiers in Neuroscience 14:424, 2020 (DECOLLE).
    """

    words = ("local",)
    why = "each layer learns from a random readout of its own"
    seed: int = field(default=0, validator=seed)
    scale: float | None = field(default=None, validator=optional(not_negative))

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        return _Direct.shared(self, structure)  # type: ignore[arg-type]

    def arriving(self, at: Boundary) -> Arriving:
        found = {}
        for n, value in at.emitted.items():
            g = at.shared[f"feedback.{n}"]
            a = "abcdefghijkl"[: g.ndim]
            k = len(value.type.shape)
            read = at.contract(g, at.value(value), f"{a},{a[:k]}->{a[k:]}")
            found[n] = at.along(g, at.error_of(read))
        return at.pull(emitted=found)
