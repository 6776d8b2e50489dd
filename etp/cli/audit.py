"""`etp audit`: what gradient a run was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from .app import app
from .check import CONTRADICTED, write


@app.command()
def audit(
    run: Annotated[Path, typer.Argument(help="A run folder that `etp train` has made.")],
    examples: Annotated[int, typer.Option(min=1, help="Sequences to take gradients on.")] = 32,
    checkpoints: Annotated[
        int, typer.Option(min=1, help="Points of training to look at, at most.")
    ] = 7,
    lag_examples: Annotated[
        int, typer.Option(min=0, help="Sequences on which credit is told by lag; 0 for none.")
    ] = 4,
    json: Annotated[Path | None, typer.Option(help="File for all of it as JSON.")] = None,
    latex: Annotated[Path | None, typer.Option(help="File for the table in LaTeX.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture. \\[default: audit.png in the run folder]")
    ] = None,
) -> None:
    """Tell how a run's gradients stood to BPTT, per parameter and lag, and why.

    The exit code is 1 where a parameter is called exact and is not.
    """
    from .. import tasks
    from ..runs import AUDIT, RunFolder
    from ..study.audit import audit as take
    from ..study.audit_text import chosen
    from .settings import model_of

    folder, config = RunFolder.open(run)
    task = tasks.load(config.task, config.by)
    along = folder.weights()
    epochs = list(along)
    points = {epochs[i]: along[epochs[i]] for i in chosen(len(epochs), checkpoints)}
    state, progress = folder.load()
    if progress.batches or not points:  # stopped within an epoch, or a run of before
        points = {**points, len(progress.epochs) + (1 if progress.batches else 0): state["params"]}
    xs, ys = task.test.batch(examples)
    console = Console(highlight=False)
    with Console(stderr=True).status("compiling") as status:
        found = take(
            model_of(config, task), config.rule, task.loss, xs, ys, task.mask(config.loss_steps),
            checkpoints=points, update=config.update, lag_examples=lag_examples,
            options={"window": config.window, "scope": config.scope, "tail": config.tail},
            title=f"{config.model} on {task.title}",
            heard=lambda what: status.update(f"[dim]{config.rule}: {what}[/]"),
        )  # fmt: skip
    found.print(console)
    picture = plot or folder.path / AUDIT
    found.plot(picture)
    console.print(f"\n[dim]drawn in {escape(str(picture))}[/]", soft_wrap=True)
    write(json, found.to_json)
    write(latex, found.to_latex)
    if not found.ok:
        raise typer.Exit(CONTRADICTED)
