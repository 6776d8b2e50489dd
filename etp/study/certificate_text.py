"""Certificates for people: tables in a terminal, and one in LaTeX."""

from __future__ import annotations

from io import StringIO
from math import isnan
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..compiler.status import EXACT, UNBIASED
from .alignment import Alignment
from .certificate_checks import CHECKS, HOLDS, NOT_ASKED, SAME, Finding
from .latex import code, tex
from .latex import table as table_in_latex

if TYPE_CHECKING:
    from .certificate import Certificate, ModelCertificate

# Lags that a table has room for.
LAGS = (0, 1, 2, 4, 7)
WIDTH = 140


def text(certificate: Certificate) -> str:
    """Return the tables as plain text."""
    out = StringIO()
    show(certificate, Console(file=out, width=WIDTH, no_color=True))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show(certificate: Certificate, console: Any = None, *, details: bool = False) -> None:
    """Print the tables.

    Parameters
    ----------
    details
        Also print a line for each parameter.
    """
    console = console or Console(highlight=False)

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    def lay(table: Table) -> None:
        # Lines may be longer than the terminal is wide, and are not cut for that.
        seen, console.width = console.width, max(WIDTH, console.width)
        console.print(table, highlight=False)
        console.width = seen

    versions = ", ".join(f"{n} {v}" for n, v in certificate.versions.items())
    say(f"[bold]{escape(certificate.rule)}[/]  {escape(certificate.title)}")
    say(f"{escape(certificate.settings)}  [dim]{escape(versions)}[/]\n")
    lay(_models(certificate))
    for m in certificate.models:
        if m.refused is not None:
            say(f"[dim]refuses the {escape(m.title)}:[/] {escape(_line(m.refused))}")
    if any(m.moments for m in certificate.models):
        console.print()
        lay(_moments(certificate))
    if details:
        console.print()
        lay(_parameters(certificate))
    if certificate.costs is not None:
        console.print()
        lay(_costs(certificate))
    console.print()
    lay(_checks(certificate))
    for f in certificate.contradictions:
        say(f"[bold red]contradicts[/] {f.check} on {f.model}: {escape(f.text)}{_against(f)}")
    for name in dict.fromkeys(f.check for f in certificate.contradictions):
        if CHECKS[name].cure:
            say(f"[dim]{name}: {escape(CHECKS[name].cure)}[/]")
    n = len(certificate.findings)
    if certificate.interrupted:
        say("\n[yellow]interrupted[/]: what was measured until then")
    if certificate.ok:
        say(f"\n[bold green]nothing contradicts[/] ({n} findings)")
    else:
        bad = len(certificate.contradictions)
        say(f"\n[bold red]{bad} of {n} findings contradict[/]" if bad else
            "\n[bold red]no model to try it on[/]")  # fmt: skip


def _against(f: Finding) -> str:
    if f.value is None:
        return ""
    return f" ({f.value:.2g}" + (f" against {f.limit:.0e})" if f.limit else ")")


def table(*columns: str, title: str = "") -> Table:
    """Return an empty table without lines: text on the left, numbers on the right."""
    found = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title=title or None,
        title_justify="left", title_style="dim",
    )  # fmt: skip
    for i, column in enumerate(columns):
        found.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    return found


def _models(certificate: Certificate) -> Table:
    lags = [k for k in LAGS if any(k in _of_lags(m) for m in certificate.models)]
    drawn = any(m.moments for m in certificate.models)
    found = table(
        "against BPTT", "exact", "cosine", "deviation", *(f"lag {k}" for k in lags), "schedule",
        title="cosine and relative deviation of the gradient; of each lag, of what the loss at T "
              "owes to step T - lag" + (", a mean over draws" if drawn else ""),
    )  # fmt: skip
    for m in certificate.models:
        if m.overall is not None:
            found.add_row(*row(m, lags), m.schedule)
    return found


def row(m: ModelCertificate, lags: list[int]) -> list[str]:
    """Return the cells of a model: title, exact parameters, the whole gradient, lags."""
    assert m.overall is not None
    found = _of_lags(m)
    cells = [cell(found[k]) if k in found else "-" for k in lags]
    same = m.overall.deviation < SAME
    unbiased = m.count(UNBIASED)
    exact = f"{m.count(EXACT)} of {len(m.parameters)}"
    return [
        m.title, f"{exact}, {unbiased} unbiased" if unbiased else exact, _cosine(m.overall),
        "equal" if same else f"{m.overall.deviation:.2g}", *cells,
    ]  # fmt: skip


def cell(a: Alignment) -> str:
    """Return how a share stands to the exact one, in a few letters."""
    if a.reference == 0:
        return "-"
    if a.deviation < SAME:
        return "equal"
    if a.norm == 0:
        return "none"
    return f"{a.cosine:.2f} ({a.deviation:.2g})"


def _cosine(a: Alignment) -> str:
    return "-" if isnan(a.cosine) else f"{a.cosine:.3f}"


def _of_lags(m: ModelCertificate) -> dict[int, Alignment]:
    return {s.lag: s.overall for s in m.lags.shares} if m.lags else {}


def _moments(certificate: Certificate) -> Table:
    found = table(
        "over draws", "draws", "bias", "noise", "variance", "off by",
        title="of one example: bias and its standard error relative to the gradient, variance of "
              "one draw",
    )  # fmt: skip
    for m in certificate.models:
        if m.moments is not None:
            s = m.moments
            found.add_row(m.title, str(s.draws), f"{s.bias:.2g}", f"{s.noise:.1g}",
                          f"{s.variance:.2g}", f"{s.score:.1f} errors")  # fmt: skip
    return found


def _parameters(certificate: Certificate) -> Table:
    found = table("parameter", "status", "cosine", "deviation", "ratio", "because")
    for m in certificate.models:
        if m.parameters:
            found.add_row(f"[bold]{escape(m.title)}[/]")
        for name, p in m.parameters.items():
            a = p.alignment
            dev = "equal" if a.deviation < SAME else f"{a.deviation:.2g}"
            found.add_row(f"  {name}", p.status, _cosine(a), dev, f"{a.ratio:.2g}",
                          escape(_line(p.reason)))  # fmt: skip
    found.columns[-1].justify = "left"
    found.columns[-1].no_wrap = False
    return found


def _costs(certificate: Certificate) -> Table:
    c = certificate.costs
    assert c is not None
    grows = ", ".join(f"{n.replace('_', ' ')} as n^{p:g}" for n, p in c.powers.items())
    found = table(
        "units", "weights", "flop per step", "traces by formula", "measured", "time per step",
        "in chunks", title=f"cost on the {c.model}, batch of {c.batch}" +
        (f"; growth: {grows}" if grows else ""),
    )  # fmt: skip
    for r in c.rows:
        by_step = "-" if r.seconds_by_step is None else f"{r.seconds_by_step * 1e6:.0f} µs"
        held = "-" if r.measured_bytes is None else f"{r.measured_bytes:,} B"
        found.add_row(str(r.units), f"{r.weights:,}", f"{r.flops:,}", f"{r.trace_bytes:,} B",
                      held, by_step, f"{r.seconds * 1e6:.0f} µs")  # fmt: skip
    return found


def _checks(certificate: Certificate) -> Table:
    found = table("what must hold", "holds", "not asked", "contradicts", "worst", "limit")
    for name, one in CHECKS.items():
        mine = [f for f in certificate.findings if f.check == name]
        if not mine:
            continue
        counts = [sum(f.verdict == v for f in mine) for v in (HOLDS, NOT_ASKED)]
        bad = len(mine) - sum(counts)
        worst = _worst(mine)
        found.add_row(
            one.sentence, *(str(n) if n else "" for n in counts),
            f"[bold red]{bad}[/]" if bad else "",
            f"{worst.value:.1e}" if worst else "", f"{worst.limit:.0e}" if worst else "",
        )  # fmt: skip
    return found


def _worst(findings: list[Finding]) -> Finding | None:
    """Return the finding nearest to its upper limit, or past it."""
    near = [
        f for f in findings
        if f.verdict != NOT_ASKED and f.value is not None and f.limit in (SAME, *_LIMITS)
    ]  # fmt: skip
    return max(near, key=lambda f: f.value or 0.0, default=None)


_LIMITS: tuple[float, ...] = (3e-5, 5.0)


def _line(text: str) -> str:
    return text.splitlines()[0] if text else ""


# -- LaTeX ----------------------------------------------------------------------------------
def latex(certificate: Certificate) -> str:
    """Return the table of models, for the ``booktabs`` package."""
    lags = [k for k in LAGS if any(k in _of_lags(m) for m in certificate.models)]
    columns = ["model", "exact", r"$\cos$", *(f"$k={k}$" for k in lags)]
    caption = (
        rf"{code(certificate.rule)} against back-propagation through time: parameters with an "
        "exact gradient, cosine (below it, relative deviation) of the gradient, and of what the "
        "loss at step $T$ owes to step $T-k$."
    )
    return table_in_latex(
        caption, columns, [(tex(m.title), _cells(m, lags)) for m in certificate.models],
        comments=[certificate.settings],
    )  # fmt: skip


def _cells(m: ModelCertificate, lags: list[int]) -> list[str]:
    """Return a model's cells for LaTeX, but for its title."""
    if m.overall is None:
        return ["refused", *[""] * (1 + len(lags))]
    found, unbiased = _of_lags(m), m.count(UNBIASED)
    exact = f"{m.count(EXACT)}/{len(m.parameters)}" + (f", {unbiased} unbiased" * (unbiased > 0))
    return [exact, cell(m.overall), *(cell(found[k]) if k in found else "-" for k in lags)]
