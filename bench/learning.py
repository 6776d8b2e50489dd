"""What every registered rule learns: a table of rules and tasks that grows cell by cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from attrs import asdict, define, evolve, field, frozen

from .learning_homes import HOMES, YARDSTICKS, homes
from .report import occasion
from .runner import ROOT

TASKS = ("copy_memory", "delayed_match", "evidence", "sines", "digits")
# Without a result for so many times a cell's limit, a worker is stuck.
PATIENCE = 4
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Cell = dict[str, Any]


@frozen
class Setting:
    """What all cells have in common: seeds, updates, and seconds after which one is cut short."""

    seeds: int = 3
    updates: int = 400
    limit_s: float = 40.0


@frozen
class Work:
    """One rule on some tasks, in the first of the homes that it does not refuse."""

    rule: str
    homes: tuple[str, ...]
    tasks: tuple[str, ...]


@define
class Results:
    """The cells so far, kept in a file that is whole after each of them."""

    path: Path
    setting: Setting
    cells: list[Cell] = field(factory=list)
    lock: Any = field(factory=threading.Lock, eq=False)

    @classmethod
    def open(cls, path: Path, setting: Setting) -> Results:
        """Return the results of an earlier run, or none."""
        if not path.exists():
            return cls(path, setting)
        kept = json.loads(path.read_text())
        made = Setting(**kept["setting"])
        # What was not cut short is the same under any limit.
        if evolve(made, limit_s=setting.limit_s) != setting:
            raise ValueError(f"{path} was made with {made}; name another file")
        return cls(path, setting, kept["cells"])

    def drop(self, unwanted: Callable[[Cell], bool]) -> None:
        """Forget some cells, so that they are made again."""
        self.cells = [c for c in self.cells if not unwanted(c)]

    def add(self, cells: Iterable[Cell]) -> None:
        """Keep cells, and write the file."""
        with self.lock:
            self.cells += cells
            document = {**occasion(), "setting": asdict(self.setting), "cells": self.cells}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(document, indent=1) + "\n")
            os.replace(partial, self.path)

    def known(self, rule: str, task: str, home: str | None) -> bool:
        """Whether there is a cell; in any home if none is named."""
        return any(
            (c["rule"], c["task"]) == (rule, task) and home in (None, c["home"]) for c in self.cells
        )


def work(results: Results, rules: Iterable[str], tasks: Iterable[str]) -> list[Work]:
    """Return what is still to be done: yardsticks on every home, the others on theirs."""
    found = []
    for rule in rules:
        fixed = rule in YARDSTICKS
        choices = [[home] for home in HOMES] if fixed else [homes(rule)]
        for where in choices:
            asked = where[0] if fixed else None
            missing = tuple(t for t in tasks if not results.known(rule, t, asked))
            if missing:
                found.append(Work(rule, tuple(where), missing))
    return found


def run(
    results: Results, todo: list[Work], processes: int, say: Callable[[Cell], Any]
) -> None:  # fmt: skip
    """Make the missing cells, several rules at a time."""
    with ThreadPoolExecutor(processes) as pool:
        futures = [pool.submit(_one, results, item, say) for item in todo]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _one(results: Results, item: Work, say: Callable[[Cell], Any]) -> None:
    """Run a worker, and keep each cell as it comes."""
    left = list(item.tasks)
    patience = PATIENCE * results.setting.limit_s
    environment = {
        **os.environ, **dict.fromkeys(POOLS, "1"), "JAX_PLATFORMS": "cpu",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
    }  # fmt: skip
    asked = json.dumps({**asdict(results.setting), **asdict(item)})
    with subprocess.Popen(
        [sys.executable, "-m", "bench.learning_worker", asked], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as worker:  # fmt: skip
        assert worker.stdout is not None
        while left:
            alarm = threading.Timer(patience, worker.kill)
            alarm.start()
            try:
                line = worker.stdout.readline()
            except BaseException:
                worker.kill()
                raise
            finally:
                alarm.cancel()
            if not line:
                break
            cell = json.loads(line)
            left.remove(cell["task"])
            results.add([cell])
            say(cell)
        error = worker.communicate()[1].strip().splitlines() if left else []
    reason = error[-1] if error else f"no result within {patience:.0f} s"
    lost = [
        {"rule": item.rule, "task": t, "home": item.homes[0], "problem": reason} for t in left
    ]  # fmt: skip
    if lost:
        results.add(lost)
        for cell in lost:
            say(cell)
