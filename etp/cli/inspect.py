"""`etp report`, `etp explain` and `etp dump`: what a model compiles to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import fields
from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.text import Text
from rich.theme import Theme

from etp_ir.errors import ETPError, nearest

from ..learner import Learner
from . import options
from .app import app
from .files import check_paths, write


class Programs(RegexHighlighter):
    """Colours for the text of programs."""

    base_style = "ir."
    highlights = [
        r"(?P<value>%[\w.]+)",
        r"(?P<name>@[\w.]+)",
        r"(?P<type>\b(?:f16|f32|f64|bf16|i32|i64|u32|bool)\[[\d,]*\])",
        r"= (?P<primitive>[\w.]+)",
        r"\b(?P<word>program|return)\b",
        r"(?P<attrs>\{[^{}]*\})",
        r"(?P<comment>//.*)",
    ]


THEME = Theme({
    "ir.value": "cyan", "ir.name": "bold", "ir.type": "green", "ir.primitive": "bold",
    "ir.word": "magenta", "ir.attrs": "dim", "ir.comment": "dim italic",
})  # fmt: skip


@app.command()
def report(
    model: options.Model = "gru",
    rule: options.Rule = "d_rtrl",
    task: options.Task = "digits",
    backend: options.Backend = "auto",
    update: options.Update = None,
    hidden: options.Hidden = None,
    batch_size: options.BatchSize = 32,
    window: options.Window = None,
    scope: options.Scope = None,
    tail: options.Tail = "diagonal",
    schedule: options.Schedule = "auto",
    by: options.By = None,
) -> None:
    """Print what each parameter's gradient is, and what traces cost."""
    learner = _learner(
        task, by,
        model=model, rule=rule, backend=backend, update=update, hidden=hidden,
        batch_size=batch_size, window=window, scope=scope, tail=tail, schedule=schedule,
    )  # fmt: skip
    learner.report().print(Console(highlight=False))


@app.command()
def explain(
    name: Annotated[
        str | None, typer.Argument(help="A parameter or a state, for example cell.h.")
    ] = None,
    model: options.Model = "gru",
    rule: options.Rule = "d_rtrl",
    hidden: options.Hidden = None,
    window: options.Window = None,
    scope: options.Scope = None,
    tail: options.Tail = "diagonal",
    full: Annotated[bool, typer.Option("--full", help="Shorten nothing.")] = False,
) -> None:
    """Print the story of one parameter or state; without a name, what can be named."""
    learner = _learner(
        "digits", None,
        model=model, rule=rule, backend="numpy", update=None, hidden=hidden,
        batch_size=32, window=window, scope=scope, tail=tail, schedule="auto",
    )  # fmt: skip
    graph = learner.graph
    console = Console(highlight=False)
    names = [*graph.statuses, *graph.states]
    text = graph.explain(name, full=full) if name is not None else "\n".join(names)
    console.print(text, markup=False, soft_wrap=True)


@app.command()
def dump(
    stage: Annotated[
        str, typer.Option(help="traced, compiled, batched or scheduled.")
    ] = "compiled",
    model: options.Model = "gru",
    rule: options.Rule = "d_rtrl",
    task: options.Task = "digits",
    update: options.Update = None,
    hidden: options.Hidden = None,
    batch_size: options.BatchSize = 32,
    window: options.Window = None,
    scope: options.Scope = None,
    tail: options.Tail = "diagonal",
    schedule: options.Schedule = "auto",
    by: options.By = None,
    out: Annotated[Path | None, typer.Option(help="File to write to.")] = None,
) -> None:
    """Print the program of a stage, in the text that etp_ir reads back."""
    from ..compiled import Stages

    stages = [field.name for field in fields(Stages)]
    if stage.lower() not in stages:
        raise ETPError(f"no stage {stage!r}{nearest(stage, stages)}")
    check_paths(out)
    learner = _learner(
        task, by,
        model=model, rule=rule, backend="numpy", update=update, hidden=hidden,
        batch_size=batch_size, window=window, scope=scope, tail=tail, schedule=schedule,
    )  # fmt: skip
    text = str(getattr(learner.program, stage.lower()))
    if out is None:
        Console(theme=THEME).print(Programs()(Text(text)), soft_wrap=True, end="")
        return
    write(out, lambda: text)


def _learner(task: str, by: str | None, **asked: Any) -> Learner:
    from .. import tasks
    from .settings import open_session, settle

    loaded = tasks.load(task, by)
    return open_session(settle(loaded, {"clip": 1.0, "seed": 0, **asked}), loaded).learner
