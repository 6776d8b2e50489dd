"""The table of all rules: made cell by cell, gone on with, and written as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.learning import Results, Setting, run, work
from bench.learning_homes import HOMES, homes
from bench.learning_page import page
from bench.learning_worker import cell
from etp import tasks

SETTING = Setting(seeds=2, updates=6, limit_s=30.0)


def test_the_table_is_made_gone_on_with_and_written(tmp_path: Path) -> None:
    path = tmp_path / "learning.json"
    results = Results.open(path, SETTING)
    heard: list[dict] = []
    run(results, work(results, ["pp_prop"], ["evidence"]), 1, heard.append)
    (first,) = json.loads(path.read_text())["cells"]
    assert first == heard[0]
    assert (first["rule"], first["task"], first["home"]) == ("pp_prop", "evidence", "leaky")
    assert first["final"]["loss"]["count"] == 2
    assert 0 < first["aligned"]["cosine_first"]["mean"] < 0.999
    assert not first["cut_short"]

    again = Results.open(path, SETTING)
    (todo,) = work(again, ["pp_prop", "nonsense"], ["evidence"])
    assert todo.rule == "nonsense"
    run(again, [todo], 1, heard.append)
    assert "no learning rule 'nonsense'" in heard[1]["problem"]
    text = page(again, "learning.json")
    assert "| `pp_prop` | " in text
    assert "- `nonsense` on evidence: " in text
    again.drop(lambda c: "problem" in c)
    assert [w.rule for w in work(again, ["pp_prop", "nonsense"], ["evidence"])] == ["nonsense"]
    with pytest.raises(ValueError, match="name another file"):
        Results.open(path, Setting(seeds=1))


def test_yardsticks_are_trained_in_every_home(tmp_path: Path) -> None:
    results = Results(tmp_path / "x.json", SETTING)
    todo = work(results, ["bptt", "rtrl"], ["sines"])
    assert [w.homes for w in todo[:-1]] == [(home,) for home in HOMES]
    assert todo[-1].homes[0] == "leaky"
    assert homes("ottt")[0] == "stack"


@pytest.mark.parametrize("home", HOMES)
def test_homes_are_alive(home: str) -> None:
    """All weights get a gradient, and what is cut short says so."""
    given = {"rule": "bptt", "homes": [home], "seeds": 1, "updates": 20, "limit_s": 0.0}
    found = cell(given, tasks.load("copy_memory"))
    assert found["cut_short"]
    given["limit_s"] = 30.0
    found = cell(given, tasks.load("copy_memory"))
    assert found["final"]["loss"]["mean"] < found["curve"]["0"][0]
    assert found["aligned"]["deviation_first"]["mean"] < 1e-5
