"""e-prop: eligibility propagation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from attrs import Factory, field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .algebra import Vec
from .base import PER_UNIT, PER_WEIGHT, Kind, TraceRule, Traces
from .checks import decay, not_negative, number, optional
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class EProp(TraceRule):
    r"""Eligibility propagation.

    .. math::
        \varepsilon^t &= D^t\,\varepsilon^{t-1} + u^t \otimes x^t \\
        \bar e^t &= \kappa\,\bar e^{t-1} + (1-\kappa)\,\varepsilon^t \\
        g^t &= L^t \cdot \bar e^t + c\,(\bar f^t - f^*) \cdot \varepsilon^t, \qquad
        \bar f^t = a\,\bar f^{t-1} + (1-a)\,z^t

    With what the units emit as a state of theirs, :math:`\varepsilon_z` is the eligibility trace
    :math:`e_{ji} = \psi_j(\bar z_i - \beta_j\varepsilon_{ji})` of LIF and of adaptive LIF neurons:
    both follow from :math:`D`.

    Parameters
    ----------
    kappa
        Decay :math:`\kappa` of the filter of the trace, that of a leaky readout; advanced in the
        forward pass, with every step. The trace has unit gain: a readout
        :math:`y^t = \kappa y^{t-1} + W z^t` without a factor :math:`1-\kappa` asks for a learning
        rate larger by :math:`1/(1-\kappa)`.
    feedback
        How the error reaches the units: a signal, or one of the words ``"symmetric"``,
        ``"random"``, ``"adaptive"`` (see `etp.signals.words`).
    rate
        Strength :math:`c` of the firing-rate regularisation.
    target_rate
        The rate :math:`f^*`, in spikes per step.
    rate_decay
        Decay :math:`a` of the running mean of a unit's rate.
    reward
        Decay :math:`\gamma` of the filter of reward-based e-prop: gradients are kept in
        :math:`F^t = \gamma F^{t-1} + g^t` and released by the modulator that is given beside the
        data, :math:`\delta^t F^t`. None for supervised learning.

    Notes
    -----
    Memory
        one number per weight and state of the group, twice that with a filter.
    Time
        the same per step; nothing of it when weights are fixed over a chunk.
    Exactness
        with ``kappa=0`` and symmetric feedback that of D-RTRL. With a filter approximate: it
        stands for the leak of the readout.
    Reference
        Bellec et al., Nature Communications 11:3625, 2020, equations 1 to 4 and Methods.

    Examples
    --------
    >>> import etp
    >>> etp.rules.EProp(kappa=0.9, feedback="random").kappa
    0.9
    """

    kappa: float = field(default=0.0, validator=decay)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback")
    rate: float = field(default=0.0, kw_only=True, validator=not_negative)
    target_rate: float = field(default=0.0, kw_only=True, validator=number)
    rate_decay: float = field(default=0.9, kw_only=True, validator=decay)
    reward: float | None = field(default=None, kw_only=True, validator=optional(decay))
    emits: bool = field(init=False, repr=False, default=Factory(
        lambda self: bool(self.kappa or self.rate), takes_self=True
    ))  # fmt: skip

    name = "eprop"
    aliases = ("e_prop",)
    default_window = 0

    @property
    def delayed(self) -> bool:  # type: ignore[override]
        return self.kappa > 0

    @property
    def own_term(self) -> bool:  # type: ignore[override]
        return self.rate > 0

    @property
    def point(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        if self.rate:
            return None
        post = {"post": f"kappa({self.kappa})"} if self.kappa else {}
        return post if self.reward is None else {**post, "outer": f"gamma_lambda(1, {self.reward})"}

    @property
    def traces(self) -> Mapping[str, Kind]:  # type: ignore[override]
        found = {"eps": PER_WEIGHT}
        if self.kappa:
            found["bar"] = PER_WEIGHT
        if self.rate:
            found |= {"f": PER_UNIT, "push": PER_UNIT}
        return found

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        k, a, c = self.kappa, self.rate_decay, self.rate
        if rel.is_readout:  # has no readout of its own whose leak is to be met
            k = c = 0.0
        new = {"eps": rel.D @ e["eps"] + rel.u * rel.x}
        if self.kappa:
            new["bar"] = k * e["bar"] + (1 - k) * new["eps"]
        if self.rate:
            new["f"] = a * e["f"].like(rel.unit_activity) + (1 - a) * rel.unit_activity
            new["push"] = rel.loss_weight * (c * (new["f"] - self.target_rate))
        return new

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        found = ell @ e.get("bar", e["eps"])
        return found + e["push"] @ e["eps"] if self.rate else found
