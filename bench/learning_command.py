"""``python -m bench learning``: train every rule on every task, and write the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from etp.rules import available, resolve
from etp.study.compare import split_rules

from . import learning, learning_page, report
from .runner import ROOT

ALL_TASKS = ",".join(learning.TASKS)
PAGE = ROOT / "docs" / "learning.md"


def main(
    rules: Annotated[
        str, typer.Option(help="With commas between them; all that are registered if not given.")
    ] = "",
    tasks: Annotated[str, typer.Option(help="With commas between them.")] = ALL_TASKS,
    seeds: Annotated[int, typer.Option(help="Trainings of each rule on each task.")] = 3,
    updates: Annotated[int, typer.Option(help="Batches of each training.")] = 400,
    limit: Annotated[float, typer.Option(help="Seconds after which a cell is cut short.")] = 40.0,
    processes: Annotated[int, typer.Option(help="Rules trained at the same time.")] = 2,
    again: Annotated[
        str,
        typer.Option(
            help="Rules whose cells are made again; `problems` for those with one, `short` for "
            "those that were cut short."
        ),
    ] = "",
    json_path: Annotated[
        Path | None,
        typer.Option(
            "--json", help="File of results. \\[default: bench/results/DAY-learning.json]"
        ),
    ] = None,
    page: Annotated[Path, typer.Option(help="Page to write.")] = PAGE,
) -> None:
    """Train every rule on every task; a second run goes on where the first one stopped."""
    console = Console()
    day = report.occasion()["date"][:10]
    path = json_path or ROOT / "bench" / "results" / f"{day}-learning.json"
    try:
        results = learning.Results.open(path, learning.Setting(seeds, updates, limit))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    anew = split_rules(again)
    results.drop(
        lambda c: (
            c["rule"] in anew
            or ("problems" in anew and "problem" in c)
            or ("short" in anew and bool(c.get("cut_short")))
        )
    )
    names = split_rules(rules) or sorted({resolve(name).name for name in available()})
    todo = learning.work(results, names, tasks.split(","))
    console.print(f"{sum(len(w.tasks) for w in todo)} cells to make, {len(results.cells)} known")

    def say(cell: dict[str, Any]) -> None:
        text = cell.get("problem")
        if text is None:
            text = f"loss {cell['final']['loss']['mean']}, {cell['seconds']:.0f} s"
        line = f"{cell['rule']:<20}{cell['task']:<15}{cell['home']:<8}{text}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    learning.run(results, todo, processes, say)
    link = os.path.relpath(path, page.parent)
    page.write_text(learning_page.page(results, link), encoding="utf-8")
    console.print(f"written: {path}, {page}", highlight=False, soft_wrap=True)
