"""Runs of the command line inside the test's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import frozen
from typer.testing import CliRunner

from etp.cli import app

SMALL = ("--hidden", "6", "--batch-size", "120", "--backend", "numpy")


@frozen
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Etp = Callable[..., Ran]


@pytest.fixture
def etp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Etp:
    """Return a function that runs `etp` with arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Ran:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


def metrics(folder: Path | str) -> list[dict[str, Any]]:
    """Return the metrics of a run."""
    text = (Path(folder) / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def arrays(folder: Path | str) -> dict[str, np.ndarray[Any, Any]]:
    """Return all arrays of a run's checkpoint: parameters and optimiser."""
    with np.load(Path(folder) / "checkpoint.npz") as file:
        return {name: file[name] for name in file.files if name != "header"}


def same_run(one: Path | str, other: Path | str) -> bool:
    """Return whether two runs have the same arrays and metrics, to the bit."""
    a, b = arrays(one), arrays(other)
    assert any(name.startswith("params/") and x.any() for name, x in a.items())
    assert any(name.startswith("optimizer/") for name in a)

    def untimed(folder: Path | str) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in metrics(folder)]

    same = list(a) == list(b) and all(np.array_equal(a[n], b[n]) for n in a)
    return same and untimed(one) == untimed(other)
