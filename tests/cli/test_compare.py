"""`etp compare`: tables, a picture, files, and a stop in between."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from etp.learner import Learner

from .conftest import Etp

SMALL = ("--hidden", 6, "--seeds", 2, "--updates", 12, "--points", 3, "--task", "evidence")


def test_rules_are_drawn_side_by_side(etp: Etp) -> None:
    ran = etp("compare", "--rules", "d_rtrl, pp_prop", *SMALL, "--json", "a.json",
              "--latex", "a.tex")  # fmt: skip
    assert ran.code == 0
    assert "leaky_rnn on evidence, 2 seeds" in ran.out
    assert sum(line.startswith("pp_prop ") for line in ran.out.splitlines()) == 3
    assert "cell.gate.w_rec" in ran.out
    assert "drawn into leaky_rnn-evidence.png" in ran.out
    assert Path("leaky_rnn-evidence.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(Path("a.json").read_text())
    assert [rule["label"] for rule in data["rules"]] == ["d_rtrl", "pp_prop"]
    assert r"\begin{tabular}" in Path("a.tex").read_text()


def test_nothing_to_train_is_no_success(etp: Etp) -> None:
    ran = etp("compare", "--rules", "dni,f_bptt", *SMALL, "--window", 2)
    assert ran.code == 1
    assert "nothing was trained" in ran.out
    assert not Path("leaky_rnn-evidence.png").exists()


def test_a_stop_shows_what_was_measured(etp: Etp, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, seen = Learner.fit, []

    def interrupted(self: Learner, batches: object, *args: object, **options: object) -> object:
        seen.append(batches)
        if len(seen) == 3:  # the second rule
            os.kill(os.getpid(), signal.SIGINT)
        return fit(self, batches, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "fit", interrupted)
    ran = etp("compare", "--rules", "d_rtrl,pp_prop,rtrl", *SMALL, "--out", "x.png")
    assert ran.code == 130
    assert "interrupted: what was measured until then" in ran.out
    assert Path("x.png").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rules", "d_rtlr"), "no learning rule 'd_rtlr'; did you mean 'd_rtrl'?"),
        (("--rules", ","), "there are no rules to compare"),
        (("--task", "evidenc"), "no task 'evidenc'; did you mean 'evidence'?"),
        (("--model", "gry"), "no model 'gry'; did you mean 'gru'?"),
        (("--out", "no/such.png"), "cannot write to no/such.png: there is no folder no"),
        (("--update", "stp"), "update 'stp' is neither 'step', 'sequence' nor a number"),
    ],
)
def test_a_mistake_is_one_line(etp: Etp, arguments: tuple[str, ...], message: str) -> None:
    ran = etp("compare", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not any(Path().iterdir())
