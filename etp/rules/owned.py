"""The own positions of weights among all states, and what lies beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from etp_ir import ops
from etp_ir.primitive import get
from etp_ir.tracer import Tracer

from .algebra import ALONG, BEFORE, POSITION, TERM, Named, Vec, named

if TYPE_CHECKING:
    from etp_ir.builder import Builder

    from ..compiler.view import RelationView

Index = np.ndarray[Any, Any]
NONE = -1


@frozen(eq=False, slots=False)
class Owned:
    """A relation whose influence on some states is kept on all positions (*wide* ones).

    Attributes
    ----------
    rel
        The relation, in a scope that follows all states.
    """

    rel: RelationView

    @cached_property
    def wide(self) -> list[str]:
        """States on all positions of which the weight acts."""
        return [s for s, p in self.rel.relation.places.items() if p.wide]

    @cached_property
    def size(self) -> int:
        """Number of variables of wide states."""
        return sum(self.rel.relation.places[s].width for s in self.wide)

    @cached_property
    def index(self) -> dict[str, Index]:
        """For wide states, the own position of each result of the product, or `NONE`."""
        rel = self.rel
        assert rel.structure is not None
        reaches, group = rel.structure.reaches, rel.relation.group.states
        found: dict[str, Index] = {}
        for s in self.wide:
            near = [s, *(g for g in group if s in group)]
            rows = []
            for use in rel.relation.uses:
                hits = [reaches[g].targets.get(use.output) for g in near]
                rows += [h for h in hits if h is not None][:1]
            if len(rows) == len(rel.relation.uses):
                found[s] = np.stack(rows) if len(rows) > 1 else rows[0]
        return found

    @property
    def states(self) -> list[str]:
        """States on own positions of which the influence is kept as it is."""
        return [s for s in self.rel.relation.places if s not in self.wide or s in self.index]

    def letters(self, state: str) -> str:
        """Return the letters of what is kept for own positions of a state."""
        axes = self.rel.axes
        if state not in self.wide:
            return axes.trace
        return "".join(c for c in axes.looked_up(axes.y) if c not in axes.w) + axes.w

    def at_own(self, builder: Builder, state: str) -> Named:
        """Return one at the own position of each result, zero elsewhere, over results and P."""
        index, n = self.index[state], self.rel.relation.places[state].width
        flat = tuple(int(i) for i in index.ravel())
        table = Tracer(
            builder, builder.emit(get("table"), [], {"values": flat, "shape": index.shape})[0]
        )
        every = {"shape": (n,), "axis": 0, "dtype": table.dtype}
        count = Tracer(builder, builder.emit(get("iota"), [], every)[0])
        shape, k = (*index.shape, n), index.ndim
        hit = ops.eq(ops.broadcast(table, shape, range(k)), ops.broadcast(count, shape, (k,)))
        one = ops.cast(hit, builder.float_dtype)
        return named(one, self.rel.axes.y + POSITION, self.rel.axes.frame)

    # -- what a step makes of own parts ------------------------------------------------------
    def split(self, held: Mapping[str, Named]) -> tuple[dict[str, Named], dict[str, Named]]:
        """Return what the step makes of own parts: on own positions, and beyond them."""
        rel = self.rel
        parts: list[tuple[Vec, Named | None]] = [(rel.u, rel.x)]
        for s, x in held.items():
            if s in self.wide:
                parts.append((rel.D @ Vec({s: self.at_own(x.array.builder, s)}), x))
            else:
                parts.append((rel.D @ Vec({s: x}), None))
        kept: dict[str, Named] = {}
        rest: dict[str, Named] = {}
        for vec, factor in parts:
            for s, entry in vec.entries.items():
                if s not in self.wide:
                    _add(kept, s, _times(entry, factor, rel.axes.trace))
                    continue
                if s in self.index:
                    here = self.at_own(entry.array.builder, s)
                    at = "".join(dict.fromkeys(c for c in entry.axes + here.axes if c != POSITION))
                    own = entry.contract(here, at)
                    _add(kept, s, _times(own, factor, self.letters(s)))
                    entry = entry - entry * here
                _add(rest, s, _times(entry, factor, rel.axes.w + POSITION))
        return kept, rest

    def read(self, held: Mapping[str, Named], ell: Vec) -> Named | None:
        """Return the gradient that own parts give for a signal."""
        total: Named | None = None
        for s, x in held.items():
            if s not in ell.entries:
                continue
            signal = ell.entries[s]
            if s in self.wide:
                signal = self.at_own(x.array.builder, s).contract(signal, self.rel.axes.y)
            term = x.contract(signal, self.rel.axes.w)
            total = term if total is None else total + term
        return total

    # -- the rest as a matrix of wide states by weights ---------------------------------------
    def flat(self, entries: Mapping[str, Named]) -> Tracer:
        """Return entries over weights and positions as one matrix."""
        w = self.rel.axes.w
        size = int(np.prod([self.rel.relation.extents[c] for c in w]))
        rows = []
        for s in self.wide:
            n = self.rel.relation.places[s].width
            if s in entries:
                rows.append(ops.reshape(entries[s].laid(POSITION + w), (n, size)))
            else:
                rows.append(ops.full(self._builder, (n, size), 0.0, self._builder.float_dtype))
        return rows[0] if len(rows) == 1 else ops.concat(rows, 0)

    def flat_states(self, vectors: Vec) -> Tracer:
        """Return several vectors over wide states as the rows of one matrix."""
        b, terms = self._builder, next(iter(vectors.entries.values())).array.shape[0]
        parts = [
            vectors.entries[s].laid(TERM + POSITION) if s in vectors.entries
            else ops.full(b, (terms, self.rel.relation.places[s].width), 0.0, b.float_dtype)
            for s in self.wide
        ]  # fmt: skip
        return parts[0] if len(parts) == 1 else ops.concat(parts, 1)

    def flat_weight(self, x: Named) -> Tracer:
        """Return several arrays over the weight, laid flat as the rows of one matrix."""
        laid = x.laid(TERM + self.rel.axes.w)
        flat: Tracer = ops.reshape(laid, (laid.shape[0], laid.size // laid.shape[0]))
        return flat

    def states_of(self, rows: Tracer) -> Vec:
        """Return vectors over wide states: the inverse of `flat_states`."""
        found, start, terms = {}, 0, rows.shape[0]
        for s in self.wide:
            n = self.rel.relation.places[s].width
            part = ops.slice_(rows, (0, start), (terms, start + n), (1, 1))
            found[s] = Named(part, TERM + POSITION, self.rel.axes.frame)
            start += n
        return Vec(found)

    def weight_of(self, rows: Tracer) -> Named:
        """Return arrays over the weight: the inverse of `flat_weight`."""
        w = self.rel.axes.w
        shape = [rows.shape[0], *(self.rel.relation.extents[c] for c in w)]
        return named(ops.reshape(rows, shape), TERM + w, self.rel.axes.frame)

    def norm(self) -> Tracer:
        """Return the largest singular value of the transition between wide states."""
        b, places = self._builder, self.rel.relation.places
        rows = []
        for new in self.wide:
            row = []
            for old in self.wide:
                shape = (places[new].width, places[old].width)
                entry = self.rel.D.entries.get((new, old))
                if entry is None:
                    row.append(ops.full(b, shape, 0.0, b.float_dtype))
                elif entry.axes == ALONG:
                    spread = ops.broadcast(entry.array, shape, (0,))
                    row.append(ops.mul(spread, ops.eye(b, shape[0], entry.array.dtype)))
                else:
                    row.append(entry.laid(POSITION + BEFORE))
            rows.append(row[0] if len(row) == 1 else ops.concat(row, 1))
        whole = rows[0] if len(rows) == 1 else ops.concat(rows, 0)
        values, _ = ops.eigh(ops.contract(whole, whole, "pi,pj->ij"))
        largest = ops.reshape(ops.slice_(values, (self.size - 1,), (self.size,), (1,)), ())
        norm: Tracer = ops.sqrt(ops.maximum(largest, 0.0))
        return norm

    @property
    def _builder(self) -> Builder:
        assert self.rel.step is not None
        builder: Builder = self.rel.step.builder
        return builder


def _times(entry: Named, factor: Named | None, axes: str) -> Named:
    """Return a product summed over the letters that ``axes`` lacks."""
    return entry.summed(axes) if factor is None else entry.contract(factor, axes)


def _add(found: dict[str, Named], state: str, term: Named) -> None:
    found[state] = found[state] + term if state in found else term
