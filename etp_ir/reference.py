"""The tables in ``docs/ir.md``, made from the registry of primitives and the table of stages.

``python -m etp_ir.reference docs/ir.md`` writes them; with ``--check`` it only says whether the
page is up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import ops
from .core import ROLE_KINDS
from .primitive import REGISTRY, Primitive
from .stages import STAGES

_NAMES = ("x", "y", "z")


def primitive_table() -> str:
    """Return the table of all registered primitives, in Markdown."""
    rows = []
    for primitive in sorted(REGISTRY.values(), key=lambda p: p.name):
        rows.append((
            f"`{form(primitive)}`", meaning(primitive), primitive.positions,
            # A derivative that is zero everywhere needs no rule.
            ("yes" if primitive.jvp else "zero") if primitive.differentiable else "no",
            "yes" if primitive.batch else "no",
            f"`{primitive.array_api}`" if primitive.array_api else
            "by `lower`" if primitive.lower else "",
        ))  # fmt: skip
    return _table(("primitive", "meaning", "positions", "jvp", "batch", "array API"), rows)


def stage_table() -> str:
    """Return the table of stages, in Markdown."""

    def roles(kinds: Sequence[str]) -> str:
        return "any" if set(kinds) == set(ROLE_KINDS) else ", ".join(f"`{k}`" for k in kinds)

    rows = [(f"`{n}`", s.meaning, roles(s.inputs), roles(s.outputs)) for n, s in STAGES.items()]
    return _table(("stage", "meaning", "roles of inputs", "roles of outputs"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: dict[str, Callable[[], str]] = {"primitives": primitive_table, "stages": stage_table}


def form(primitive: Primitive) -> str:
    """Return how a node of it is written, for example ``slice x {start, stop, step}``."""
    names: list[str] = []
    for parameter in inspect.signature(primitive.infer).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [n for i, n in enumerate(_NAMES) if f"{{{i}}}" in (primitive.c99 or "")] or [
                "x", "...",
            ]  # fmt: skip
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    text = f"{primitive.name} {', '.join(names)}".strip()
    return f"{text} {{{', '.join(primitive.attributes)}}}" if primitive.attributes else text


def meaning(primitive: Primitive) -> str:
    """Return the formula of an element-wise primitive, or the first line on its function."""
    if primitive.c99 is not None:
        operands = inspect.signature(primitive.infer).parameters.values()
        given = [p.name for p in operands if p.kind is p.POSITIONAL_OR_KEYWORD] or _NAMES
        text = primitive.c99.replace("{f}", "")
        text = re.sub(r"\{(\d)\}", lambda match: given[int(match[1])], text)
        inner = text[1:-1] if _wrapped(text) else text
        return f"`{inner}`".replace("|", "\\|")
    function = getattr(ops, primitive.name, None) or getattr(ops, f"{primitive.name}_", None)
    line = (inspect.getdoc(function) or "").splitlines()[:1] if function else []
    text = line[0].removeprefix("Return ").rstrip(".") if line else "see above"
    return text.replace("``", "`").replace("|", "\\|")


def _wrapped(text: str) -> bool:
    """Whether the first parenthesis is closed by the last character."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i == len(text) - 1 and text[0] == "("
    return False


def updated(page: str) -> str:
    """Return the page with its tables made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table()}\n{end}{after}"
    return page


def main(arguments: Sequence[str]) -> int:
    """Write the tables into the page, or check it; return the exit status."""
    check = "--check" in arguments
    (page,) = (Path(a) for a in arguments if a != "--check")
    old = page.read_text()
    new = updated(old)
    if check:
        if old != new:
            sys.stderr.write(f"{page} is stale; run `python -m etp_ir.reference {page}`\n")
        return int(old != new)
    page.write_text(new)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
