"""`etp rules` and `etp backends`: what can be chosen."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import asdict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .app import app, one_line

if TYPE_CHECKING:
    from ..rules.facts import RuleFacts

# Columns of a terminal in which everything fits side by side.
WIDE = 140


@app.command()
def rules(
    name: Annotated[str | None, typer.Argument(help="One rule, told in full.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List the learning rules: what they are, what they take by default, where they come from."""
    from ..rules.facts import every, facts
    from ..rules.registry import resolve

    found = every() if name is None else [facts(type(resolve(name)))]
    if json:
        print(json_text.dumps([asdict(f) for f in found], ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False)
    if name is not None:
        _told(console, found[0])
        return
    if console.width < WIDE:
        _lines(console, found)
        return
    columns = ["rule", "window", "scope", "signal", "exactness", "memory", "time", "reference"]
    table = _table(*columns)
    table.columns[0].no_wrap = True
    for f in found:
        said = {
            **asdict(f), "rule": "\n".join((f.name, *f.aliases)), "scope": f.scope or "-",
            "window": "-" if f.window is None else str(f.window),
        }  # fmt: skip
        table.add_row(*(escape(plain(said[c])) for c in columns))
    console.print(table)


def _lines(console: Console, found: list[RuleFacts]) -> None:
    """Print name and title of each rule: a narrow terminal has no room for more."""
    table = _table("rule", "what it is")
    table.columns[0].min_width = max(len(f.name) for f in found)
    for f in found:
        table.add_row(f.name, escape(plain(f.title)))
    console.print(table)
    console.print(
        "\n[dim]`etp rules NAME` tells the equation, options, other names, cost and exactness;\n"
        f"{WIDE} columns have room for a table of all of it.[/]"
    )


def _told(console: Console, f: RuleFacts) -> None:
    also = f"  [dim]{', '.join(f.aliases)}[/]" if f.aliases else ""
    console.print(f"[bold]{f.name}[/]{also}\n{escape(plain(f.title))}\n")
    console.print(escape(plain(f.body)) + "\n")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    rows = {
        **f.parameters, "window": None if f.window is None else str(f.window), "scope": f.scope,
        "signal": f.signal, "exactness": f.exactness, "memory": f.memory, "time": f.time,
        "reference": f.reference, "as a point": f.point,
    }  # fmt: skip
    for what, said in rows.items():
        if said:
            table.add_row(f"[dim]{escape(what)}[/]", escape(plain(said)))
    console.print(table)


def plain(text: str) -> str:
    """Return a text without the marks of docstrings."""
    return text.replace(":math:", "").replace(".. math::", "").replace("``", "`")


@app.command()
def backends() -> None:
    """List the backends, and why those that cannot run here cannot."""
    from ..backends import available, get

    automatic = get("auto").name
    table = _table("backend", "runs here", "")
    for name, reason in available().items():
        if reason is None:
            table.add_row(name, "[green]yes[/]", "chosen by auto" if name == automatic else "")
        else:
            table.add_row(name, "[red]no[/]", escape(one_line(reason)))
    Console(highlight=False).print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
