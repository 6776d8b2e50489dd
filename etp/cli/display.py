"""What training looks like in a terminal: a head, one line per epoch, a bar below, an end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from ..compiler.diagnostics import DiagnosticLevel, by_kind
from ..recipes import recipe
from ..runs import Config
from ..study.modulators import told
from .settings import Session

SHORT = {"accuracy": "acc"}


class TimeLeft(ProgressColumn):
    """Time to the end, from the pace of the batches since the first one was done."""

    def render(self, task: Task) -> Text:
        """Return the time left, or nothing until it can be told."""
        if task.finished or not task.time_remaining:
            return Text("")
        return Text(f"{_clock(task.time_remaining)} left", style="progress.remaining")


class Display:
    """A live view of one run; where the output is no terminal, one line per epoch.

    Parameters
    ----------
    total
        Batches per epoch.
    done
        Batches that an earlier session has trained on.
    metrics
        What is measured beside the loss.
    """

    def __init__(
        self, console: Console, config: Config, total: int, done: int, metrics: Iterable[str]
    ) -> None:
        self.console = console
        self.metrics = {SHORT.get(name, name): name for name in ("loss", *metrics)}
        self.epochs = config.epochs
        self.bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=28, complete_style="cyan", finished_style="cyan"),
            TextColumn("{task.fields[metrics]}"),
            TimeLeft(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task(
            "", total=total * config.epochs, completed=done, metrics="[dim]compiling[/]"
        )
        self.started = False
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Display:
        parts = [f"{part} {name}" for part in ("train", "test") for name in self.metrics]
        self.console.print(self.line(("epoch", *parts, "time")), style="dim", highlight=False)
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.bar.stop()

    def batch(self, epoch: int, row: dict[str, Any]) -> None:
        """Move the bar on by one batch."""
        if not self.started:
            # The first batch waits for the compiler: it says nothing about the pace.
            self.started = True
            self.bar.reset(self.task, completed=int(self.bar.tasks[0].completed))
        self.rows.append(row)
        means = {name: fmean(r[name] for r in self.rows) for name in self.metrics.values()}
        text = "  ".join(f"{name} {_figure(name, x):>6}" for name, x in means.items())
        self.bar.update(
            self.task, advance=1, description=f"epoch {epoch + 1}/{self.epochs}", metrics=text
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the line of an epoch."""
        self.rows = []
        figures = [
            _figure(name, row[f"{part}_{name}"])
            for part in ("train", "test") for name in self.metrics.values()
        ]  # fmt: skip
        cells = (str(row["epoch"]), *figures, f"{row['seconds']:.1f} s")
        self.console.print(self.line(cells), highlight=False)

    def line(self, cells: tuple[str, ...]) -> str:
        """Return the cells of a line, each in its column."""
        part = (12, *[11] * (len(self.metrics) - 1))
        widths = (7, *part, *part, 9)
        return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))

    def notice(self) -> None:
        """Say that a stop was asked for."""
        self.console.print(
            "  stopping after this batch; press Ctrl-C again to stop at once", style="yellow"
        )


def head(console: Console, session: Session, folder: Path, *, resumed: int | None) -> None:
    """Print what is about to be trained, on what, and where it is kept."""
    config, task, learner = session.config, session.task, session.learner
    weights = sum(int(x.size) for x in learner.params.values())
    report = learner.report()
    update = config.update if isinstance(config.update, str) else f"{config.update} steps"
    rows = (
        ("data", f"{task.title}: {len(task.train)} to train on, {len(task.test)} to "
                 f"test on, {task.length} steps of {task.n_in}"),
        ("model", f"{recipe(config.model).title}, {config.hidden} units, {weights:,} weights"),
        ("rule", f"{session.rule.label}, window {report.window}, scope {report.scope}, "
                 f"update per {update}, schedule {report.schedule}"),
        ("modulator", told(learner.options.rule)),
        ("runs on", f"{config.backend}, batches of {config.batch_size}"),
        ("run folder", f"{folder}" + (f", resumed in epoch {resumed}" if resumed else "")),
    )  # fmt: skip
    found = by_kind(r for r in report.diagnostics if r.level is DiagnosticLevel.WARNING)
    grave = [("warning", f"{kind.code} {first.message}") for kind, (first, *_) in found.items()]
    for name, text in (row for row in (*rows, *grave) if row[1]):
        console.print(f"  [dim]{name:<11}[/]{escape(text)}", highlight=False, soft_wrap=True)
    console.print()


def ending(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the summary of a finished run."""
    seconds = sum(row["seconds"] for row in rows)
    last = rows[-1]
    name = "accuracy" if "test_accuracy" in last else "loss"
    console.print(
        f"\n  [bold]test {name} {_figure(name, last[f'test_{name}'])}[/] after {last['epoch']} "
        f"epochs in {_clock(seconds)}", highlight=False,
    )  # fmt: skip


def _figure(name: str, value: float) -> str:
    """Return a metric as text: a share for an accuracy."""
    return (
        f"{value:.1%}" if name == "accuracy" else f"{value:.4f}" if value < 1e4 else f"{value:.2e}"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
