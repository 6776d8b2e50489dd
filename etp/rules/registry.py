"""The registry of learning rules."""

from __future__ import annotations

import ast
from typing import Any

from etp_ir.errors import ETPError, nearest

from ..given import mistake
from .base import LearningRule
from .checks import made
from .returned import checked_name

_RULES: dict[str, type[LearningRule]] = {}


def register(rule: type[LearningRule]) -> type[LearningRule]:
    """Make a rule class available by its name and aliases; usable as a decorator."""
    checked_name(rule)
    for name in (rule.name, *rule.aliases):
        _RULES[name.lower()] = rule
    return rule


def available() -> list[str]:
    """Return the names of all registered rules, aliases included."""
    return sorted(_RULES)


def registered() -> dict[str, type[LearningRule]]:
    """Return the rule classes by their own name, without aliases."""
    return {rule.name: rule for rule in sorted(set(_RULES.values()), key=lambda r: r.name)}


def by_name() -> dict[str, type[LearningRule]]:
    """Return the rule classes by every name they are found by, as it is now."""
    return dict(_RULES)


def resolve(rule: str | LearningRule | type[LearningRule]) -> LearningRule:
    """Return the rule object for a name, a class or an object.

    A name may carry arguments, as in ``"snap(3)"`` or ``"pp_prop(decay=0.9)"``.

    Raises
    ------
    etp.ETPError
        If no rule has the name, or it does not take the arguments.
    """
    if isinstance(rule, LearningRule):
        checked_name(type(rule))
        return rule
    if isinstance(rule, type) and issubclass(rule, LearningRule):
        checked_name(rule)
        return made(rule, f"rule {rule.__name__}", (), {})
    if isinstance(rule, str):
        name, args, named = parse_call(rule)
        found = _RULES.get(name.strip().lower().replace("-", "_"))
        if found is not None:
            return made(found, f"rule {rule!r}", args, named)
        raise mistake(ETPError, f"no learning rule {rule!r}{nearest(name, available())}",
                      "etp.rules.available() lists the names")  # fmt: skip
    raise mistake(ETPError, f"rule must be a name, a rule class or a rule object, not {rule!r}",
                  "give for example 'd_rtrl'; etp.rules.available() lists the names")  # fmt: skip


def parse_call(text: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return name and arguments of a text such as ``"tbptt(1, 10)"``."""
    name, bracket, _ = text.partition("(")
    if not bracket:
        return text, (), {}
    try:
        call = ast.parse(text.strip().replace("-", "_", name.count("-")), mode="eval").body
        assert isinstance(call, ast.Call)
        assert all(k.arg for k in call.keywords)
        args = tuple(ast.literal_eval(a) for a in call.args)
        return name, args, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise mistake(
            ETPError, f"{text!r} is no rule with arguments",
            "write it as in 'tbptt(1, 10)' or 'pp_prop(decay=0.9)', numbers and words in quotes "
            "only",
        ) from None  # fmt: skip
