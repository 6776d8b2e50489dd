"""CET: cascaded eligibility traces, for rewards that come late."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_WEIGHT, Kind, TraceRule, Traces
from .checks import count, positive
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class CET(TraceRule):
    r"""Cascaded eligibility traces.

    .. math::
        z_0^t &= D^t z_0^{t-1} + u^t \otimes x^t \\
        z_k^t &= a\,z_k^{t-1} + (1-a)\,z_{k-1}^t, \qquad k = 1 \dots n+1, \quad a = e^{-n/T} \\
        g^t &= \ell^t \cdot z_{n+1}^t

    What happened in a step is weighed by a kernel :math:`\propto t^n e^{-nt/T}`, whose maximum lies
    T steps later: credit goes to what happened about T steps ago, and not to what happens now.

    Parameters
    ----------
    order
        Order :math:`n` of the cascade; the higher, the sharper the kernel.
    delay
        Delay T of the maximum, in steps.
    feedback
        The learning signal, such as ``"modulatory"``: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        n + 2 numbers per weight, state of the group and example.
    Time
        the same per step; none of it when weights are fixed over a chunk.
    Exactness
        approximate by design: it answers what the past is to blame for when the signal is late.
    Reference
        "Cascaded eligibility traces", ICLR 2026, arXiv 2506.14598.

    Examples
    --------
    >>> import etp
    >>> sorted(etp.rules.CET(order=2, delay=5).traces)
    ['z0', 'z1', 'z2', 'z3']
    """

    order: int = field(default=2, validator=count)
    delay: float = field(default=5.0, validator=positive)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback")

    name = "cet"
    default_window = 0
    delayed = True
    approximation = "credit goes to what happened about a delay ago"

    @property
    def point(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"outer": f"cascade({self.order}, {exp(-self.order / self.delay)!r})"}

    @property
    def traces(self) -> Mapping[str, Kind]:  # type: ignore[override]
        return {f"z{k}": PER_WEIGHT for k in range(self.order + 2)}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        a = exp(-self.order / self.delay)
        new = {"z0": rel.D @ e["z0"] + rel.u * rel.x}
        for k in range(1, self.order + 2):
            new[f"z{k}"] = a * e[f"z{k}"] + (1 - a) * new[f"z{k - 1}"]
        return new

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return ell @ e[f"z{self.order + 1}"]
