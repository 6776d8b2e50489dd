"""`etp compare`: learning rules side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from . import options
from .app import INTERRUPTED, app
from .files import check_paths, write

NOTHING_RAN = 1
# Tables are cut where the terminal is narrower than this.
MIN_WIDTH = 118


@app.command()
def compare(
    rules: Annotated[
        str,
        typer.Option(
            help="Learning rules with commas between them; `etp rules` lists them. Or "
            "my_rule.py:MyRule; arguments in brackets."
        ),
    ] = "bptt,d_rtrl,pp_prop",
    model: options.Model = "leaky_rnn",
    task: Annotated[
        str, typer.Option(help="copy_memory, delayed_match, evidence, sines or digits.")
    ] = "delayed_match",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each rule.")] = 5,
    updates: Annotated[int, typer.Option(min=1, help="Batches of each training.")] = 400,
    points: Annotated[int, typer.Option(min=2, help="Looks at each network in training.")] = 9,
    hidden: Annotated[int, typer.Option(min=1, help="Hidden units.")] = 32,
    batch_size: options.BatchSize = 32,
    lr: Annotated[
        float | None, typer.Option(min=0, help="First learning rate. \\[default: the model's]")
    ] = None,
    update: Annotated[
        str, typer.Option(help="When weights change: at every step, every K, or per sequence.",
                          metavar="step|K|sequence"),
    ] = "sequence",
    window: options.Window = None,
    scope: options.Scope = None,
    backend: options.Backend = "numpy",
    by: options.By = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the picture. \\[default: MODEL-TASK.png]")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for all of it as JSON.")] = None,
    latex: Annotated[Path | None, typer.Option(help="File for the table in LaTeX.")] = None,
) -> None:  # fmt: skip
    """Train one model by several rules, and draw what they learn and how true their gradients are.

    Learning curves and alignment to back-propagation through time go into a picture and into
    tables, with what a step costs. A rule that refuses the model is listed with its reason; where
    all do, the exit status is 1. Ctrl-C ends the training and shows what was measured.
    """
    from .. import tasks
    from ..study.compare import compare as run
    from ..study.compare import split_rules
    from .interrupt import stoppable
    from .settings import as_update

    loaded = tasks.load(task, by)
    names = list(dict.fromkeys(split_rules(rules)))
    given = {n: x for n, x in (("window", window), ("scope", scope)) if x is not None}
    picture = out or Path(f"{model.lower()}-{loaded.name}.png")
    check_paths(picture, json, latex)
    console = Console(highlight=False)
    bar = _bar(len(names) * seeds * updates)
    with bar, stoppable(lambda: bar.console.print("stopping", style="yellow")) as stop:

        def watch(label: str, seed: int, done: int, loss: float) -> bool:
            bar.update(
                bar.task_ids[0], advance=1, rule=f"{label}, seed {seed}, update {done}",
                metrics=f"loss {loss:.4f}",
            )  # fmt: skip
            return stop.asked

        found = run(
            names, model.lower(), loaded, seeds=seeds, updates=updates, points=points,
            hidden=hidden, batch_size=batch_size, lr=lr, update=as_update(update),
            backend=backend, options=given, watch=watch,
        )  # fmt: skip
    console.width = max(console.width, MIN_WIDTH)
    found.print(console)
    write(json, found.to_json)
    write(latex, found.to_latex)
    if any(rule.runs for rule in found.rules):
        found.plot(picture)
        console.print(f"\ndrawn into {picture}", markup=False, soft_wrap=True)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not any(rule.runs for rule in found.rules):
        console.print(
            "\nnothing was trained: every rule refuses; `etp rules` lists others",
            style="red", markup=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(NOTHING_RAN)


def _bar(total: int) -> Any:
    """Return a progress bar over all updates, on the error output."""
    from rich.progress import BarColumn, Progress, TextColumn

    from .display import TimeLeft

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("  {task.fields[rule]}"),
        BarColumn(bar_width=28, complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.fields[metrics]}"), TimeLeft(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    bar.add_task("", total=total, rule="", metrics="[dim]compiling[/]")
    return bar
