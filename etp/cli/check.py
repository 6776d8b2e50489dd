"""`etp check`: a rule's certificate."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import define, field
from rich.console import Console

from . import options
from .app import INTERRUPTED, app
from .files import check_paths, write

if TYPE_CHECKING:
    from ..study.certificate import ModelCertificate
    from ..study.certificate_checks import Finding

CONTRADICTED = 1


@app.command()
def check(
    rule: Annotated[
        str,
        typer.Argument(
            help="A rule that `etp rules` lists, or my_rule.py:MyRule; arguments in brackets."
        ),
    ],
    models: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between them, cells of etp.nn included. "
            "\\[default: six small models]"
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All thirteen small models; twice as long.")
    ] = False,
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

    Every number is measured, in about a minute. The exit code is 1 where something contradicts
    what is claimed. Ctrl-C ends it and shows the models that are done.
    """
    from ..compiler.scope import parse_scope, parse_tail
    from ..study.certificate import certify
    from ..study.certificate_models import QUICK, SAMPLES
    from ..study.certificate_subject import subject
    from .interrupt import raising

    check_paths(json, latex)
    found = subject(rule)
    parse_scope(scope, found.rule.default_scope)
    parse_tail(tail)
    chosen = list(SAMPLES if every else QUICK)
    if models:
        chosen = [n.strip() for n in models.split(",") if n.strip()]
    given: dict[str, Any] = {"window": window, "scope": scope}
    given = {n: x for n, x in given.items() if x is not None}
    if tail != "diagonal":
        given["tail"] = tail
    console, aside = Console(highlight=False), Console(stderr=True, highlight=False)
    if found.namesake is not None:
        aside.print(
            f"note: {found.rule.name} is the name of etp.rules.{found.namesake.__name__}, too; "
            "give the class a name of its own", markup=False, soft_wrap=True,
        )  # fmt: skip
    tell = Lines(aside, len(chosen))
    with aside.status("compiling") as status, raising():
        certificate = certify(
            found, models=chosen, options=given, length=length, with_costs=costs,
            heard=lambda what: status.update(f"[dim]{found.rule.name}: {what}[/]"),
            seen=tell, keep=True,
        )  # fmt: skip
    if certificate.interrupted and not certificate.models:
        aside.print("interrupted before the first model was done")
        raise typer.Exit(INTERRUPTED)
    certificate.print(console, details=details)
    write(json, certificate.to_json)
    write(latex, certificate.to_latex)
    if certificate.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not certificate.ok:
        raise typer.Exit(CONTRADICTED)


@define
class Lines:
    """A line on the error output for each model that is done.

    Attributes
    ----------
    console, total
        Where lines go, and how many there will be.
    """

    console: Console
    total: int
    done: int = 0
    began: float = field(factory=monotonic)

    def __call__(self, model: ModelCertificate, findings: list[Finding]) -> None:
        """Print what was found on a model."""
        self.done += 1
        held, bad = (sum(f.verdict == v for f in findings) for v in ("holds", "contradicts"))
        told = "refused" if model.refused is not None else f"{held} hold"
        if bad:
            told += f", {bad} contradict"
        seconds = monotonic() - self.began
        self.console.print(
            f"{self.done} of {self.total}  {model.title}: {told} ({seconds:.0f} s)",
            style="dim", markup=False, soft_wrap=True,
        )  # fmt: skip
