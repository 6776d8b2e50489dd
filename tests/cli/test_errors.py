"""Mistakes at the command line end in one line and code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import SMALL, Etp


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "digitz"), "no task 'digitz'; did you mean 'digits'?"),
        (("train", "--model", "gry"), "no model 'gry'; did you mean 'gru'?"),
        (("train", "--rule", "d_rtlr"), "no learning rule 'd_rtlr'; did you mean 'd_rtrl'?"),
        (("train", "--backend", "numpi"), "no backend 'numpi'; did you mean 'numpy'?"),
        (("train", "--update", "stp"), "update 'stp' is neither 'step', 'sequence' nor a number"),
        (("train", "--update", "0"), "update 0 is not a whole number of at least 1"),
        (("train", "--schedule", "chunks"), "schedule 'chunks' is none of"),
        (("train", "--by", "column"), "digits cannot be read by 'column'"),
        (("train", "--batch-size", "5000"), "give a batch size from 1 to 1437"),
        (("train", "--loss-steps", "9"), "9 steps cannot carry the loss; give 1 to 8"),
        (("explain", "cell.n.w_in2"), "did you mean 'cell.n.w_in'?"),
        (("train", "--resume", "nowhere"), "nowhere is no run folder: it has no config.json"),
        (("train", "--resume", "x", "--lr", "1"), "--lr cannot be given"),
        (("report", "--model", "gry"), "no model 'gry'"),
        (("dump", "--stage", "batch"), "no stage 'batch'; did you mean 'batched'?"),
        (("dump", "--out", "no/such/folder"), "cannot write to no/such/folder"),
    ],
)
def test_a_mistake_is_one_line(etp: Etp, arguments: tuple[str, ...], message: str) -> None:
    ran = etp(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert "Traceback" not in ran.out + ran.err
    assert not any(Path().iterdir())


def test_a_folder_in_use_is_left_alone(etp: Etp) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    ran = etp("train", *SMALL, "--out", "mine")
    assert ran.code == 2
    assert "error: mine exists and is not an empty folder" in ran.err
    assert [p.name for p in Path("mine").iterdir()] == ["notes.txt"]


def test_a_corrupt_run_is_named(etp: Etp) -> None:
    etp("train", *SMALL, "--epochs", 1, "--out", "run")
    checkpoint, config = Path("run/checkpoint.npz"), Path("run/config.json")
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    ran = etp("train", "--resume", "run", "--epochs", 2)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "run/checkpoint.npz is not a readable checkpoint" in ran.err
    checkpoint.unlink()
    assert "no checkpoint at run/checkpoint.npz" in etp("train", "--resume", "run").err
    config.write_text("{")
    ran = etp("train", "--resume", "run")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "run/config.json is not a readable configuration" in ran.err


def test_a_finished_run_says_how_to_go_on(etp: Etp) -> None:
    etp("train", *SMALL, "--epochs", 1, "--out", "run")
    ran = etp("train", "--resume", "run")
    assert ran.code == 2
    assert "has done its 1 epochs; give the number of epochs in all with --epochs" in ran.err


def test_a_learning_rate_that_is_too_high_ends_in_one_line(etp: Etp) -> None:
    ran = etp("train", *SMALL, "--epochs", 1, "--lr", "1e38", "--out", "run")
    assert ran.code == 2
    assert "error: the loss became" in ran.err
    assert len(ran.err.splitlines()) == 1
