"""Optimal Kronecker sums: the influence as a random sum of few products, of least variance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from attrs import field, frozen

from etp_ir import ops
from etp_ir.primitives.index import iota_like
from etp_ir.tracer import Tracer

from .algebra import Vec
from .base import PER_WEIGHT, Slot, TraceRule, Traces
from .checks import count
from .columns import columns, inputs_of, results_of
from .estimate import InfluenceEstimate
from .registry import register

if TYPE_CHECKING:
    from ..compiler.view import RelationView


@final
@register
@frozen
class OK(InfluenceEstimate, TraceRule):
    r"""Optimal Kronecker-sum approximation of real-time recurrent learning, r-OK.

    .. math::
        \sum_{i\le r} A_i^t\otimes B_i^t \;\approx\;
        \sum_{i\le r} A_i^{t-1}\otimes J^t B_i^{t-1} + x^t\otimes u^t

    with :math:`u = \partial h/\partial y` at the result of a product :math:`y = x w` and all
    states :math:`h`. The r + 1 products on the right are rounded at random to r of the same mean
    with the least variance: of their singular values the largest are kept as they are, the others
    become one less by random signs.

    Parameters
    ----------
    rank
        Number :math:`r` of products.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        r times the inputs of the weight products, and their results times the number of states.
    Time
        r products of the transition with a matrix of results by states, and a decomposition.
    Exactness
        unbiased while weights are fixed; exact over the first r steps. An element-wise weight has
        no input to factor out: its influence is kept as it is.
    Reference
        Benzing et al., ICML 2019, theorem 1 and algorithm 1.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("ok(3)")
    OK(rank=3)
    """

    rank: int = field(default=1, validator=count)

    name = "ok"
    aliases = ("r_ok", "kronecker_sum")

    def slots(self, rel: RelationView) -> Mapping[str, Slot]:
        if not rel.has_input:
            return {"B": PER_WEIGHT.slot(rel)}
        left = Slot(rel.axes.x, per_state=False, terms=self.rank)
        return {"A": left, "B": Slot(rel.axes.y, terms=self.rank)}

    def advance(self, rel: RelationView, e: Traces) -> Traces:
        if not rel.has_input:
            return {"B": rel.D @ e["B"] + rel.u * rel.x}
        r = self.rank
        left = ops.concat([columns(rel, e["A"], r), columns(rel, rel.pre)], 1)
        right = ops.concat([columns(rel, rel.D @ e["B"], r), columns(rel, rel.u)], 1)
        assert rel.step is not None
        new_a, new_b = rounded(left, right, rel.step.signs((r + 1,)))
        return {"A": inputs_of(rel, new_a), "B": results_of(rel, new_b)}

    def gradient(self, rel: RelationView, e: Traces, ell: Vec) -> Any:
        return (ell @ e["B"]) * e.get("A")


def rounded(left: Tracer, right: Tracer, signs: Tracer) -> tuple[Tracer, Tracer]:
    r"""Return r columns for each of r + 1, whose products have the same sum in the mean.

    With :math:`X = Q_x R_x`, :math:`Y = Q_y R_y` and :math:`R_x R_y^\top = U\Sigma V^\top` they
    are :math:`Q_x U L` and :math:`Q_y V L`, where :math:`L L^\top` has the mean :math:`\Sigma`.
    """
    q_x, r_x = ops.qr(left)
    q_y, r_y = ops.qr(right)
    u, s, vh = ops.svd(ops.contract(r_x, r_y, "ik,jk->ij"))
    columns, rank = left.shape[1], left.shape[1] - 1
    if s.size == columns:
        root = rounding(_cleaned(s), signs)
    else:  # they span so little that r columns hold it all
        size = (s.size, s.size)
        across = ops.pad(ops.eye(s.builder, s.size, s.dtype), (0, 0), (0, rank - size[1]), (0, 0))
        root = ops.mul(ops.broadcast(ops.sqrt(s), across.shape, (0,)), across)
    turned_x = ops.contract(ops.contract(q_x, u, "mk,ki->mi"), root, "mi,ir->mr")
    turned_y = ops.contract(ops.contract(q_y, vh, "mk,ik->mi"), root, "mi,ir->mr")
    return turned_x, turned_y


def _cleaned(s: Tracer) -> Tracer:
    """Return singular values with 0 for those that rounding errors made.

    The noise of a step goes with their square root, and that of the next with the root of that.
    """
    largest = ops.broadcast(ops.reshape(ops.slice_(s, (0,), (1,), (1,)), ()), s.shape, ())
    floor = ops.mul(64 * float(np.finfo(s.dtype.numpy()).eps), largest)
    cleaned: Tracer = ops.mul(s, ops.cast(ops.lt(floor, s), s.dtype))
    return cleaned


def rounding(s: Tracer, signs: Tracer) -> Tracer:
    r"""Return L (r + 1, r) with the mean of :math:`L L^\top` diagonal, of least variance.

    .. math::
        L = \operatorname{diag}(c\,\nu)\,Z, \qquad Z Z^\top = I - z z^\top, \qquad
        z_i^2 = 1 - (r - k)\,\sigma_i/S \;\text{ for } i > k

    The k largest :math:`\sigma_i` are kept, :math:`c_i^2 = \sigma_i`; k is the smallest for which
    the others, of sum S, are all at most :math:`S/(r - k) = c_i^2`.
    """
    b, q = s.builder, s.size
    row, column = (iota_like(s, (q, q), axis) for axis in (0, 1))
    onward = ops.cast(ops.le(row, column), s.dtype)
    rest = ops.contract(onward, s, "ij,j->i")
    after = ops.sub(ops.reduce_sum(onward, (1,)), 1.0)
    small = ops.sub(1.0, ops.cast(ops.lt(rest, ops.mul(after, s)), s.dtype))
    # What comes before all that is small; the last two always are.
    keep = ops.cast(ops.lt(ops.contract(onward, small, "ij,i->j"), 0.5), s.dtype)
    free = ops.sub(1.0, keep)
    places = ops.sub(float(q - 1), ops.reduce_sum(keep, (0,)))
    total = ops.reduce_sum(ops.mul(free, s), (0,))
    none = ops.le(total, 0.0)
    share = ops.div(ops.select(none, ops.full(b, (), 1.0, s.dtype), total), places)
    spread = ops.broadcast(share, (q,), ())
    z = ops.mul(free, ops.sqrt(ops.maximum(ops.sub(1.0, ops.div(s, spread)), 0.0)))
    norm = ops.sqrt(ops.reduce_sum(ops.mul(z, z), (0,)))
    z = ops.div(z, ops.broadcast(ops.maximum(norm, 1e-30), (q,), ()))
    scale = ops.add(
        ops.mul(keep, ops.sqrt(s)),
        ops.mul(ops.mul(free, signs), ops.sqrt(ops.broadcast(ops.div(total, places), (q,), ()))),
    )
    return ops.mul(ops.broadcast(scale, (q, q - 1), (0,)), _complement(z, keep))


def _complement(z: Tracer, keep: Tracer) -> Tracer:
    """Return an orthonormal basis (q, q - 1) of what is orthogonal to a unit vector.

    The reflection that takes the first axis that is not kept to the vector has that axis left
    out; axes that are kept are basis vectors themselves.
    """
    q, b = z.size, z.builder
    ahead = ops.slice_(keep, (0,), (q - 1,), (1,))
    first = ops.sub(ops.concat([ops.full(b, (1,), 1.0, z.dtype), ahead], 0), keep)
    along = ops.reduce_sum(ops.mul(first, z), (0,))
    one = ops.full(b, (), 1.0, z.dtype)
    toward = ops.select(ops.lt(along, 0.0), ops.neg(one), one)
    v = ops.add(z, ops.mul(first, ops.broadcast(toward, (q,), ())))
    square = ops.broadcast(ops.reduce_sum(ops.mul(v, v), (0,)), (q, q), ())
    mirror = ops.mul(2.0, ops.div(ops.contract(v, v, "i,j->ij"), square))
    whole = ops.sub(ops.eye(b, q, z.dtype), mirror)
    here, after = (ops.slice_(whole, (0, k), (q, q - 1 + k), (1, 1)) for k in (0, 1))
    stay = ops.broadcast(ops.lt(0.5, ahead), (q, q - 1), (1,))
    found: Tracer = ops.select(stay, here, after)
    return found
