"""Where a node came from: the user's own file, line and function."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import frozen

R = TypeVar("R")

_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(_HERE)
_INTERNAL = tuple(os.path.join(_ROOT, name) + os.sep for name in ("etp", "etp_ir"))
# Frames that stand between others without being anyone's model.
_BETWEEN = ("<attrs", functools.__file__)
# The models of the command line are written as a user writes them.
_USER = os.path.join(_ROOT, "etp", "cli") + os.sep
# Layers shipped with the library are model code: pointing into them is right, but the line that
# called them is what a user can change, so they are named only where no such line exists.
_LAYERS = os.path.join(_ROOT, "etp", "nn") + os.sep


@frozen
class Source:
    """A place in a user's file."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


def traced_call(function: Callable[..., R], *args: Any) -> R:
    """Call a function whose own lines, and not those of its caller, are what a model says."""
    return function(*args)


def user_source() -> Source | None:
    """Return the innermost frame that lies outside this library, or None.

    Where there is none inside of a `traced_call`, it is the innermost layer of the library.
    """
    frame, layer = sys._getframe(1), None
    while frame is not None:
        code = frame.f_code
        path = code.co_filename
        if not path.startswith((*_INTERNAL, *_BETWEEN)) or path.startswith(_USER):
            return Source(path, frame.f_lineno, code.co_qualname)
        if layer is None and path.startswith(_LAYERS) and code.co_name == "__call__":
            layer = Source(path, frame.f_lineno, code.co_qualname)
        if layer is not None and code is traced_call.__code__:
            return layer
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None
