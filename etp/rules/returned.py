"""What a rule returns, held against what it declares: the mistakes of one's own rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from etp_ir.errors import ModelError, compose

from .algebra import Outer, Vec
from .base import PER_INPUT, PER_RESULT, PER_WEIGHT, LearningRule
from .named import POSITIONS, Named

if TYPE_CHECKING:
    from ..compiler.view import RelationView
    from .base import Slot, TraceRule, Traces

_KINDS = {"PER_WEIGHT": PER_WEIGHT, "PER_RESULT": PER_RESULT, "PER_INPUT": PER_INPUT}


class RuleError(ModelError):
    """A learning rule is written in a way that no model can be compiled with."""


def rule_error(rule: LearningRule | type[LearningRule], of: str, what: str, how: str) -> RuleError:
    """Return an error with the file and line where a rule defines something.

    Parameters
    ----------
    of
        Name of the method that is to be mended; empty for the class itself.
    """
    kind = rule if isinstance(rule, type) else type(rule)
    # A class has no line of its own: its first function stands for it.
    written = [getattr(kind, of, None)] if of else [*vars(kind).values()]
    codes = (getattr(x, "__code__", None) for x in written)
    code = next((c for c in codes if c is not None), None)
    where = f"at {code.co_filename}:{code.co_firstlineno}" if code else f"in {kind.__module__}"
    return RuleError(compose(what, where=where, how=how))


def checked_name(kind: type[LearningRule]) -> None:
    """Raise unless a rule class has a name.

    Raises
    ------
    RuleError
        If ``name`` is missing or no text.
    """
    name = getattr(kind, "name", None)
    if isinstance(name, str) and name:
        return
    found = "has no name" if name is None else f"has the name {name!r}"
    raise rule_error(
        kind, "advance" if "advance" in vars(kind) else "", f"the rule {kind.__name__} {found}",
        f"give the class a line such as name = {_snake(kind.__name__)!r}",
    )  # fmt: skip


class Held(dict[str, Any]):
    """The traces that a rule is given; one that it does not declare is a mistake that is told."""

    def __init__(self, rule: TraceRule, of: str, traces: Traces) -> None:
        super().__init__(traces)
        self.rule, self.of = rule, of

    def __missing__(self, name: str) -> Any:
        raise rule_error(
            self.rule, self.of, f"{self.of} of {type(self.rule).__name__} asks for the trace "
            f"{name!r}, and traces declares {_names(self)}",
            f"use one of these, or declare it: traces = {{..., {name!r}: PER_WEIGHT}}",
        )  # fmt: skip


def gradient_of(rule: TraceRule, rel: Any, e: Traces, ell: Vec) -> Any:
    """Return what a rule's traces give for a signal.

    Raises
    ------
    RuleError
        If it is not summed over the states.
    """
    found = rule.gradient(rel, Held(rule, "gradient", e), ell)
    if found is None or (hasattr(found, "on") and not isinstance(found, Vec)):
        return found
    what = "one array for each state" if isinstance(found, Vec) else _shown(found)
    raise rule_error(
        rule, "gradient", f"gradient of {type(rule).__name__} returns {what}, and not an array "
        "like the weight", "sum over the states with @, as in ell @ e['e']",
    )  # fmt: skip


def advanced(rule: TraceRule, rel: RelationView, slots: Mapping[str, Slot], e: Traces) -> Traces:
    """Return what a rule makes of its traces, one for each that it declares and no other.

    Raises
    ------
    RuleError
        If ``advance`` returns anything else.
    """
    new = rule.advance(rel, Held(rule, "advance", e))
    kind = type(rule).__name__
    if not isinstance(new, Mapping):
        raise rule_error(
            rule, "advance", f"advance of {kind} returns {_shown(new)}, and not traces by name",
            f"return {_example(slots)}",
        )  # fmt: skip
    odd = [str(n) for n in new if n not in slots]
    lacking = [n for n in slots if n not in new]
    if odd or lacking:
        told = f"advance of {kind} returns {_names(new)}; traces declares {_names(slots)}"
        hows = [f"declare {', '.join(odd)} in traces, or do not return it"] if odd else []
        hows += [f"return {', '.join(lacking)} as well"] if lacking else []
        if odd and lacking:
            hows = [f"return it as {lacking[0]!r}, or declare traces = {{{odd[0]!r}: PER_WEIGHT}}"]
        raise rule_error(rule, "advance", told, "; ".join(hows))
    return new


def fitted_trace(
    rule: TraceRule, rel: Any, slot: str, spec: Slot, value: Any, letters: Sequence[str]
) -> Any:
    """Return a trace summed over what it is not declared to have, and check the letters it has.

    Parameters
    ----------
    letters
        Axes of the array of each state, in the order of the relation's states.

    Raises
    ------
    RuleError
        If the trace is no array or lacks letters that it is declared to have.
    """
    kind = type(rule).__name__
    declared = _declared(rule, slot)
    if not isinstance(value, (Vec, Outer, Named)) and not hasattr(value, "on"):
        raise rule_error(
            rule, "advance", f"advance of {kind} returns {_shown(value)} for the trace {slot!r} "
            f"of {rel.name}", f"the trace is {declared}: return arrays made of rel and e, such as "
            "rel.u * rel.x",
        )  # fmt: skip
    found = value.on(spec.letters)
    entries = list(found.entries.values()) if isinstance(found, Vec) else [found]
    if isinstance(found, Vec) and not spec.per_state:
        raise rule_error(
            rule, "advance", f"advance of {kind} returns one array for each state for the trace "
            f"{slot!r} of {rel.name}, which traces declares as {declared}: a single one",
            "declare it as PER_RESULT (such as rel.u) or PER_WEIGHT (such as rel.u * rel.x)",
        )  # fmt: skip
    for entry in entries:
        if entry is None or any(set(entry.axes) == set(axes) for axes in letters):
            continue
        missing = "".join(c for c in spec.letters if c not in entry.axes)
        has = _kind_of(rel, value)
        told = f"one number for {has}" if has else f"an array over {_over(rel, entry.axes)}"
        raise rule_error(
            rule, "advance", f"the trace {slot!r} of {kind} is declared {declared}, and advance "
            f"returns {told} for {rel.name}"
            + (f": it lacks {_over(rel, missing)}" if missing else ": it has more letters"),
            "declare the trace as what is returned, or multiply with what has the other letters: "
            "rel.pre has one number for each input, rel.u for each result",
        )  # fmt: skip
    return found


def _declared(rule: TraceRule, slot: str) -> str:
    kind = rule.traces.get(slot)
    return next((n for n, k in _KINDS.items() if k == kind), "of another kind")


def _kind_of(rel: Any, value: Any) -> str:
    """Return what a value has one number for, in words."""
    entries = list(value.entries.values()) if isinstance(value, Vec) else [value]
    if not entries or not isinstance(entries[0], Named):
        return ""
    axes = {c for c in entries[0].axes if c not in POSITIONS}
    for letters, words in ((rel.axes.x, "each input"), (rel.axes.y, "each result")):
        if axes == set(letters) and letters:
            return words
    return ""


def _over(rel: Any, letters: str) -> str:
    """Return whose axes letters are."""
    if not letters:
        return "no axes"
    sides = {"input": rel.axes.x or "", "result": rel.axes.y, "weight": rel.axes.w}
    mine = [n for n, axes in sides.items() if set(letters) <= set(axes)]
    return f"the axes of the {mine[0]}" if mine else f"axes {letters!r}"


def _names(of: Mapping[str, Any]) -> str:
    return ", ".join(map(str, of)) or "nothing"


def _example(slots: Mapping[str, Slot]) -> str:
    return "{" + ", ".join(f"{n!r}: ..." for n in slots) + "}"


def _shown(x: Any) -> str:
    return "None" if x is None else f"a {type(x).__name__}"


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
