"""`etp check`: a certificate on the terminal and in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etp.study import certificate
from etp.study.certificate_subject import subject

from .conftest import Etp

RULE = """
from etp.rules import PER_RESULT, TraceRule
from attrs import frozen

@frozen
class Faded(TraceRule):
    \"\"\"D-RTRL of another decay.\"\"\"

    factor: float
    name = "faded"

    def advance(self, rel, e):
        return {"e": self.factor * (rel.D @ e["e"]) + rel.u * rel.x}


class Twin(TraceRule):
    name = "d_rtrl"

    def advance(self, rel, e):
        return {"e": rel.D @ e["e"] + rel.u * rel.x}


class Nameless(Twin):
    name = ""

    def advance(self, rel, e):
        return {"q": rel.u * rel.x}


class Misnamed(Nameless):
    name = "misnamed"


class Misspelled(Twin):
    name = "misspelled"

    def advance(self, rel, e):
        return {"e": rel.d @ e["e"] + rel.u * rel.x}
"""
FEW = ("--models", "leaky", "--no-costs")


def test_a_built_in_rule_is_checked(etp: Etp) -> None:
    ran = etp("check", "pp_prop", "--models", "leaky,gru", "--no-costs",
              "--json", "c.json", "--latex", "c.tex")  # fmt: skip
    assert ran.code == 0
    assert ran.out.startswith("pp_prop  Pre- and postsynaptic propagation")
    assert "nothing contradicts" in ran.out
    assert json.loads(Path("c.json").read_text())["ok"] is True
    assert Path("c.tex").read_text().startswith(r"\begin{table}")


def test_every_parameter_is_told_on_demand(etp: Etp) -> None:
    out = etp("check", "d_rtrl", "--models", "rnn", "--no-costs", "--details").out
    assert "cell.gate.w_rec" in out
    assert "is not followed" in out


def test_another_process_takes_probes_of_the_same_length(etp: Etp) -> None:
    ran = etp("check", "bptt", "--models", "leaky", "--no-costs", "--length", 5)
    assert ran.code == 0
    assert "nothing contradicts" in ran.out


def test_options_change_what_is_certified(etp: Etp) -> None:
    out = etp("check", "d_rtrl", "--models", "rnn", "--no-costs", "--scope", "full").out
    assert "5 of 5" in out
    assert "scope full" in out


def test_errors_are_one_line(etp: Etp) -> None:
    ran = etp("check", "nope.py:Rule")
    assert ran.code == 2
    assert ran.err.startswith("error: there is no file nope.py")
    assert etp("check", "d_rtrl", "--models", "nope").code == 2
    scope = etp("check", "bptt", "--scope", "ful")
    assert scope.code == 2
    assert "did you mean 'full'" in scope.err
    unwritable = etp("check", "bptt", "--models", "leaky", "--no-costs", "--json", "no/c.json")
    assert unwritable.code == 2
    assert unwritable.err.startswith("error: cannot write to no/c.json: there is no folder no")


@pytest.fixture
def mine(etp: Etp) -> Etp:
    """Return the function that runs `etp`, where a file of rules lies."""
    Path("mine.py").write_text(RULE)
    return etp


def test_rules_of_files_take_arguments(mine: Etp) -> None:
    assert "Faded(factor=0.5)" in mine("check", "mine.py:Faded(0.5)", *FEW).out
    wrong = mine("check", "mine.py:Faded(0.5, 3)")
    assert wrong.code == 2
    assert "it takes (factor)" in wrong.err


def test_mistakes_of_a_rule_are_no_contradiction(mine: Etp) -> None:
    for rule, told in (
        ("Nameless", "has the name ''"),
        ("Misnamed", "returns q; traces decl"),
        ("Misspelled", "did you mean 'D'"),
    ):
        ran = mine("check", f"mine.py:{rule}", *FEW)
        assert ran.code == 2
        assert told in ran.err
        assert "mine.py:" in ran.err


def test_a_name_that_is_taken_is_told(mine: Etp) -> None:
    ran = mine("check", "mine.py:Twin", *FEW)
    assert ran.err.startswith("note: d_rtrl is the name of etp.rules.DRTRL, too")
    assert subject("d_rtrl").namesake is None


def test_models_are_told_as_they_are_done(etp: Etp) -> None:
    lines = etp("check", "pp_prop", "--models", "heads,forgetful", "--no-costs").err.splitlines()
    assert [line[:6] for line in lines] == ["1 of 2", "2 of 2"]


def test_an_interrupt_keeps_what_was_measured(etp: Etp, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = certificate.certify_model
    done = []

    def stop(trial: certificate.Trial) -> certificate.ModelCertificate:
        if done:
            raise KeyboardInterrupt
        done.append(trial)
        return whole(trial)

    monkeypatch.setattr(certificate, "certify_model", stop)
    ran = etp("check", "pp_prop", "--models", "leaky,rnn", "--json", "c.json")
    assert ran.code == 130
    assert "element-wise leaky units" in ran.out
    assert "interrupted" in ran.out
    kept = json.loads(Path("c.json").read_text())
    assert kept["interrupted"] is True
    assert [m["name"] for m in kept["models"]] == ["leaky"]
    assert {f["model"] for f in kept["findings"]} == {"leaky"}
    ran = etp("check", "pp_prop", "--models", "leaky", "--json", "none.json")
    assert ran.code == 130
    assert "before the first model" in ran.err
    assert not Path("none.json").exists()
