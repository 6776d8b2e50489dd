"""What training looks like in a terminal: a head, one line per epoch, a bar below, an end."""

from __future__ import annotations

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
from ..runs import Config
from .models import recipe
from .settings import Session

COLUMNS = ("epoch", "train loss", "train acc", "test loss", "test acc", "time")
WIDTHS = (7, 12, 11, 12, 11, 9)


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
    """

    def __init__(self, console: Console, config: Config, total: int, done: int) -> None:
        self.console = console
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
        self.console.print(_line(COLUMNS), style="dim", highlight=False)
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
        loss, accuracy = (fmean(r[name] for r in self.rows) for name in ("loss", "accuracy"))
        self.bar.update(
            self.task, advance=1, description=f"epoch {epoch + 1}/{self.epochs}",
            metrics=f"loss {loss:.4f}  accuracy {accuracy:6.1%}",
        )  # fmt: skip

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the line of an epoch."""
        self.rows = []
        cells = (
            str(row["epoch"]), f"{row['train_loss']:.4f}", f"{row['train_accuracy']:.1%}",
            f"{row['test_loss']:.4f}", f"{row['test_accuracy']:.1%}", f"{row['seconds']:.1f} s",
        )  # fmt: skip
        self.console.print(_line(cells), highlight=False)

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
        ("data", f"{task.name} by {task.by}: {len(task.train)} to train on, {len(task.test)} to "
                 f"test on, {task.length} steps of {task.n_in}"),
        ("model", f"{recipe(config.model).title}, {config.hidden} units, {weights:,} weights"),
        ("rule", f"{config.rule}, window {report.window}, scope {report.scope}, "
                 f"update per {update}, schedule {report.schedule}"),
        ("runs on", f"{config.backend}, batches of {config.batch_size}"),
        ("run folder", f"{folder}" + (f", resumed in epoch {resumed}" if resumed else "")),
    )  # fmt: skip
    found = by_kind(r for r in report.diagnostics if r.level is DiagnosticLevel.WARNING)
    grave = [("warning", f"{kind.code} {first.message}") for kind, (first, *_) in found.items()]
    for name, text in (*rows, *grave):
        console.print(f"  [dim]{name:<11}[/]{escape(text)}", highlight=False, soft_wrap=True)
    console.print()


def ending(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the summary of a finished run."""
    seconds = sum(row["seconds"] for row in rows)
    last = rows[-1]
    console.print(
        f"\n  [bold]test accuracy {last['test_accuracy']:.1%}[/] after {last['epoch']} epochs "
        f"in {_clock(seconds)}", highlight=False,
    )  # fmt: skip


def _line(cells: tuple[str, ...]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
