"""`etp audit`: what gradient a run was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from .app import INTERRUPTED, app
from .check import CONTRADICTED
from .files import check_paths, write

if TYPE_CHECKING:
    from ..model import Module


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

    The exit code is 1 where a parameter is called exact and is not. Ctrl-C ends it and shows the
    points of training that are done.
    """
    from .. import tasks
    from ..runs import AUDIT, RunFolder
    from ..study.audit import audit as take
    from ..study.audit_text import chosen
    from ..study.certificate_subject import subject
    from ..study.modulators import supplied
    from .interrupt import raising
    from .settings import model_of

    folder, config = RunFolder.open(run)
    picture = plot or folder.path / AUDIT
    check_paths(picture, json, latex)
    task, asked = tasks.load(config.task, config.by), subject(config.rule)
    model = model_of(config, task)
    along = folder.weights()
    epochs = list(along)
    points = {epochs[i]: along[epochs[i]] for i in chosen(len(epochs), checkpoints)}
    state, progress = folder.load()
    if progress.batches or not points:  # stopped within an epoch, or a run of before
        points = {**points, len(progress.epochs) + (1 if progress.batches else 0): state["params"]}
    _check_fit(folder.path, model, points)
    xs, ys = task.test.batch(examples)
    console = Console(highlight=False)
    with Console(stderr=True).status("compiling") as status, raising():
        found = take(
            model, supplied(asked.rule, task), task.loss, xs, ys, task.mask(config.loss_steps),
            checkpoints=points, update=config.update, lag_examples=lag_examples,
            options={"window": config.window, "scope": config.scope, "tail": config.tail},
            title=f"{config.model} on {task.title}", label=asked.label,
            heard=lambda what: status.update(f"[dim]{asked.label}: {what}[/]"),
        )  # fmt: skip
    found.print(console)
    found.plot(picture)
    console.print(f"\n[dim]drawn in {escape(str(picture))}[/]", soft_wrap=True)
    write(json, found.to_json)
    write(latex, found.to_latex)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not found.ok:
        raise typer.Exit(CONTRADICTED)


def _check_fit(path: Path, model: Module, points: Mapping[int, Mapping[str, Any]]) -> None:
    """Raise if weights along training are not those of the model that a run's settings make."""
    from ..runs import CONFIG, RunError

    wanted = {n: tuple(np.shape(p.value)) for n, p in model.named_params().items()}
    for epoch, params in points.items():
        kept = {n: tuple(np.shape(x)) for n, x in params.items()}
        odd = [n for n in {**wanted, **kept} if wanted.get(n) != kept.get(n)]
        if odd:
            name = odd[0]
            raise RunError(
                f"the weights after {epoch} epochs do not fit {path / CONFIG}: {name} has shape "
                f"{kept.get(name, 'none')} there and {wanted.get(name, 'none')} in the model\n"
                "restore the settings that the run was made with, or train again"
            )
