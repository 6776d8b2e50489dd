"""ModProp: modulators by types of cells that act some steps later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from attrs import field, frozen

from etp_ir import ops
from etp_ir.errors import ModelError
from etp_ir.tracer import Tracer

from ..signals.base import SYMMETRIC, Shared, Signal
from ..signals.recurrent import (
    Recurrent,
    Types,
    as_types,
    hop,
    laid,
    recurrent_products,
    type_arrays,
)
from ..signals.words import as_signal
from .base import StepRule
from .bundle import Bundle
from .checks import count, number, seed
from .kept import kept, read, shapes, stored
from .registry import register

if TYPE_CHECKING:
    from ..compiler.step_view import ModelView, StepView

WHAT = "mod_prop"


@final
@register
@frozen
class ModProp(StepRule):
    r"""Learning by modulators that propagate over several steps.

    .. math::
        \varepsilon^t &= D^t\varepsilon^{t-1} + u^t\otimes x^t \\
        g_{pq}^t &= \ell_p^t\,\varepsilon_{pq}^t + \sum_{s=1}^S \varepsilon_{pq}^{t-s}\,
        \frac{\partial z_p}{\partial h_p}\,\mu^{s-1}
        \sum_j \overline{(W^s)}_{\alpha(p)\beta(j)}\,u_j^t\,\ell_j^t

    with the means of powers of the recurrent weight over all pairs of cells of two types, and a
    typical slope :math:`\mu` of the activation. Traces of D-RTRL are handed down a chain of S
    copies.

    Parameters
    ----------
    types, seed
        See `etp.signals.CellTypes`.
    taps
        Steps :math:`S` that modulators last.
    slope
        The typical slope :math:`\mu`.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    The slope of what units emit is that of the step before, for all lags.

    Memory
        S + 1 numbers per weight, state of the group and example.
    Time
        the same per step, and S passes back through the step.
    Exactness
        approximate: paths through recurrent weights are followed over S steps, by type.
    Reference
        Liu, Ghosh, Richards, Shea-Brown and Lajoie, NeurIPS 2022.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("mod_prop(taps=4)").taps
    4
    """

    types: Types = field(default=2, converter=as_types, hash=False)
    taps: int = field(default=3, validator=count)
    slope: float = field(default=0.5, validator=number)
    seed: int = field(default=0, validator=seed)
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "mod_prop"
    aliases = ("modprop",)
    default_window = 0
    default_scope = "diagonal"
    approximation = "credit goes through recurrent weights over some steps, by types of cells"
    reads_step = True

    def arrays(self, model: ModelView) -> Mapping[str, Any]:
        return {f"B{s}": shapes(model) for s in range(self.taps + 1)}

    def shared(self, model: ModelView) -> Mapping[str, Shared]:
        products = recurrent_products(model.structure, WHAT)
        kinds = type_arrays(model.structure, products, self.types, self.seed)
        found: dict[str, Shared] = {}
        for p in products:
            _once(p)
            of = kinds[p.group.states]
            arrays = {"before": p.before, "after": p.after, "mean": of / of.sum(0), "type": of}
            found |= {f"types.{p.name}.{k}": Shared(x, x.shape) for k, x in arrays.items()}
        return found

    def advance(self, step: StepView, e: Mapping[str, Any]) -> Mapping[str, Any]:
        traces = {
            rel.name: rel.D @ kept(rel, e["B0"]) + (rel.u * rel.x).on(rel.axes.trace)
            for rel in step.relations
        }
        new = {"B0": stored(step, traces)}
        return new | {f"B{s}": e[f"B{s - 1}"] for s in range(1, self.taps + 1)}

    def gradient(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        products = recurrent_products(step.structure, WHAT)
        powers = {p.name: self._powers(step, p) for p in products}
        total = Bundle({})
        for s in range(self.taps + 1):
            signal: Mapping[str, Tracer] = ell
            if s:
                signal = hop(step.at, ell, products, {n: x[s - 1] for n, x in powers.items()})
            for rel in step.relations:
                total = total + read(step, rel, signal, kept(rel, e[f"B{s}"]))
        return total

    def present(self, step: StepView, e: Mapping[str, Any], ell: Bundle) -> Mapping[str, Any]:
        _, total = step.vjp(ell)
        for rel in step.relations:
            counted = read(step, rel, ell, (rel.u * rel.x).on(rel.axes.trace))
            total = total + Bundle(counted) * -1.0
        return total

    def _powers(self, step: StepView, product: Recurrent) -> list[Tracer]:
        """Return what takes the place of the weight over 1 to S steps."""

        def array(word: str) -> Tracer:
            return step.shared[f"types.{product.name}.{word}"]

        forth: Any = product.use.weight
        w = laid(product, Tracer(step.pieces.builder, forth))
        inner = ops.contract(array("before"), w, "kp,kj->pj")
        units = ops.contract(inner, array("after"), "pj,jq->pq")
        power, found = units, []
        for s in range(1, self.taps + 1):
            if s > 1:
                power = ops.contract(power, units, "pr,rq->pq")
            half = ops.contract(array("mean"), power, "pa,pq->aq")
            mean = ops.contract(half, array("mean"), "aq,qb->ab")
            whole = ops.contract(array("type"), mean, "pa,ab->pb")
            whole = ops.contract(whole, array("type"), "pb,qb->pq")
            outer = ops.contract(array("before"), whole, "kp,pq->kq")
            back = ops.contract(outer, array("after"), "kq,jq->kj")
            found.append(laid(product, ops.mul(self.slope ** (s - 1), back)))
        return found


def _once(product: Recurrent) -> None:
    """Raise unless each unit gets one result of the product, so that powers have a meaning."""
    if not (np.array_equal(product.after.sum(0), np.ones(product.after.shape[1]))):
        raise ModelError(
            f"mod_prop takes powers of a recurrent weight, and {product.name!r} gives units "
            f"{product.after.shape[0]} results for {product.after.shape[1]}\n"
            "use a product with one result for each unit, or rule 'mdgl'"
        )
