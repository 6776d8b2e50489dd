"""Generated source: its layout as a module, and loading it so that tracebacks show it."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from etp_ir.core import Program

from .nonzeros import Nonzeros
from .writer import INDENT, Writer


@frozen
class Source:
    """Source of a compiled program.

    Attributes
    ----------
    text
        A module that defines ``build``.
    name
        Name of the program.
    objects
        Functions and tables that the text refers to by index.
    workspace
        Bytes of working memory.
    """

    text: str
    name: str
    objects: tuple[Any, ...] = ()
    workspace: int = 0


def layout(
    program: Program,
    writer: Writer,
    function: str,
    params: Sequence[str],
    *,
    profile: str,
    slots: Sequence[tuple[str, int]] = (),
    objects: tuple[Any, ...] = (),
) -> Source:
    """Return the module made of a finished function body and of what it needs outside."""
    body = writer.close()
    outside = list(writer.bindings())
    total = sum(nbytes for _, nbytes in slots)
    if slots:
        outside.append(f"# working memory, {total} bytes")
        outside += [f"{name} = slot({nbytes})" for name, nbytes in slots]
    outside += writer.levels[0]
    lines = [
        f'"""@{program.name} for {profile}."""',
        "",
        "",
        "def build(xp, slot, carve, special, nonzeros, objects):",
        *(INDENT + line for line in outside),
        "",
        f"{INDENT}def {function}({', '.join(params)}):",
        *(INDENT + line if line else "" for line in body),
        "",
        f"{INDENT}return {function}",
        "",
    ]
    return Source("\n".join(lines), program.name, objects, total)


def load(
    source: Source,
    xp: Any,
    *,
    slot: Callable[[int], Any] | None = None,
    nonzeros: Nonzeros | None = None,
) -> Callable[..., tuple[Any, ...]]:
    """Return the compiled function.

    Parameters
    ----------
    xp
        The array namespace.
    slot
        Makes the working memory: an array of so many bytes.
    nonzeros
        Computes sparse products.
    """
    from . import special

    digest = hashlib.sha256(source.text.encode()).hexdigest()[:12]
    filename = f"<etp {source.name} {digest}>"
    linecache.cache[filename] = (
        len(source.text), None, source.text.splitlines(keepends=True), filename
    )  # fmt: skip
    scope: dict[str, Any] = {}
    exec(compile(source.text, filename, "exec"), scope)
    return scope["build"](xp, slot, _carve, special, nonzeros, source.objects)


def _carve(slot: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return the array of a shape and element type at the start of working memory."""
    count = 1
    for extent in shape:
        count *= extent
    # View before cutting: only whole elements of the slot can change their type.
    return slot.view(dtype)[:count].reshape(shape)
