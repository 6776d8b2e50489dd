"""What rules say of themselves: every docstring is whole, and the page is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from etp import rules
from etp.rules.facts import every, facts
from tests.rules.rules_page import main, page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rules.md"


@pytest.mark.parametrize("name", rules.registered())
def test_a_rule_says_what_it_costs_and_where_it_comes_from(name: str) -> None:
    kind = rules.registered()[name]
    found = facts(kind)
    for said in (found.memory, found.time, found.exactness, found.reference):
        assert said.endswith((".", ")")), said
    assert found.title.endswith(".")
    assert ".. math::" in found.body
    assert not any(word in found.body for word in ("Memory", "Parameters", ">>>"))
    fields = [a.alias for a in kind.__attrs_attrs__ if a.init]
    told = [part.split("=")[0].strip() for names in found.parameters for part in names.split(", ")]
    assert set(fields) <= set(told), f"{set(fields) - set(told)} is not explained"
    assert all(found.parameters.values())


def test_the_words_of_an_entry() -> None:
    found = facts(rules.EProp)
    assert (found.window, found.scope, found.signal) == (0, "diagonal", "symmetric")
    assert "kappa=0.0" in found.parameters
    assert found.point == "RuleConfig()"
    assert facts(rules.BPTT).window is None
    assert facts(rules.OSTTP).signal == "direct_target"
    assert [f.name for f in every()] == sorted(rules.registered())


def test_the_page_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.rules.rules_page docs/rules.md`"
    other = tmp_path / "rules.md"
    assert main([str(other)]) == 0
    assert main([str(other), "--check"]) == 0
    other.write_text("old")
    assert main([str(other), "--check"]) == 1
    assert "is stale; run `python -m tests.rules.rules_page" in capsys.readouterr().err


def test_the_page_is_markdown() -> None:
    text = page()
    assert ":math:" not in text
    assert ".. math" not in text
    assert "``" not in text.replace("```", "")
    assert text.count("$$") % 2 == 0
    assert all(f"## {name}\n" in text for name in rules.registered())
