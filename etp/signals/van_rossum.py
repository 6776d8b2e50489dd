"""The van Rossum distance between spike trains as a learning signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from etp_ir import ops

from ..checks import decay
from .base import SYMMETRIC, Arriving, Shared, Signal
from .direct import target_vector
from .words import as_signal

if TYPE_CHECKING:
    from etp_ir.tracer import Tracer

    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


@frozen
class VanRossum(Signal):
    r"""The error of the van Rossum distance between the output and the target, spike trains both.

    .. math::
        r^t = a\,r^{t-1} + (1-a)(z^t - \hat z^t), \qquad
        \delta^t = b\,\delta^{t-1} + (1-b)\,r^t

    takes the place of the derivative of the loss with respect to the output.

    Parameters
    ----------
    rise, decay
        Decays :math:`a` and :math:`b` of the double exponential filter.
    feedback
        How the error comes back from the output to the units: an object of `etp.signals`, or its
        word, such as ``"random"``.

    References
    ----------
    Zenke and Ganguli, Neural Computation 30:1514, 2018 (SuperSpike), equation 2.5.
    """

    rise: float = field(default=0.5, validator=decay)
    decay: float = field(default=0.8, validator=decay)
    feedback: Signal = field(default=SYMMETRIC, converter=as_signal)

    why = "the signal is the error of filtered spike trains, not the derivative of the loss"

    @property
    def modulated(self) -> bool:
        """Whether the feedback asks for a modulator."""
        return self.feedback.modulated

    def modulators(self, structure: Structure) -> tuple[int, ...]:
        return self.feedback.modulators(structure)

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        return self.feedback.shared(structure)

    def kept(self, structure: Structure) -> Mapping[str, tuple[int, ...]]:
        wide = structure.program.output("output").type.shape
        return {**self.feedback.kept(structure), "rise": wide, "error": wide}

    def arriving(self, at: Boundary) -> Arriving:
        return self.feedback.arriving(at.with_error(at.scaled(self._filtered(at)["error"])))

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        return {**self.feedback.advance(at), **self._filtered(at)}

    def _filtered(self, at: Boundary) -> dict[str, Tracer]:
        a, b = self.rise, self.decay
        off = ops.sub(at.output, target_vector(at))
        rise = ops.add(ops.mul(a, at.kept["rise"]), ops.mul(1 - a, off))
        return {"rise": rise, "error": ops.add(ops.mul(b, at.kept["error"]), ops.mul(1 - b, rise))}
