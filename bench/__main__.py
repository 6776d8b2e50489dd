"""The command line: ``python -m bench``; commands ``compile``, ``sparse`` and ``learning``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from . import compile_times, learning_command, report, runner, sparse_scaling
from .cases import MODELS, Case
from .contenders import CONTENDERS

ALL_MODELS, ALL_CONTENDERS = ",".join(MODELS), ",".join(CONTENDERS)
MIN_WIDTH = 126

Names = Annotated[str, typer.Option(help="Comma-separated.")]


Python = Annotated[
    str, typer.Option(help="Interpreter that has braintrace; this one if not given.")
]
JsonPath = Annotated[
    Path | None, typer.Option("--json", help="Also write everything measured here.")
]

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    models: Names = ALL_MODELS,
    sizes: Names = "256,512",
    contenders: Names = ALL_CONTENDERS,
    rounds: Annotated[int, typer.Option(help="Turns over all contenders.")] = 5,
    seconds: Annotated[float, typer.Option(help="Time measured per contender and turn.")] = 2.0,
    threads: Annotated[int, typer.Option(help="Cores each process is bound to.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="n = 256, two short turns.")] = False,
    peer_python: Python = sys.executable,
    clock: Annotated[
        str, typer.Option(help="The clock of the ratios: wall, or cpu where others are at work.")
    ] = "wall",
    json_path: JsonPath = None,
) -> None:
    """Compare gradients, then measure every contender in turns, each in its own process."""
    if context.invoked_subcommand:
        return
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


@app.command("compile")
def compile_command(
    layers: Names = "1,2,4,8,16",
    rounds: Annotated[int, typer.Option(help="Processes per compiler and size.")] = 3,
    peer_python: Python = sys.executable,
    json_path: JsonPath = None,
) -> None:
    """Measure compile time without that of the backend, by the number of GRU layers."""
    console, progress = Console(), Console(stderr=True)
    console.width = max(console.width, MIN_WIDTH)
    pythons = {"etp": sys.executable, "braintrace": peer_python}
    with progress.status("starting") as status:
        say = status.update if progress.is_terminal else progress.print
        found = compile_times.run([int(k) for k in layers.split(",")], rounds, pythons, say)
    console.print(compile_times.table(found))
    for times in found:
        if times.skipped:
            console.print(f"{times.compiler}, {times.layers} layers: {times.skipped}")
    if json_path:
        _write(json_path, {**report.occasion(), "compile": [compile_times.entry(t) for t in found]})


@app.command("sparse")
def sparse_command(
    sizes: Names = "2500,5000,10000,20000",
    threads: Annotated[int, typer.Option(help="Cores each process is bound to.")] = 1,
    peer_python: Python = sys.executable,
    json_path: JsonPath = None,
) -> None:
    """Measure a spiking layer with 20 recurrent inputs per unit, by the number of units."""
    console, progress = Console(), Console(stderr=True)
    console.width = max(console.width, MIN_WIDTH)
    pythons = dict.fromkeys(sparse_scaling.CONTENDERS, sys.executable) | {"braintrace": peer_python}
    with progress.status("starting") as status:
        say = status.update if progress.is_terminal else progress.print
        found = sparse_scaling.run([int(n) for n in sizes.split(",")], threads, pythons, say)
    console.print(sparse_scaling.table(found))
    for row in found:
        if row.skipped:
            console.print(f"{row.contender}, {row.work.n} units, {row.what}: {row.skipped}")
    if json_path:
        _write(json_path, {**report.occasion(), "sparse": [sparse_scaling.entry(r) for r in found]})


app.command("learning")(learning_command.main)


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
    app()
