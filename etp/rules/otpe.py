"""OTPE: online training with postsynaptic estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import Factory, field, frozen

from etp_ir import ops

from ..signals.base import Signal
from ..signals.slopes import MeanSlopes
from .algebra import Vec
from .base import PER_INPUT, PER_RESULT, PER_WEIGHT, Kind, TraceRule, Traces
from .checks import decay, flag, optional
from .leaks import leak_of, told_leak
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class OTPE(TraceRule):
    r"""Online training with postsynaptic estimates.

    .. math::
        E^t &= D^t E^{t-1} + u^t \otimes x^t \\
        \hat R^t &= \lambda\,\hat R^{t-1} + E_z^t, \qquad g^t = \ell^t \cdot \hat R^t

    :math:`E_z` is the influence on what the units emit, and :math:`\hat R` estimates what all their
    past spikes have left in the potentials of the next layer, which forgets with the same leak.
    :math:`\ell` passes later layers by running means of their slopes (`etp.signals.MeanSlopes`).

    The factorised form keeps :math:`\bar x^t = \lambda\bar x^{t-1} + x^t`,
    :math:`\hat x^t = \lambda\hat x^{t-1} + \bar x^t` and the mean slope :math:`\bar g`, for
    :math:`\hat R \approx \bar g \otimes \hat x`.

    Parameters
    ----------
    leak
        The leak :math:`\lambda` that all layers share, to be given as it is in the model. Where
        none is given 0.5 is assumed, and the reason of the status says so.
    factorised
        Whether to keep two vectors in place of two numbers per weight (F-OTPE).
    leaky_readout
        Whether to treat what reads the last layer as the readout of the paper, which integrates
        with the leak. Otherwise the model tells: where what units emit reaches the loss past the
        states of all other groups, nothing is left of past spikes, and the layer's gradient is
        :math:`\ell \cdot E_z`.

    Notes
    -----
    Memory
        two numbers per weight and state of the group; factorised, the size of inputs and results.
    Time
        the same per step.
    Exactness
        of one layer whose readout has no memory that of D-RTRL; approximate elsewhere.
    Reference
        Summe, Schaefer and Joshi, arXiv 2311.16151, 2023.

    Examples
    --------
    >>> import etp
    >>> etp.rules.OTPE(leak=0.9, factorised=True).signal
    MeanSlopes(leak=0.9)
    """

    leak: float | None = field(default=None, validator=optional(decay))
    factorised: bool = field(default=False, validator=flag)
    leaky_readout: bool = field(default=False, validator=flag)
    signal: Signal = field(init=False, repr=False, default=Factory(
        lambda self: MeanSlopes(leak_of(self.leak), why=self.approximation), takes_self=True
    ))  # fmt: skip

    name = "otpe"
    default_window = 0
    emits = True

    @property
    def approximation(self) -> str:  # type: ignore[override]
        return (
            "what later layers keep of past spikes is estimated with one leak, "
            f"{told_leak(self.leak)}; credit passes them by running means of their slopes"
        )

    @property
    def counts_steps(self) -> bool:  # type: ignore[override]
        return self.factorised

    @property
    def traces(self) -> Mapping[str, Kind]:  # type: ignore[override]
        if self.factorised:
            return {"x": PER_INPUT, "xx": PER_INPUT, "g": PER_RESULT}
        return {"E": PER_WEIGHT, "R": PER_WEIGHT}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        leak = leak_of(self.leak)
        left = leak if self.leaky_readout or rel.relayed else 0.0
        if not self.factorised:
            E = rel.D @ e["E"] + rel.u * rel.x
            return {"E": E, "R": left * e["R"] + E}
        x = leak * e["x"] + rel.pre
        # The weight of the old mean in the new one, of r = (1 - leak^t) / (1 - leak).
        power = ops.pow_(left, ops.add(rel.count, 1.0)) if left else 0.0
        w = ops.div(ops.sub(left, power), ops.sub(1.0, power)) if left else 0.0
        g = w * e["g"] + (1.0 - w) * rel.u if left else rel.u
        return {"x": x, "xx": left * e["xx"] + x, "g": g}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["g"]) * e["xx"] if self.factorised else ell @ e["R"]
