"""The page on new rules, followed to the letter: the file it tells to make passes `etp check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Etp, etp
from tests.test_docs import ROOT, blocks

__all__ = ["etp"]
PAGE = ROOT / "docs" / "new_rule.md"


def block_with(text: str) -> str:
    """Return the block of the page that a text is in."""
    (found,) = [b.text for b in blocks(PAGE.read_text()) if b.language == "python"
                and text in b.text]  # fmt: skip
    return found


@pytest.mark.parametrize("models", ["leaky,lif", pytest.param(None, marks=pytest.mark.slow)])
def test_the_rule_of_the_page_passes(etp: Etp, models: str | None) -> None:
    Path("cascaded.py").write_text(block_with("class CascadedTraces"))
    few = ("--models", models, "--no-costs") if models else ()
    ran = etp("check", "cascaded.py:CascadedTraces", *few)
    assert ran.code == 0
    assert "nothing contradicts" in ran.out


def test_the_second_rule_of_the_page_passes(etp: Etp) -> None:
    head = "from attrs import frozen\nfrom etp.rules import TraceRule\n"
    Path("s_tllr.py").write_text(head + block_with("class STLLR"))
    text = Path("s_tllr.py").read_text().replace("assert certify", "# ")
    Path("s_tllr.py").write_text(text)
    ran = etp("check", "s_tllr.py:STLLR", "--models", "lif_layer", "--no-costs")
    assert ran.code == 0


def test_the_wrong_rule_of_the_page_does_not(etp: Etp) -> None:
    head = "from attrs import frozen\nfrom etp.rules import TraceRule\n"
    rule = block_with("class Twice").partition("found =")[0]
    Path("twice.py").write_text(head + rule)
    ran = etp("check", "twice.py", "--models", "leaky", "--no-costs")
    assert ran.code == 1
    assert "contradicts one_step on leaky: window 0 (0.6 against 1e-10)" in ran.out
