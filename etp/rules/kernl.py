"""Kernel RNN learning: the influence as a learned matrix times a leaky trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from attrs import field, frozen

from etp_ir import ops

from ..compiler.places import at_places
from ..signals.base import SYMMETRIC, Shared, Signal
from ..signals.words import as_signal
from ..statistics import batch_mean
from .algebra import Vec
from .base import StepRule
from .bundle import Bundle
from .checks import not_negative, number
from .kept import kept, read, shapes, stored
from .registry import register

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView


@final
@register
@frozen
class KeRNL(StepRule):
    r"""Kernel RNN learning.

    .. math::
        \tilde h^t &= f(\tilde h^{t-1}, x^t) + \zeta^t, \qquad
        \kappa = \max(0, 1 - \alpha) \\
        \Gamma^t &= \kappa\Gamma^{t-1} - \Omega^{t-1}, \qquad
        \Omega^t = \kappa\Omega^{t-1} + \zeta^t, \qquad
        B^t = \kappa B^{t-1} + u^t\otimes x^t \\
        \epsilon &= A\,\Omega^t - (\tilde h^t - h^t), \qquad
        A \leftarrow A - \eta\,\epsilon\,\Omega^\top, \qquad
        \alpha \leftarrow \alpha - \eta\,(A^\top\epsilon)\,\Gamma

    with noise :math:`\zeta \sim \mathcal N(0, \sigma^2)`; the gradient is
    :math:`(A^\top\ell)\,B^t`. :math:`A` (states by states, from the identity) and
    :math:`\alpha` (one for each state) are learned, and shared by all examples:
    ``learner.rule_arrays``.

    Parameters
    ----------
    sigma
        Standard deviation of the noise.
    rate
        Rate :math:`\eta` at which the kernel is learned, from means over the batch.
    alpha
        First value of every :math:`\alpha`.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        one number per weight, and three per state; states by states for all examples.
    Time
        the same per step, and one more run of the step.
    Exactness
        approximate: the influence is a product of a kernel between units and a leaky trace.
    Reference
        Roth, Kanitscheider and Fiete, ICLR 2019, algorithm 1.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("kernl(rate=0.1)")
    KeRNL(sigma=0.001, rate=0.1, alpha=0.8)
    """

    sigma: float = field(default=1e-3, validator=not_negative)
    rate: float = field(default=1.0, validator=not_negative)
    alpha: float = field(default=0.8, validator=number)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "kernl"
    default_window = 0
    default_scope = "coupled"
    approximation = "the influence is a learned kernel between units times a leaky trace"
    draws = True
    reads_step = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        each = model.states
        return {"off": each, "omega": each, "gamma": each, "B": shapes(model)}

    def shared(self, model: ModelView) -> Mapping[str, Shared]:
        n = model.size
        return {
            "kernel.A": Shared(np.eye(n), (n, n), learned=True),
            "kernel.alpha": Shared(np.full(n, self.alpha), (n,), learned=True),
        }

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        a, alpha = step.shared["kernel.A"], step.shared["kernel.alpha"]
        kappa = step.old.shaped(ops.maximum(ops.sub(1.0, alpha), 0.0))
        zeta = step.normal(step.states) * self.sigma
        noisy, _, _ = step.replay(step.old + e["off"], noise=zeta)
        new = {
            "off": noisy - step.new,
            "omega": e["omega"] * kappa + zeta,
            "gamma": e["gamma"] * kappa - e["omega"],
        }
        omega, gamma = new["omega"].flat(), new["gamma"].flat()
        miss = ops.sub(ops.contract(a, omega, "ij,j->i"), new["off"].flat())
        slope = ops.mul(ops.contract(a, miss, "ij,i->j"), gamma)
        moved = batch_mean(ops.contract(miss, omega, "i,j->ij"))
        traces = {}
        for rel in step.relations:
            decays, made = at_places(rel.relation, kappa), (rel.u * rel.x).on(rel.axes.trace)
            old = kept(rel, e["B"])
            leaky = {s: x * decays.entries[s] for s, x in old.entries.items()}
            traces[rel.name] = Vec(leaky) + made
        return {
            **new,
            "B": stored(step, traces),
            "kernel.A": ops.sub(a, ops.mul(self.rate, moved)),
            "kernel.alpha": ops.sub(alpha, ops.mul(self.rate, batch_mean(slope))),
        }

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        spread, total = self._spread(step, ell), Bundle({})
        for rel in step.relations:
            total = total + read(step, rel, spread, kept(rel, e["B"]))
        return total

    def present(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        _, total = step.vjp(ell)
        for rel in step.relations:
            counted = read(step, rel, ell, (rel.u * rel.x).on(rel.axes.trace))
            total = total + Bundle(counted) * -1.0
        return total

    def _spread(self, step: StepView, ell: Bundle) -> Bundle:
        """Return the signal, taken back through the kernel."""
        whole = Bundle({n: ell.get(n, step.zeros(shape)) for n, shape in step.states.items()})
        return step.new.shaped(ops.contract(step.learned["kernel.A"], whole.flat(), "ij,i->j"))
