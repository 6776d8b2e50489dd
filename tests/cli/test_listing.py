"""`etp rules`: all of them, one of them, and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import etp as package
from etp import rules
from tests.cli.conftest import Etp


def test_every_rule_is_listed(etp: Etp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    wide = etp("rules").out
    monkeypatch.setenv("COLUMNS", "80")
    narrow = etp("rules").out
    first = [line.split()[0] for line in wide.splitlines() if line.strip()]
    assert set(rules.available()) <= set(first)
    assert "exactness" in wide
    assert "reference" in wide
    lines = narrow.splitlines()
    names = [line.split()[0] for line in lines if line[:1].strip()]
    assert set(rules.registered()) <= set(names)
    # A name and a title each, in not many more lines than there are rules.
    assert len(lines) <= 1.5 * len(rules.registered())
    assert max(map(len, lines)) <= 80
    assert "Tallec and Ollivier" in wide
    assert "etp rules NAME" in narrow


def test_the_package_runs() -> None:
    command = [sys.executable, "-m", "etp.cli", "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == f"etp {package.__version__}\n"


def test_one_rule_in_full(etp: Etp) -> None:
    text = etp("rules", "eprop").out
    assert "Eligibility propagation." in text
    assert "kappa=0.0" in text
    assert "Nature Communications" in text
    assert "RuleConfig()" in text
    assert "math" not in text
    wrong = etp("rules", "epropp")
    assert wrong.code == 2
    assert "did you mean 'eprop'" in wrong.err


def test_json(etp: Etp) -> None:
    found = {f["name"]: f for f in json.loads(etp("rules", "--json").out)}
    assert set(found) == set(rules.registered())
    assert found["uoro"]["scope"] == "full"
    assert found["rflo"]["signal"] == "random"
    assert found["bptt"]["window"] is None
    assert all(f["memory"] and f["exactness"] and f["reference"] for f in found.values())
