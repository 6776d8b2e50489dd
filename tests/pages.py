"""The command line of generated pages: write one, or check that it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(arguments: Sequence[str], page: Callable[[], str], module: str) -> int:
    """Write the page of a module to the path given, or check it; return the exit status."""
    (path,) = (Path(a) for a in arguments if a != "--check")
    if "--check" not in arguments:
        path.write_text(page())
        return 0
    stale = path.read_text() != page()
    if stale:
        sys.stderr.write(f"{path} is stale; run `python -m {module} {path}`\n")
    return int(stale)
