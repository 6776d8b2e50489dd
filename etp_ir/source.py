"""Where a node came from: the user's own file, line and function."""

from __future__ import annotations

import os
import sys

from attrs import frozen

_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(_HERE)
_INTERNAL = tuple(os.path.join(_ROOT, name) + os.sep for name in ("etp", "etp_ir"))
# Cells shipped with the library are model code: pointing into them is right, but the line
# that called them is what a user can change, so the walk goes on to the user's frame. The models
# of the command line are written as a user writes them.
_USER = os.path.join(_ROOT, "etp", "cli") + os.sep


@frozen
class Source:
    """A place in a user's file."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


def user_source() -> Source | None:
    """Return the innermost frame that lies outside this library, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        path = code.co_filename
        internal = path.startswith((*_INTERNAL, "<attrs")) and not path.startswith(_USER)
        if not internal:
            return Source(path, frame.f_lineno, code.co_qualname)
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None
