"""The ratios of norms that balance two random factors of an influence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from etp_ir import ops

if TYPE_CHECKING:
    from etp_ir.tracer import Tracer

# Keeps the ratios finite where an array is still zero.
EPSILON = 1e-7


class Normed(Protocol):
    """What has a Euclidean norm: a `Vec`, a `Named` array, a `Bundle`."""

    def norm(self) -> Tracer:
        """Return the square root of the sum of squares."""


def ratio(a: Normed, b: Normed) -> Any:
    r"""Return :math:`\sqrt{\|a\|/\|b\|}`."""
    return ops.sqrt(ops.div(ops.add(a.norm(), EPSILON), ops.add(b.norm(), EPSILON)))
