"""`etp check`: a rule's certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from . import options
from .app import app

CONTRADICTED = 1


@app.command()
def check(
    rule: Annotated[
        str, typer.Argument(help="A rule that `etp rules` lists, or my_rule.py:MyRule.")
    ],
    models: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between them, cells of etp.nn included. "
            "\\[default: thirteen small models]"
        ),
    ] = None,
    window: options.Window = None,
    scope: options.Scope = None,
    tail: options.Tail = "diagonal",
    length: Annotated[int, typer.Option(min=4, help="Steps of the probes.")] = 8,
    costs: Annotated[bool, typer.Option(help="Measure what growing models cost.")] = True,
    details: Annotated[bool, typer.Option("--details", help="A line per parameter.")] = False,
    json: Annotated[Path | None, typer.Option(help="File for all of it as JSON.")] = None,
    latex: Annotated[Path | None, typer.Option(help="File for the table in LaTeX.")] = None,
) -> None:
    """Print a rule's certificate: where it is exact, how far off elsewhere, at what cost.

    Every number is measured. The exit code is 1 where something contradicts what is claimed.
    """
    from ..study.certificate import certify
    from ..study.certificate_subject import subject

    found = subject(rule)
    chosen = [n.strip() for n in models.split(",") if n.strip()] if models else None
    given: dict[str, Any] = {"window": window, "scope": scope}
    given = {n: x for n, x in given.items() if x is not None}
    if tail != "diagonal":
        given["tail"] = tail
    console = Console(highlight=False)
    with Console(stderr=True).status("compiling") as status:
        certificate = certify(
            found, models=chosen, options=given, length=length, with_costs=costs,
            heard=lambda what: status.update(f"[dim]{found.rule.name}: {what}[/]"),
        )  # fmt: skip
    certificate.print(console, details=details)
    write(json, certificate.to_json)
    write(latex, certificate.to_latex)
    if not certificate.ok:
        raise typer.Exit(CONTRADICTED)


def write(path: Path | None, text: Any) -> None:
    """Write what a function returns to a file, if one was asked for.

    Raises
    ------
    etp.ETPError
        If the file cannot be written.
    """
    from ..runs import RunError

    if path is None:
        return
    try:
        path.write_text(text(), encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}") from error
