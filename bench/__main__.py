"""The command line: ``python -m bench``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from . import report, runner
from .cases import MODELS, Case
from .contenders import CONTENDERS

ALL_MODELS, ALL_CONTENDERS = ",".join(MODELS), ",".join(CONTENDERS)
MIN_WIDTH = 126

Names = Annotated[str, typer.Option(help="Comma-separated.")]


def main(
    models: Names = ALL_MODELS,
    sizes: Names = "256,512",
    contenders: Names = ALL_CONTENDERS,
    rounds: Annotated[int, typer.Option(help="Turns over all contenders.")] = 5,
    seconds: Annotated[float, typer.Option(help="Time measured per contender and turn.")] = 2.0,
    threads: Annotated[int, typer.Option(help="Cores each process is bound to.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="n = 256, two short turns.")] = False,
    peer_python: Annotated[
        str, typer.Option(help="Interpreter that has braintrace; this one if not given.")
    ] = sys.executable,
    clock: Annotated[
        str, typer.Option(help="The clock of the ratios: wall, or cpu where others are at work.")
    ] = "wall",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write everything measured here.")
    ] = None,
) -> None:
    """Compare gradients, then measure every contender in turns, each in its own process."""
    console, progress = Console(), Console(stderr=True)
    console.width = max(console.width, MIN_WIDTH)
    if clock not in runner.CLOCKS:
        raise typer.BadParameter(f"no clock {clock!r}; choose from {', '.join(runner.CLOCKS)}")
    if quick:
        sizes, rounds, seconds = "256", 2, 1.0
    setting = runner.Setting(rounds, seconds, threads, peer_python)
    try:
        chosen = runner.choose(contenders.split(","))
        work = [Case(model, int(n)) for model in _models(models) for n in sizes.split(",")]
    except (KeyError, ValueError) as error:
        raise typer.BadParameter(str(error.args[0])) from None
    results: report.Results = {}
    with tempfile.TemporaryDirectory() as folder, progress.status("starting") as status:
        say = status.update if progress.is_terminal else progress.print
        for case in work:
            results[case] = runner.run_case(case, chosen, setting, Path(folder), say)
            if json_path:  # after every case, so that a run cut short leaves what it measured
                _write(json_path, report.document(results, setting))
    console.print(report.table(results, clock))
    for line in report.notes(results):
        console.print(line, highlight=False, soft_wrap=True)


def _write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def _models(names: str) -> list[str]:
    chosen = names.split(",")
    for name in chosen:
        if name not in MODELS:
            raise ValueError(f"no model {name!r}; choose from {', '.join(MODELS)}")
    return chosen


if __name__ == "__main__":
    typer.run(main)
