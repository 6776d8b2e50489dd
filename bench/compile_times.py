"""``python -m bench compile``: how compile time grows with the number of layers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .process import start

COMPILERS = ("etp", "braintrace")
BEFORE = ("trace", "analyse")
PROGRAMS = ("gradient", "update by sequence", "update by step")


@frozen
class Times:
    """CPU seconds by stage of one compiler for one number of layers, or why there are none."""

    compiler: str
    layers: int
    rounds: tuple[dict[str, Any], ...] = ()
    skipped: str = ""

    def seconds(self, stage: str) -> float | None:
        """Return the median over rounds of one stage, None where the compiler has no such stage."""
        found = [r["seconds"][stage] for r in self.rounds if stage in r["seconds"]]
        return statistics.median(found) if found else None

    def total(self, program: str) -> float | None:
        """Return the seconds from the model to a scheduled program."""
        parts = [self.seconds(stage) for stage in (*BEFORE, program)]
        return None if parts[-1] is None else sum(x for x in parts if x is not None)


def run(
    layers: Sequence[int], rounds: int, pythons: dict[str, str], say: Callable[[str], None]
) -> list[Times]:
    """Return the times of both compilers, each measured in a process of its own, in turns."""
    found: dict[tuple[int, str], Times] = {
        (k, name): Times(name, k) for k in layers for name in COMPILERS
    }
    for turn in range(rounds):
        for (k, name), times in found.items():
            if times.skipped:
                continue
            say(f"{name}, {k} layers: round {turn + 1} of {rounds}")
            result = start(pythons[name], "bench.compile_worker", [name, str(k)])
            if isinstance(result, str):
                found[k, name] = Times(name, k, skipped=result)
            else:
                found[k, name] = Times(name, k, (*times.rounds, result))
    return list(found.values())


def table(results: Sequence[Times]) -> Table:
    """Return one table: seconds by stage, and totals from the model to a program."""
    found = Table(box=SIMPLE_HEAD)
    found.add_column("layers", justify="right")
    found.add_column("compiler")
    for name in (*BEFORE, *PROGRAMS):
        found.add_column(name, justify="right")
    for name in PROGRAMS:
        found.add_column(f"total,\n{name}", justify="right")
    for times in results:
        cells = [times.seconds(stage) for stage in (*BEFORE, *PROGRAMS)]
        cells += [times.total(program) for program in PROGRAMS]
        shown = ["-" if x is None else f"{x:.3f}" for x in cells]
        found.add_row(str(times.layers), times.compiler, *shown)
    return found


def entry(times: Times) -> dict[str, Any]:
    """Return what was measured of one compiler and one number of layers, ready for JSON."""
    stages = (*BEFORE, *PROGRAMS)
    return {
        "layers": times.layers, "compiler": times.compiler, "skipped": times.skipped,
        "seconds": {s: x for s in stages if (x := times.seconds(s)) is not None},
        "total": {p: x for p in PROGRAMS if (x := times.total(p)) is not None},
        "rounds": list(times.rounds),
    }  # fmt: skip
