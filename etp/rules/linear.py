"""Whether a rule's traces are a linear recurrence, found by evaluating the rule on symbols.

A rule writes what its traces become. Given `Form` in place of arrays the same lines say which
operators stand between old traces and new ones and what is added, and every schedule follows from
that. A rule that does anything else with a trace raises `NotLinear`, and runs step by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir.tracer import Tracer

from .algebra import Mat, Named, Outer, Vec
from .returned import Held, advanced

if TYPE_CHECKING:
    from ..compiler.view import RelationView
    from .base import TraceRule

# Operators applied from right to left; none at all is the identity.
Path = tuple[Any, ...]


class NotLinear(Exception):
    """A trace is used in a way that is no linear recurrence."""


@frozen(eq=False)
class Form:
    """A sum of operators on traces, and of sources.

    Attributes
    ----------
    terms
        Operators by the trace they act on.
    sources
        Vectors times the input of the product.
    """

    __array_ufunc__ = None

    terms: Mapping[str, tuple[Path, ...]]
    sources: tuple[tuple[Vec, Named | None], ...] = ()

    def after(self, factor: Any) -> Form:
        """Return an operator applied to the form."""
        terms = {s: tuple((factor, *path) for path in paths) for s, paths in self.terms.items()}
        return Form(terms, tuple((_applied(factor, u), x) for u, x in self.sources))

    def __add__(self, other: Any) -> Form:
        if isinstance(other, Outer) and other.sum is None:
            return Form(self.terms, self.sources + other.pairs)
        if not isinstance(other, Form):
            raise NotLinear
        terms = dict(self.terms)
        for slot, paths in other.terms.items():
            terms[slot] = terms.get(slot, ()) + paths
        return Form(terms, self.sources + other.sources)

    __radd__ = __add__

    def __mul__(self, factor: Any) -> Form:
        if not isinstance(factor, (int, float, Tracer, Named)):
            raise NotLinear
        return self.after(factor)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Form:
        return self + other * -1.0

    def __rsub__(self, other: Any) -> Form:
        return self * -1.0 + other

    def __truediv__(self, factor: float) -> Form:
        return self * (1 / factor)

    def __rmatmul__(self, left: Any) -> Any:
        if isinstance(left, Mat):
            return self.after(left)
        if isinstance(left, Vec):
            if self.sources:
                raise NotLinear
            return Reading({s: _sum(back(p, left) for p in ps) for s, ps in self.terms.items()})
        raise NotLinear

    def __getattr__(self, name: str) -> Any:
        raise NotLinear


@frozen(eq=False)
class Reading:
    """The traces that a signal is multiplied with, and by which vector each."""

    __array_ufunc__ = None

    signals: Mapping[str, Vec]

    def __add__(self, other: Any) -> Reading:
        if not isinstance(other, Reading):
            raise NotLinear
        found = dict(self.signals)
        for slot, ell in other.signals.items():
            found[slot] = found[slot] + ell if slot in found else ell
        return Reading(found)

    def __mul__(self, factor: Any) -> Reading:
        if not isinstance(factor, (int, float, Tracer)):
            raise NotLinear
        return Reading({s: ell * factor for s, ell in self.signals.items()})

    __rmul__ = __mul__

    def __getattr__(self, name: str) -> Any:
        raise NotLinear


@frozen(eq=False)
class Recurrence:
    """The linear recurrence of the traces of one relation.

    Attributes
    ----------
    slots
        Names of the traces.
    forms
        What each becomes in a step.
    """

    rule: TraceRule
    view: RelationView
    forms: Mapping[str, Form] = field(repr=False)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the traces."""
        return tuple(self.forms)

    def read(self, ell: Vec) -> dict[str, Vec]:
        """Return the vector that each trace is multiplied with when a signal reads them."""
        symbols = {slot: Form({slot: ((),)}) for slot in self.forms}
        found = self.rule.gradient(self.view, Held(self.rule, "gradient", symbols), ell)
        if not isinstance(found, Reading | None):
            raise NotLinear
        return {} if found is None else dict(found.signals)

    def back(self, ahead: Mapping[str, Vec]) -> dict[str, Vec]:
        """Return the transition's transpose applied to vectors on the traces after the step."""
        found: dict[str, list[Vec]] = {}
        for slot, vector in ahead.items():
            for old, paths in self.forms[slot].terms.items():
                found.setdefault(old, []).extend(back(p, vector) for p in paths)
        return {slot: _sum(parts) for slot, parts in found.items()}

    def source(self, slot: str) -> Vec:
        """Return what is added to a trace in a step, but for the input it is multiplied with."""
        return _sum(u for u, _ in self.forms[slot].sources) if self.forms[slot].sources else Vec({})

    def at_result(self, ahead: Mapping[str, Vec], axes: str) -> Named | None:
        """Return the derivative at the result of the product, of what the step adds to traces."""
        total: Named | None = None
        for slot, vector in ahead.items():
            for u, _ in self.forms[slot].sources:
                term = u.dot(vector, axes)
                if term is not None:
                    total = term if total is None else total + term
        return total

    def key(self) -> tuple[Any, ...]:
        """Two recurrences with equal keys move traces alike."""
        return tuple(
            (new, old, tuple(tuple(_key(f) for f in path) for path in paths))
            for new, form in self.forms.items() for old, paths in form.terms.items()
        )  # fmt: skip

    @property
    def is_influence(self) -> bool:
        """Whether the one trace follows the influence itself, and signals read it as it is."""
        if len(self.forms) != 1:
            return False
        ((slot, form),) = self.forms.items()
        view, probe = self.view, Vec({})
        if set(form.terms) != {slot} or len(form.terms[slot]) != 1 or len(form.sources) != 1:
            return False
        (path,), ((u, x),) = form.terms[slot], form.sources
        if len(path) != 1 or not isinstance(path[0], Mat) or x is not view.x:
            return False
        return (
            self.read(probe).get(slot) is probe
            and (path[0] is view.D or _values(path[0].entries) == _values(view.D.entries))
            and (u is view.u or _values(u.entries) == _values(view.u.entries))
        )


def recurrence(rule: TraceRule, view: RelationView) -> Recurrence | None:
    """Return the linear recurrence of a rule's traces for a relation, or None if it has none."""
    slots = rule.slots(view)
    if rule.counts_steps or rule.draws:
        return None
    if not all(slot.letters == view.axes.trace and slot.per_state for slot in slots.values()):
        return None
    symbols = {slot: Form({slot: ((),)}) for slot in slots}
    try:
        forms = {s: _form(x) for s, x in advanced(rule, view, slots, symbols).items()}
        found = Recurrence(rule, view, {s: forms[s] for s in slots})
        found.read(Vec({}))
    except NotLinear:
        return None
    if any(x is not view.x for form in forms.values() for _, x in form.sources):
        return None
    return found


def _form(x: Any) -> Form:
    if isinstance(x, Outer) and x.sum is None:
        return Form({}, x.pairs)
    if not isinstance(x, Form):
        raise NotLinear
    return x


def _applied(factor: Any, vector: Vec) -> Vec:
    if isinstance(factor, Mat):
        moved: Vec = factor @ vector
        return moved
    return _scaled(vector, factor)


def back(path: Path, vector: Vec) -> Vec:
    """Return the transpose of a path of operators applied to a vector."""
    for factor in path:
        vector = factor.T @ vector if isinstance(factor, Mat) else _scaled(vector, factor)
    return vector


def _scaled(vector: Vec, factor: Any) -> Vec:
    if isinstance(factor, Named):
        return Vec(lambda: {s: e * factor for s, e in vector.entries.items()})
    return vector * factor


def _sum(vectors: Iterable[Vec]) -> Vec:
    first, *rest = vectors
    for other in rest:
        first = first + other
    return first


def _key(factor: Any) -> Any:
    if isinstance(factor, Mat):
        return tuple((k, e.array.value) for k, e in factor.entries.items())
    if isinstance(factor, Named):
        return (factor.array.value, factor.axes)
    return factor.value if isinstance(factor, Tracer) else float(factor)


def _values(entries: Mapping[Any, Named]) -> dict[Any, Any]:
    return {key: entry.array.value for key, entry in entries.items()}
