"""The user's own line in every error of the public interface."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from etp_ir.errors import ETPError
from etp_ir.source import Source, user_source

P = ParamSpec("P")
R = TypeVar("R")

_PLACE = re.compile(r"\bat \S.*:\d+\b")


def placed(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function whose errors say where it was called.

    Errors that name a line of the user already, such as the line of a model that was traced,
    stay as they are.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ETPError as error:
            locate(error)
            raise

    return run


def locate(error: ETPError, at: Source | None = None) -> None:
    """Add a line to an error without one, below what it says is wrong; by default the user's."""
    source, text = at or user_source(), str(error)
    if source is None or _PLACE.search(text):
        return
    what, _, rest = text.partition("\n")
    error.args = ("\n".join(filter(None, (what, f"  called at {source}", rest))),)


def place_of(definition: Any) -> str:
    """Return ``"at file:line"`` of a function or a class, or nothing where it has no source."""
    code = getattr(inspect.unwrap(definition), "__code__", None)
    if code is not None:
        return f"at {code.co_filename}:{code.co_firstlineno} in {code.co_qualname}"
    try:
        line = inspect.getsourcelines(definition)[1]
        return f"at {inspect.getsourcefile(definition)}:{line} in {definition.__qualname__}"
    except (OSError, TypeError):
        return ""
