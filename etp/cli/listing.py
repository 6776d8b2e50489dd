"""`etp rules` and `etp backends`: what can be chosen."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .app import app, one_line


@app.command()
def rules() -> None:
    """List the learning rules."""
    from ..rules import OnlineRule, available, resolve

    table = _table("rule", "also called", "window", "what it is")
    found = {name: resolve(name) for name in available()}
    for name, rule in found.items():
        if name == rule.name:
            also = [n for n, other in found.items() if other == rule and n != name]
            window = str(rule.default_window) if isinstance(rule, OnlineRule) else "-"
            doc = (type(rule).__doc__ or "").strip().splitlines()
            table.add_row(name, ", ".join(also), window, doc[0] if doc else "")
    Console(highlight=False).print(table)


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
        table.add_column(column)
    return table
