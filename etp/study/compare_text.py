"""A comparison of learning rules in a terminal, as text, and in LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import StringIO
from math import isnan
from typing import Any

from .compare_result import Comparison, Mean, RuleResult
from .latex import code, table, tex

Row = list[str]
# Points of the training in a table; a mean relative deviation below which gradients are the same.
COLUMNS, SAME = 5, 1e-3


def show(found: Comparison, console: Any = None) -> None:
    """Print rules with their costs, learning curves, alignment over training and by parameter."""
    from rich.console import Console
    from rich.markup import escape

    console = console or Console(highlight=False)
    for line in heading(found):
        console.print(escape(line), highlight=False, soft_wrap=True)
    for title, columns, rows in tables(found):
        console.print(f"\n[bold]{title}[/]", highlight=False)
        console.print(_grid(columns, rows))
    for line in notes(found):
        console.print(escape(line), style="yellow", highlight=False, soft_wrap=True)


def text(found: Comparison) -> str:
    """Return what `show` prints."""
    from rich.console import Console

    out = StringIO()
    show(found, Console(file=out, width=140, no_color=True))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def heading(found: Comparison) -> list[str]:
    """Return what was compared, in lines."""
    s = found.setting
    chance = ", ".join(f"{name} {_metric(name)(x)}" for name, x in found.chance.items())
    seeds = f"{len(s['seeds'])} seed{'s' * (len(s['seeds']) > 1)}"
    return [
        f"{found.model} on {found.task}, {seeds}: mean ± standard deviation on the test set",
        f"{s['updates']} batches of {s['batch_size']} sequences of {s['steps']} steps, "
        f"update per {s['update']}, Adam from {s['lr']:g}, on {s['backend']}",
        f"who knows nothing: {chance}",
    ]


def tables(found: Comparison) -> Iterable[tuple[str, Row, list[Row]]]:
    """Yield the tables: title, columns, rows."""
    rules = [rule for rule in found.rules if rule.runs]
    yield "in all", *overview(found)
    updates = _some(found.updates)
    if not rules:
        return
    columns = ["rule", *map(str, updates)]
    yield (
        "test loss after updates",
        columns,
        [[r.label, *(_pm(r.metric("loss", u), _loss) for u in updates)] for r in rules],
    )
    yield (
        "gradient against back-propagation through time: cosine, x ratio of norms",
        columns,
        [[r.label, *(_aligned(r, u, None) for u in updates)] for r in rules],
    )
    pairs = [
        (name, r) for name in found.parameters for r in rules
        if not r.aligned("deviation", parameter=name).mean < SAME
    ]  # fmt: skip
    yield (
        "the same for each parameter, where they are not the same",
        ["parameter", *columns],
        [[name, r.label, *(_aligned(r, u, name) for u in updates)] for name, r in pairs],
    )


def _some(updates: list[int]) -> list[int]:
    """Return as many of the numbers of updates as a table has columns for, the ends included."""
    count = min(COLUMNS, len(updates))
    if count < 2:
        return updates
    places = [round(k * (len(updates) - 1) / (count - 1)) for k in range(count)]
    return [updates[place] for place in places]


def overview(found: Comparison) -> tuple[Row, list[Row]]:
    """Return columns and rows of the table of rules: what they reach, and what they cost."""
    metrics = list(found.chance)
    columns = ["rule", *metrics, "cosine", "norm ratio", "flop/step", "traces", "time/step"]
    return columns, [_summary(rule, metrics) for rule in found.rules]


def notes(found: Comparison) -> list[str]:
    """Return why rules were refused, what modulates them, or why runs ended early."""
    lines = [f"{r.label}: modulated by {r.modulator}" for r in found.rules if r.modulator]
    lines += [f"{r.label}: {r.refused}" for r in found.rules if r.refused]
    lines += [f"{r.label}: {r.stopped}" for r in found.rules if r.stopped]
    if found.interrupted:
        lines.append("interrupted: what was measured until then")
    return lines


def latex(found: Comparison) -> str:
    """Return the table of rules and costs in LaTeX, with booktabs."""
    columns, rows = overview(found)
    return table(
        tex(heading(found)[0].replace(":", ";", 1)) + ". Cosine and norm of the gradient are "
        "against back-propagation through time, means over training.",
        [tex(c) for c in columns], [(code(label), cells) for label, *cells in rows],
        comments=[*heading(found)[1:], *notes(found)],
    )  # fmt: skip


def _summary(rule: RuleResult, metrics: list[str]) -> Row:
    if rule.refused and not rule.runs:
        return [rule.label, "refused", *["-"] * (len(metrics) + 4)]
    if rule.cost is None:
        return [rule.label, *["-"] * (len(metrics) + 5)]
    cost = rule.cost
    return [
        rule.label, *(_pm(rule.final(name), _metric(name)) for name in metrics),
        _pm(rule.aligned("cosine"), _share), _pm(rule.aligned("ratio"), _share),
        amount(cost.flops), amount(cost.trace_bytes) + "B" if cost.trace_bytes else "none",
        _time(cost.seconds),
    ]  # fmt: skip


def _aligned(rule: RuleResult, update: int, parameter: str | None) -> str:
    cosine, ratio = (rule.aligned(what, update, parameter) for what in ("cosine", "ratio"))
    return f"{_share(cosine.mean)} x{_share(ratio.mean)}"


def _pm(found: Mean, form: Callable[[float], str]) -> str:
    if not found.count:
        return "-"
    if found.count == 1:
        return form(found.mean)
    spread = f"{found.spread:.1g}" if form is _loss else form(found.spread)
    return f"{form(found.mean)} ± {spread}"


def _metric(name: str) -> Callable[[float], str]:
    return _percent if name == "accuracy" else _loss


def _percent(x: float) -> str:
    return f"{x:.1%}"


def _loss(x: float) -> str:
    return "-" if isnan(x) else f"{x:#.3g}"


def _share(x: float) -> str:
    return "-" if isnan(x) else f"{x:.2f}"


def _time(seconds: float) -> str:
    return "-" if isnan(seconds) else f"{1e6 * seconds:.0f} µs"


def amount(n: float) -> str:
    """Return a number with a unit prefix."""
    for unit in ("", "k", "M", "G"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} T"


def _grid(columns: Row, rows: list[Row]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(columns):
        left = index == 0 or name == "rule"
        table.add_column(escape(name), justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
