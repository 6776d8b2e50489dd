"""`etp train`: train a model on a task, keep everything in a run folder, go on from one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import evolve
from rich.console import Console
from rich.markup import escape

from etp_ir.errors import ETPError

from . import options
from .app import app


@app.command()
def train(
    context: typer.Context,
    task: options.Task = "digits",
    model: options.Model = "gru",
    rule: options.Rule = "d_rtrl",
    backend: options.Backend = "auto",
    update: options.Update = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs in all, resumed ones included. \\[default: the model's]"),
    ] = None,
    seed: options.Seed = 0,
    hidden: options.Hidden = None,
    lr: Annotated[
        float | None, typer.Option(min=0, help="First learning rate. \\[default: the model's]")
    ] = None,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of a gradient.")] = 1.0,
    weight_decay: Annotated[
        float | None, typer.Option(min=0, help="Decay of the weights. \\[default: the model's]")
    ] = None,
    batch_size: options.BatchSize = 32,
    loss_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Last steps that carry the loss. \\[default: the model's]"),
    ] = None,
    window: options.Window = None,
    scope: options.Scope = None,
    tail: options.Tail = "diagonal",
    schedule: options.Schedule = "auto",
    by: options.By = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder, new or empty. \\[default: runs/<time>-<model>-<rule>]"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Run folder to go on with, bit for bit.")
    ] = None,
) -> None:
    """Train a model, with a checkpoint after every epoch and at Ctrl-C.

    Weights are updated while the input arrives: no backpropagation through time, unless the rule
    is bptt.
    """
    from ..runs import RunError

    if resume is not None:
        fixed = _given(context) - {"task", "epochs", "resume"}
        if fixed:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(fixed))
            raise RunError(f"a resumed run keeps its settings: {names} cannot be given")
        _go_on(resume, epochs, task if "task" in _given(context) else None)
        return
    asked = {
        name: value for name, value in context.params.items()
        if name not in ("task", "by", "out", "resume")
    }  # fmt: skip
    _begin(task, by, out, asked)


def _given(context: typer.Context) -> set[str]:
    """Return the parameters that stood on the command line."""
    return {
        name for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }  # fmt: skip


def _begin(name: str, by: str | None, out: Path | None, asked: dict[str, Any]) -> None:
    from .. import tasks
    from ..runs import DUMP, REPORT, Progress, RunFolder
    from .settings import open_session, settle

    if out is not None:
        RunFolder.check_free(out)
    task = tasks.load(name, by)
    config = settle(task, asked)
    session = open_session(config, task)
    learner = session.learner
    # What may fail or be interrupted comes first: a run folder always has a checkpoint.
    report, compiled, state = learner.report(), learner.program.compiled, learner.state_dict()
    folder = RunFolder.create(out or _fresh(f"{config.model}-{learner.options.rule.name}"), config)
    progress = Progress()
    folder.save(state, progress)
    folder.write(REPORT, str(report))
    folder.write(DUMP, str(compiled))
    folder.keep_weights(0, state["params"])
    _run(session, folder, progress)


def _fresh(name: str) -> Path:
    """Return a folder under ``runs`` that does not exist, named by the time."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    paths = (Path("runs") / f"{stamp}{again}-{name}" for again in ("", *"bcdefghij"))
    return next(path for path in paths if not path.exists())


def _go_on(path: Path, epochs: int | None, task_name: str | None) -> None:
    from .. import tasks
    from ..runs import CONFIG, RunError, RunFolder
    from .settings import open_session

    folder, config = RunFolder.open(path)
    if task_name not in (None, config.task):
        raise RunError(f"the run in {path} is about {config.task}, not {task_name}")
    state, progress = folder.load()
    total = epochs or config.epochs
    if len(progress.epochs) >= total:
        raise RunError(
            f"the run in {path} has done its {len(progress.epochs)} epochs; "
            "give the number of epochs in all with --epochs to go on"
        )
    config = evolve(config, epochs=total)
    session = open_session(config, tasks.load(config.task, config.by))
    try:
        session.learner.load_state_dict(state)
    except ETPError as error:
        raise RunError(
            f"the checkpoint in {path} does not fit its settings, {CONFIG}: {error}\n"
            "restore the settings that the run was made with, or start a new run"
        ) from error
    folder.write_config(config)
    _run(session, folder, progress)


def _run(session: Any, folder: Any, progress: Any) -> None:
    """Train to the end with a live view, then draw the curve and say how it went.

    Raises
    ------
    typer.Exit
        With code 130 if the run was stopped.
    """
    from ..plotting import learning_curve
    from ..recipes import recipe
    from ..runs import CURVE
    from .display import Display, ending, head
    from .interrupt import stoppable
    from .training import train as train_epochs

    console = Console(highlight=False)
    config = session.config
    total = session.batches(0).total
    done = total * len(progress.epochs) + len(progress.batches)
    head(console, session, folder.path, resumed=len(progress.epochs) + 1 if done else None)
    finished = False
    measured = session.learner.engine.loss.metrics
    with (
        Display(console, config, total, done, measured) as display,
        stoppable(display.notice) as stop,
    ):
        try:
            finished = train_epochs(session, folder, progress, display, stop)
        except KeyboardInterrupt:
            progress = folder.load()[1]
    if progress.epochs:
        title = f"{recipe(config.model).title} on {session.task.title}, {session.rule.label}"
        learning_curve(folder.path / CURVE, progress.epochs, title)
    if finished:
        ending(console, progress.epochs)
    else:
        at = f"epoch {len(progress.epochs) + 1}, batch {len(progress.batches)} of {total}"
        console.print(f"\n  stopped in {at}; go on with", style="yellow")
        console.print(
            f"  etp train {config.task} --resume {escape(str(folder.path))}", soft_wrap=True
        )
        raise typer.Exit(130)
