"""Names of traced values: those of the local variables of the model's own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from etp_ir.builder import Builder
from etp_ir.tracer import Tracer


def give_name(x: Tracer, name: str) -> None:
    """Name a value that has no name: the one thing it may gain after it was made."""
    if not x.value.hint:
        object.__setattr__(x.value, "hint", name)


@contextmanager
def named_by_locals(builder: Builder, paths: Mapping[int, str]) -> Iterator[None]:
    """Name values of the builder after local variables of ``__call__`` methods run inside.

    ``z = xp.sigmoid(...)`` in a module of path ``cell`` gives ``%cell.z``, so that a program
    reads like the model. Names are hints only. Python shows the variables of a function at its
    return to a profiler alone; where one is at work already, values keep their numbers.

    Parameters
    ----------
    paths
        Path of each module, by identity.
    """

    def observe(frame: FrameType, event: str, arg: Any) -> None:
        if event != "return" or frame.f_code.co_name != "__call__":
            return
        variables = frame.f_locals
        path = paths.get(id(variables.get("self")))
        if path is None:
            return
        # Arguments have their names from the caller.
        for name in frame.f_code.co_varnames[frame.f_code.co_argcount :]:
            item = variables.get(name)
            if isinstance(item, Tracer) and item.builder is builder:
                give_name(item, f"{path}.{name}" if path else name)

    if sys.getprofile() is not None:
        yield
        return
    sys.setprofile(observe)
    try:
        yield
    finally:
        sys.setprofile(None)
