"""`etp check`: a certificate on the terminal and in files."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Etp


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


def test_options_change_what_is_certified(etp: Etp) -> None:
    out = etp("check", "d_rtrl", "--models", "rnn", "--no-costs", "--scope", "full").out
    assert "5 of 5" in out
    assert "scope full" in out


def test_errors_are_one_line(etp: Etp) -> None:
    ran = etp("check", "nope.py:Rule")
    assert ran.code == 2
    assert ran.err.startswith("error: there is no file nope.py")
    assert etp("check", "d_rtrl", "--models", "nope").code == 2
    unwritable = etp("check", "bptt", "--models", "leaky", "--no-costs", "--json", "no/c.json")
    assert unwritable.code == 2
    assert "cannot write to no/c.json" in unwritable.err
