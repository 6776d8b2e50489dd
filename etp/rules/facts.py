"""What the docstring and the attributes of a learning rule say of it."""

from __future__ import annotations

import inspect
import re
import sys

from attrs import frozen

from ..signals.base import Signal
from ..signals.words import snake
from .base import LearningRule, OnlineRule
from .registry import registered

# Sections of a rule's docstring that say what it costs and where it comes from.
SECTIONS = ("Memory", "Time", "Exactness", "Reference")


@frozen
class RuleFacts:
    """What a registered rule says of itself.

    Attributes
    ----------
    name, aliases
        The names by which `etp.compile` finds it.
    title
        First line of the docstring.
    body
        Equations and remarks, up to the sections.
    parameters
        What may be set, with its default, by name; and what is said of it.
    memory, time, exactness, reference
        The sections of these names, each on one line.
    window, scope, signal
        What `etp.compile` takes by default; window and scope are None of rules that keep nothing.
    point
        The rule with its defaults as a point of the rule language, where it is one.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    body: str
    parameters: dict[str, str]
    memory: str
    time: str
    exactness: str
    reference: str
    window: int | None
    scope: str | None
    signal: str
    point: str | None


def facts(kind: type[LearningRule]) -> RuleFacts:
    """Return what a rule class says of itself."""
    text, rule = inspect.getdoc(kind) or "", kind()
    title, _, rest = text.partition("\n")
    ends = r"^(?:Parameters|Notes|Raises|Attributes|References|Examples)\n---|^(?:Memory|Time)\n "
    body = re.split(ends, rest, maxsplit=1, flags=re.M)[0].strip()
    told = {s: _section(text, s) for s in SECTIONS}
    online = isinstance(rule, OnlineRule)
    return RuleFacts(
        rule.name, rule.aliases, title, body, _parameters(kind, text),
        told["Memory"], told["Time"], told["Exactness"], told["Reference"],
        window=rule.default_window if online else None,
        scope=_scope(rule.default_scope) if online else None,
        signal=signal_word(rule.signal), point=None if rule.point is None else repr(rule.config()),
    )  # fmt: skip


def every() -> list[RuleFacts]:
    """Return what all registered rules say of themselves, by name."""
    return [facts(kind) for kind in registered().values()]


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name}\n((?:[ ]+.*\n?)+)", text, re.M)
    return " ".join(found[1].split()) if found else ""


def _parameters(kind: type[LearningRule], text: str) -> dict[str, str]:
    """Return what is said of each parameter by how it is written, default included."""
    defaults = {
        n: "" if p.default is inspect.Parameter.empty else f"={_shown(p.default)}"
        for n, p in inspect.signature(kind).parameters.items()
    }
    block = re.search(r"^Parameters\n-+\n(.*?)(?=^\S+\n-+$|\Z)", text, re.M | re.S)
    found = {}
    for names, said in re.findall(r"^(\S.*)\n((?:[ ]+.*\n?)+)", block[1] if block else "", re.M):
        written = (f"{n}{defaults.get(n, '')}" for n in names.split(", "))
        found[", ".join(written)] = " ".join(said.split())
    return found


def _shown(default: object) -> str:
    if isinstance(default, Signal):
        return repr(signal_word(default))
    return repr(default) if isinstance(default, (int, float, str, type(None))) else "..."


def _scope(text: str) -> str:
    return text.replace(str(sys.maxsize), "all")


def signal_word(signal: Signal) -> str:
    """Return the word for a signal, the name of its class."""
    return snake(type(signal))
