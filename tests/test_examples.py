"""The examples run, and show what they say they show."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that returns what an example defines, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def load(name: str) -> ModuleType | SimpleNamespace:
        monkeypatch.setattr(sys, "argv", [name])
        return SimpleNamespace(**runpy.run_path(str(EXAMPLES / f"{name}.py")))

    return load


def test_a_rule_of_ones_own(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    off, certificate = example("own_rule").main()
    assert off < 1e-12
    assert certificate.ok
    out = capsys.readouterr().out
    assert "nothing contradicts" in out
    assert "s of w[0, 0]: [" in out


def test_rules_are_compared(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = example("compare_rules").main(seeds=1, updates=2, points=2)
    assert [r.label for r in found.rules if r.runs and not r.refused] == [
        r.label for r in found.rules
    ]
    assert found.rules[0].aligned("deviation", 0).mean < 1e-4
    assert found.rules[1].aligned("deviation", 0).mean > 1e-2
    for kind in ("png", "json", "tex"):
        assert Path(f"compare_rules.{kind}").stat().st_size > 500
    assert "e-prop, random" in capsys.readouterr().out


def test_a_training_is_audited(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    diagonal, full = example("audit_training").main(epochs=1, hidden=3)
    assert diagonal.parameters["cell.n.w_rec"].status == "approximate"
    assert {p.status for p in full.parameters.values()} == {"exact"}
    assert diagonal.ok
    assert full.ok
    assert Path("audit_full.png").read_bytes().startswith(b"\x89PNG")
    assert "is not followed in time" in capsys.readouterr().out


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'example("{path.stem}")' in text
