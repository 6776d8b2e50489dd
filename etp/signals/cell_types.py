"""Credit handed back over one step by types of cells: neuromodulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.tracer import Tracer

from ..checks import flag, seed
from .base import Arriving, Shared, Signal
from .recurrent import Types, as_types, hop, laid, recurrent_products, type_arrays

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure

WHAT = "a signal by types of cells"


@frozen
class CellTypes(Signal):
    r"""The derivative of the loss, and what it hands back over one step by types of cells.

    .. math::
        \ell_p^{t-1} = \frac{\partial z_p}{\partial h_p}
        \sum_j \bar w_{\alpha(p)\beta(j)}\,[p\to j]\,\frac{\partial h_j}{\partial y_j}\,\ell_j^t

    beside :math:`\ell^t` itself: recurrent weights are replaced by their means over existing
    synapses between cells of two types. A synapse exists where its weight is not zero.

    Parameters
    ----------
    types
        The type of each unit, a whole number; a mapping from states to such arrays where there
        are several groups; a number of types to draw at random, equally often; or None for the
        weights themselves.
    seed
        Seed of random types.
    local
        Whether only units hear from a unit that it acts on; otherwise the modulator is diffuse.

    Notes
    -----
    What the scope of a rule follows already is not handed back again: with ``"coupled"`` that is
    a unit's connection to itself, with wider scopes everything.

    References
    ----------
    Liu et al., PNAS 118(51), 2021.
    """

    types: Types = field(default=2, converter=as_types, hash=False)
    seed: int = field(default=0, validator=seed)
    local: bool = field(default=True, validator=flag)

    why = "credit goes back over one step, through means of weights over types of cells"

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        products = recurrent_products(structure, WHAT)
        kinds = type_arrays(structure, products, self.types, self.seed)
        found: dict[str, Shared] = {}
        for p in products:
            of = kinds[p.group.states]
            arrays = {"before": p.before @ of, "after": p.after @ of}
            if structure.scope.name == "coupled":
                arrays["others"] = 1 - p.before @ p.after.T
            for word, array in arrays.items():
                found[f"types.{p.name}.{word}"] = Shared(array, array.shape)
        return found

    def arriving(self, at: Boundary) -> Arriving:
        structure = at.pieces.structure
        new, old = at.pull()
        products = [
            p for p in recurrent_products(structure, WHAT) if set(p.group.states) & set(new)
        ]
        if not products or not structure.scope.local:
            return new, old
        weights = {p.name: self._means(at, p) for p in products}
        back = hop(at, new, products, weights)
        return new, {**old, **{n: ops.add(old[n], x) if n in old else x for n, x in back.items()}}

    def _means(self, at: Boundary, product: Any) -> Tracer:
        """Return the weight of the way back."""
        forth: Any = product.use.weight
        w = laid(product, Tracer(at.pieces.builder, forth))
        there = ops.cast(ops.ne(w, 0.0), w.dtype)
        if self.types is not None:
            before = at.shared[f"types.{product.name}.before"]
            after = at.shared[f"types.{product.name}.after"]

            def gathered(x: Tracer) -> Tracer:
                half = ops.contract(before, x, "ka,kj->aj")
                total: Tracer = ops.contract(half, after, "aj,jb->ab")
                return total

            mean = ops.div(gathered(w), ops.maximum(gathered(there), 1.0))
            w = ops.contract(ops.contract(before, mean, "ka,ab->kb"), after, "kb,jb->kj")
        if self.local:
            w = ops.mul(w, there)
        others = at.shared.get(f"types.{product.name}.others")
        return laid(product, w if others is None else ops.mul(w, others))
