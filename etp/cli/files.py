"""Files that commands write: checked before the work, written after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..runs import RunError


def check_paths(*paths: Path | None) -> None:
    """Raise if a file that was asked for cannot be written, before anything is measured for it.

    Raises
    ------
    RunError
        Then a folder is missing, or may not be written to.
    """
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise RunError(
                f"cannot write to {path}: there is no folder {path.parent}; make it, or choose "
                "another file"
            )
        if path.is_dir():
            raise RunError(f"cannot write to {path}: it is a folder; give a file in it")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise RunError(f"cannot write to {path}: permission denied; choose another file")


def write(path: Path | None, text: Callable[[], Any]) -> None:
    """Write what a function returns to a file, if one was asked for.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    if path is None:
        return
    try:
        path.write_text(text(), encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}") from error
