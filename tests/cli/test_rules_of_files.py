"""Rules with arguments, of files, and with modulators: what is asked for is what is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etp.cli.settings import open_session
from etp.runs import RunFolder
from etp.signals import Modulatory, Random
from etp.study.certificate_subject import subject
from etp.study.modulators import Surprise, supplied
from etp.tasks import load

from .conftest import Etp

RULE = """
from etp.rules import TraceRule
from attrs import frozen

@frozen
class Faded(TraceRule):
    factor: float = 1.0
    name = "faded"

    def advance(self, rel, e):
        return {"e": self.factor * (rel.D @ e["e"]) + rel.u * rel.x}
"""
SMALL = ("--hidden", "4", "--batch-size", "240", "--backend", "numpy", "--epochs", "1",
         "--model", "rnn", "--out", "run")  # fmt: skip


def kept() -> object:
    """Return the rule that a run is gone on with."""
    config = RunFolder.open(Path("run"))[1]
    return open_session(config, load("digits")).learner.options.rule


def test_arguments_of_a_rule_are_kept(etp: Etp) -> None:
    ran = etp("train", "digits", *SMALL, "--rule", "E-Prop(feedback='random')")
    assert ran.code == 0
    assert "eprop(feedback='random')" in ran.out
    assert json.loads(Path("run/config.json").read_text())["rule"] == "eprop(feedback='random')"
    assert isinstance(kept().signal, Random)  # type: ignore[attr-defined]


def test_a_rule_of_a_file_is_trained_gone_on_with_and_audited(etp: Etp) -> None:
    Path("mine.py").write_text(RULE)
    ran = etp("train", "digits", *SMALL, "--rule", "mine.py:Faded(factor=0.5)")
    assert ran.code == 0
    assert "Faded(factor=0.5), window" in ran.out
    assert kept().factor == 0.5  # type: ignore[attr-defined]
    assert etp("train", "--resume", "run", "--epochs", 2).code == 0
    ran = etp("audit", "run", "--examples", 2, "--lag-examples", 0)
    assert ran.code == 0
    assert "Faded(factor=0.5), window" in ran.out
    Path("mine.py").unlink()
    ran = etp("audit", "run")
    assert ran.code == 2
    assert "there is no file" in ran.err


def test_rules_of_files_are_compared(etp: Etp) -> None:
    Path("mine.py").write_text(RULE)
    rules = "d_rtrl,mine.py:Faded,three_factor"
    ran = etp("compare", "--rules", rules, "--seeds", 1, "--updates", 2, "--points", 2,
              "--hidden", 4)  # fmt: skip
    assert ran.code == 0
    assert "\nFaded " in ran.out
    assert "three_factor: modulated by the loss of each step less that of who knows" in ran.out


def test_a_run_with_a_modulator_is_audited(etp: Etp) -> None:
    assert etp("train", "digits", *SMALL, "--rule", "three_factor").code == 0
    ran = etp("audit", "run", "--examples", 2, "--lag-examples", 0)
    assert ran.code == 0
    assert "a modulator takes the place of the derivative of the loss" in ran.out


@pytest.mark.parametrize(("rule", "sign"), [("three_factor", 1), ("r_stdp", -1)])
def test_a_task_supplies_a_modulator(rule: str, sign: int) -> None:
    task = load("evidence")
    signal = supplied(subject(rule).rule, task).signal
    assert isinstance(signal, Modulatory)
    assert not signal.modulated
    assert signal.function == Surprise(task.loss, task.chance["loss"], sign)


def test_a_rule_that_no_task_can_modulate(etp: Etp) -> None:
    Path("mine.py").write_text(RULE + "    reward = 0.5\n")
    ran = etp("train", "digits", *SMALL, "--out", "other", "--rule", "mine.py:Faded")
    assert ran.code == 2
    assert "faded asks for a modulator beside the data" in ran.err
    assert "learner.fit" in ran.err
    assert not Path("other").exists()
