"""`etp report`, `etp dump` and the lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import etp as library
from etp_ir.parser import parse
from etp_ir.verify import verify

from .conftest import Etp
from .test_train import ENV, ETP


def test_the_report_names_every_parameter_with_status_and_reason(etp: Etp) -> None:
    out = etp("report", "--hidden", 5, "--backend", "numpy").out
    for name in ("cell.r.w_in", "cell.z.w_rec", "cell.n.b", "cell.b_rec", "readout.weight"):
        assert sum(line.split()[:1] == [name] for line in out.splitlines()) == 1
    assert "approximate: the path cell.h -> cell.h" in out
    assert "exact: " in out
    assert "d_rtrl, window 1" in out
    assert "weights change at every step" in out
    assert "chunk(8)" in etp("report", "--hidden", 5, "--update", "sequence").out


def test_the_story_of_one_parameter(etp: Etp) -> None:
    out = etp("explain", "cell.n.w_rec", "--hidden", 4).out
    assert out.startswith("cell.n.w_rec: approximate\n  because ")
    assert "enters\n  `etp.matmul` at " in out
    assert "ETP401 info: cell.h acts on the next cell.h" in out
    names = etp("explain", "--hidden", 4).out.split()
    assert {"cell.n.w_rec", "cell.h", "readout.bias"} <= set(names)
    assert "cell.h: a group of its own" in etp("explain", "cell.h", "--hidden", 4).out


@pytest.mark.parametrize("stage", ["traced", "compiled", "batched", "scheduled"])
@pytest.mark.parametrize(("model", "rule"), [("gru", "d_rtrl"), ("lif", "pp_prop")])
def test_every_stage_can_be_dumped_and_read_back(
    etp: Etp, stage: str, model: str, rule: str
) -> None:
    options = ("--stage", stage, "--model", model, "--rule", rule, "--hidden", 4)
    text = etp("dump", *options).out
    program = parse(text)
    verify(program)
    assert str(program) == text
    assert "f32[8" in text or "f32[32,8]" in text
    etp("dump", *options, "--out", "file.etp")
    assert Path("file.etp").read_text() == text


@pytest.mark.parametrize("stage", ["compiled", "scheduled"])
def test_a_dump_is_the_same_in_two_processes(stage: str) -> None:
    texts = [
        subprocess.run(
            [*ETP, "dump", "--hidden", "4", "--stage", stage], env={**ENV, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert texts[0] == texts[1]
    assert texts[0].startswith("program @")


def test_the_lists(etp: Etp) -> None:
    rules = etp("rules").out
    assert {"bptt", "rtrl", "d_rtrl", "pp_prop"} <= {line.split()[0] for line in rules.splitlines()}
    assert "es_d_rtrl" in rules
    lines = etp("backends").out.splitlines()
    assert next(line for line in lines if line.startswith("numpy")).split()[1] == "yes"
    reason = library.backends.available()["cupy"]
    if reason is not None:
        cupy = next(line for line in lines if line.startswith("cupy"))
        assert reason.splitlines()[0] in cupy


def test_the_version_needs_no_array_library_but_numpy() -> None:
    code = (
        "import sys; from etp.cli import app; from typer.testing import CliRunner\n"
        "print(CliRunner().invoke(app, ['--version']).stdout.strip())\n"
        "print([m for m in ('jax', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [f"etp {library.__version__}", "[]"]
