"""Audits for people: tables and sentences in a terminal, and a table in LaTeX."""

from __future__ import annotations

from io import StringIO
from math import isnan
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from .alignment import Alignment
from .audit_words import SAME, percent
from .certificate_text import cell, table
from .latex import code, tex
from .latex import table as table_in_latex

if TYPE_CHECKING:
    from .audit import Audit

WIDTH = 140
# Columns that a table has room for.
MOST = 7
STYLES = {"exact": "green", "approximate": "yellow", "direct-only": "red", "unreachable": "red"}


def text(audit: Audit) -> str:
    """Return the tables as plain text."""
    out = StringIO()
    show(audit, Console(file=out, width=WIDTH, no_color=True))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show(audit: Audit, console: Any = None) -> None:
    """Print what is told of a run."""
    console = console or Console(highlight=False)

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    def lay(found: Any) -> None:
        # Lines may be longer than the terminal is wide, and are not cut for that.
        seen, console.width = console.width, max(WIDTH, console.width)
        console.print(found, highlight=False)
        console.width = seen

    say(f"[bold]{escape(audit.title)}[/]  {escape(audit.rule)}, {escape(audit.setting)}")
    say(f"[dim]gradients of {audit.examples} sequences of {audit.length} steps, against BPTT, with "
        "weights fixed over each[/]\n")  # fmt: skip
    lay(_parameters(audit))
    if any(c.lags for c in audit.checkpoints):
        console.print()
        lay(_lags(audit))
    console.print()
    for name, p in audit.parameters.items():
        say(f"[bold {STYLES.get(p.status, 'none')}]{escape(name)}[/]  {escape(p.words)}")
    for name in audit.contradictions:
        say(f"[bold red]contradicts[/] {escape(name)} is called exact and is not")
    if audit.interrupted:
        say("\n[yellow]interrupted[/]: what was measured until then")


def chosen(n: int, most: int = MOST) -> list[int]:
    """Return a few indices of n, the first and the last among them."""
    if n <= most:
        return list(range(n))
    return sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})


def _parameters(audit: Audit) -> Any:
    points = [audit.checkpoints[i] for i in chosen(len(audit.checkpoints))]
    found = table(
        "parameter", "status", "credit", "ratio", *(f"epoch {c.epoch}" for c in points),
        title="cosine (relative deviation) along training; credit is the part of BPTT's gradient "
              "that arrives at the end",
    )  # fmt: skip
    for name, p in audit.parameters.items():
        a = audit.checkpoints[-1].parameters[name]
        found.add_row(
            escape(name), p.status, "-" if isnan(p.credit) else percent(p.credit),
            "-" if isnan(a.ratio) else f"{a.ratio:.2g}",
            *(shown(c.parameters[name]) for c in points),
        )  # fmt: skip
    overall = audit.checkpoints[-1].overall
    credit = overall.ratio * overall.cosine
    found.add_row("all", "", "-" if isnan(credit) else percent(credit), f"{overall.ratio:.2g}",
                  *(shown(c.overall) for c in points))  # fmt: skip
    return found


def shown(a: Alignment) -> str:
    """Return how a gradient stands to the exact one, in a few letters."""
    return "equal" if a.reference and a.deviation < SAME else cell(a)


def _lags(audit: Audit) -> Any:
    lags = [s.lag for c in audit.checkpoints if c.lags for s in c.lags.shares]
    columns = sorted(set(lags))
    columns = [columns[i] for i in chosen(len(columns), 9)]
    found = table(
        "after", *(f"lag {k}" for k in columns),
        title="what a loss at the last step owes to earlier steps: cosine (relative deviation); "
              "below, the norm there is to be had",
    )  # fmt: skip
    points = [c for c in audit.checkpoints if c.lags is not None]
    for c in (points[i] for i in chosen(len(points))):
        assert c.lags is not None
        shares = {s.lag: s for s in c.lags.shares}
        cells = [shown(shares[k].overall) if k in shares else "-" for k in columns]
        found.add_row(f"epoch {c.epoch}", *cells)
        weights = [percent(shares[k].weight) if k in shares else "" for k in columns]
        found.add_row("", *weights, style="dim")
    return found


def latex(audit: Audit) -> str:
    """Return the table of parameters, for the ``booktabs`` package."""
    points = [audit.checkpoints[i] for i in chosen(len(audit.checkpoints))]
    caption = (
        rf"Gradients of {code(audit.rule)} ({tex(audit.setting)}) against back-propagation "
        "through time: the part of it that arrives at the end of training, and along it cosine "
        "(below, relative deviation) after so many epochs."
    )
    columns = ["parameter", "status", "credit", *(str(c.epoch) for c in points)]
    return table_in_latex(caption, columns, [
        (code(name), [p.status, "-" if isnan(p.credit) else percent(p.credit),
                      *(shown(c.parameters[name]) for c in points)])
        for name, p in audit.parameters.items()
    ], left=2, comments=[audit.title])  # fmt: skip
