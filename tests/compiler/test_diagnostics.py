"""Each diagnostic is brought about, says what, where and how, and goes away when mended."""

from __future__ import annotations

import json
import linecache
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etp
from etp import xp
from etp.compiler import DiagnosticKind, DiagnosticLevel
from etp.compiler.diagnostics import LOSSES
from etp.compiler.kinds import GROUPS, kind_of
from tests.compiler.diagnostic_examples import EXAMPLES, FILE, Example, run
from tests.compiler.diagnostics_page import main, page
from tests.compiler.generate import recipes
from tests.compiler.recipes import build as from_recipe
from tests.models import CELLS, build, marked

LINES = 30
ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.kind.code)
RECORDED = pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if not e.raises], ids=lambda e: e.kind.code
)


def quietly(script: str) -> etp.Learner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        return run(script)


def pointed_at(line: int) -> str:
    return linecache.getline(FILE, line)


# -- the table -----------------------------------------------------------------------------
def test_every_code_has_an_example() -> None:
    assert [e.kind for e in EXAMPLES] == list(DiagnosticKind)


def test_codes_are_well_formed() -> None:
    codes = [k.code for k in DiagnosticKind]
    assert codes == sorted(set(codes))
    for kind in DiagnosticKind:
        assert re.fullmatch(r"ETP[1-6]\d\d", kind.code)
        assert kind.code[3] in GROUPS
        assert len(kind.meaning) > 20
        assert len(kind.mend) > 10
        assert kind.mend[0].islower()
        assert not kind.mend.endswith(".")
        assert kind_of(kind.code) is kind_of(kind.slug) is kind_of(kind) is kind
    with pytest.raises(etp.ETPError, match="did you mean 'plain-use'"):
        kind_of("plain-us")


def test_every_code_in_a_message_is_registered() -> None:
    known = {k.code for k in DiagnosticKind}
    files = [p for top in ("etp", "etp_ir", "backends") for p in (ROOT / top).rglob("*.py")]
    assert files
    for path in files:
        assert set(re.findall(r"\bETP\d{3}\b", path.read_text())) <= known, path


# -- one by one ----------------------------------------------------------------------------
@RECORDED
def test_a_record_says_what_where_and_how(example: Example) -> None:
    graph = quietly(example.script).graph
    found = graph.find(kind=example.kind)
    assert found
    assert [r for r in graph.diagnostics if r.kind is example.kind] == list(found)
    record = next(r for r in found if example.text in r.message)
    if example.line:
        assert record.source is not None
        assert record.source.file == FILE
        assert example.line in pointed_at(record.source.line)
        assert record.source.function in ("Net.__init__", "Net.__call__")
    lines = str(record).splitlines()
    assert lines[0] == f"{record.code} {record.level.value}: {record.message}"
    assert lines[-1] == record.how
    assert all(line.startswith("  ") for line in lines[1:-1])
    assert (f"  at {FILE}:" in str(record)) is (record.source is not None)
    if record.parameter:
        assert record.parameter in graph.statuses
        assert record in graph.find(parameter=record.parameter)
        told = graph.explain(record.parameter)
        assert record.code in told or record.kind is DiagnosticKind.TRACED
    if record.state:
        assert record.state in graph.states
        assert record in graph.find(state=record.state)
        assert record.code in graph.explain(state=record.state) or record.code == "ETP100"
    assert record in graph.find(level=record.level)


@RECORDED
def test_warnings_are_issued_once_at_the_users_line(example: Example) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learner = run(example.script)
        xs, ys = np.ones((5, 2, 2)), np.ones((5, 2, 3))
        for _ in range(2):
            learner.grad(xs, ys)
        learner.report()
    codes = [str(w.message)[:6] for w in caught if w.category is etp.CompilationWarning]
    assert len(codes) == len(set(codes))
    records = learner.graph.diagnostics
    grave = {r.code for r in records if r.level is DiagnosticLevel.WARNING}
    # Whole sequences of several examples were met since.
    if example.kind not in (DiagnosticKind.TRUNCATED, DiagnosticKind.SINGLE_EXAMPLE):
        assert set(codes) == grave
    mine = [w for w in caught if str(w.message).startswith(example.kind.code)]
    assert bool(mine) is (example.kind.level is DiagnosticLevel.WARNING)
    for warning in mine:
        assert example.text in str(warning.message)
        assert warning.filename == FILE
        assert example.line in pointed_at(warning.lineno)


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e.raises], ids=lambda e: e.kind.code
)  # fmt: skip
def test_an_error_carries_its_code(example: Example) -> None:
    with pytest.raises(etp.ETPError, match=re.escape(example.text)) as caught:
        quietly(example.script)
    text = str(caught.value)
    assert f"({example.kind.code})" in text
    place = re.search(rf"{re.escape(FILE)}:(\d+)", text)
    assert place is not None
    assert example.line in pointed_at(int(place[1]))


@EVERY
def test_the_mend_removes_it(example: Example) -> None:
    if not example.raises:
        assert quietly(example.script).graph.find(kind=example.kind)
    learner = quietly(example.mended)
    if not learner.engine.seen:
        learner.specialise(np.ones(2), np.ones(3))
    assert not learner.graph.find(kind=example.kind)


# What a mend may tell to compile with.
OPTIONS = r'(scope|tail|rule)="(\w+)"|(window)=(\d)'


@RECORDED
def test_the_options_that_a_record_names_remove_it(example: Example) -> None:
    """Each of them by itself, except where the mend joins them by "and"."""
    for one in quietly(example.script).graph.find(kind=example.kind):
        named = [(m[1] or m[3], m[0]) for m in re.finditer(OPTIONS, one.how)]
        for way in [dict(named)] if " and tail" in one.how else [{k: v} for k, v in named]:
            script = example.script
            for key in way:
                script = re.sub(rf', {key}=("[^"]*"|[^,()]*(\(\))?)', "", script)
            script = script.replace("example=(x, y)", ", ".join(["example=(x, y)", *way.values()]))
            assert one not in quietly(script).graph.diagnostics, (one.how, way)


class Loop(etp.Module):
    """Two groups that act on each other through weights."""

    def __init__(self) -> None:
        self.w = etp.Param(np.full((2, 3), 0.1))
        self.down = etp.Param(np.full((3, 3), 0.1))
        self.up = etp.Param(np.full((3, 3), 0.1))
        self.low = etp.State((3,))
        self.high = etp.State((3,))

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.w) + etp.matmul(self.high, self.down)
        self.low.value = 0.7 * self.low + xp.tanh(drive)
        self.high.value = 0.6 * self.high + xp.tanh(etp.matmul(self.low, self.up))
        return self.high.value


class Summed(etp.Module):
    """Two groups that act on each other without a product."""

    def __init__(self) -> None:
        self.w = etp.Param(np.full((2, 6), 0.1))
        self.v = etp.State((3, 2))
        self.a = etp.State((3,))

    def __call__(self, x: Any) -> Any:
        y = xp.reshape(etp.matmul(x, self.w), (3, 2))
        self.v.value = 0.8 * self.v + y - 0.1 * self.a.value[:, None]
        self.a.value = 0.9 * self.a + xp.sum(self.v.value, axis=1)
        return self.v.value


@pytest.mark.parametrize("scope", ["diagonal", "layered"])
@pytest.mark.parametrize("model", [Loop, Summed])
def test_feedback_is_mended_by_another_scope_than_what_feeds_forward(
    model: type[etp.Module], scope: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        graphs = {
            s: etp.compile_etrace_graph(model(), np.ones(2), scope=s)
            for s in ("diagonal", "layered", "full")
        }
    found = graphs[scope].find(kind="ETP404")
    back = {Loop: "high", Summed: "a"}[model]
    assert {r.state for r in found} == ({back} if scope == "layered" else {*graphs[scope].states})
    for one in found:
        assert one.source is not None
        wanted = "full" if one.state == back else "layered"
        assert f'scope="{wanted}"' in one.how
        assert one not in graphs[wanted].diagnostics
    assert not graphs["full"].find(kind="ETP404")


def test_what_traces_reach_everywhere_is_not_called_untraced() -> None:
    example = next(e for e in EXAMPLES if e.kind is DiagnosticKind.UNTRAINED_STATE)
    assert quietly(example.script).graph.find(kind="ETP306")
    graph = etp.compile_etrace_graph(Summed(), np.ones(2), scope="layered")
    assert "reaches a everywhere" in graph.explain("w")
    assert not graph.find(kind="ETP306")


# -- what is never silent ------------------------------------------------------------------
@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop", "rtrl", "bptt"])
@pytest.mark.parametrize("cell", marked(CELLS))
def test_whatever_is_not_exact_has_a_record_that_says_why(
    cell: str, rule: str, window: int
) -> None:
    x, y = np.ones(2), np.ones(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        learner = etp.compile(
            build(cell), rule, "mse", backend="numpy", example=(x, y), window=window
        )
        graph = learner.graph
    assert graph.statuses
    for name, status in graph.statuses.items():
        reasons = [r for r in graph.find(parameter=name) if r.kind in LOSSES]
        assert bool(reasons) is (status.status not in ("exact", "unreachable")), (name, status)
        assert all(r.why == r.kind.meaning for r in graph.find(parameter=name, kind="ETP406"))


# What the draws are compiled with, two for each.
WAYS: tuple[dict[str, Any], ...] = (
    {}, {"scope": "coupled"}, {"scope": "sparse_n(2)"}, {"scope": "layered"}, {"scope": "full"},
    {"tail": "exact"}, {"rule": "pp_prop"}, {"window": 0}, {"scope": "full", "tail": "exact"},
    {"rule": "bptt"}, {"scope": "coupled", "tail": "exact"},
)  # fmt: skip


def check_generated(recipe: Any, turn: int) -> None:
    """Assert that records and statuses of a random model speak of the same losses."""
    for way in (turn % len(WAYS), (3 * turn + 1) % len(WAYS)):
        graph = etp.compile_etrace_graph(from_recipe(recipe), np.ones(2), **WAYS[way])
        for name, status in graph.statuses.items():
            reasons = [r for r in graph.find(parameter=name) if r.kind in LOSSES]
            lossy = status.status not in ("exact", "unreachable")
            assert bool(reasons) is lossy, (name, status, WAYS[way], recipe)
            # No reason is left to the sentence of the status alone.
            assert all(r.why == r.kind.meaning for r in reasons if r.code == "ETP406")
            assert len(graph.explain(name).splitlines()) <= LINES
        for name in graph.states:
            assert len(graph.explain(state=name).splitlines()) <= LINES


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=20, derandomize=True, **QUIET)
@given(recipes(), st.integers(0, 10))
def test_records_and_statuses_of_random_models_agree(recipe: Any, turn: int) -> None:
    check_generated(recipe, turn)


@pytest.mark.slow
@settings(max_examples=400, **QUIET)
@given(recipes(), st.integers(0, 10))
def test_records_and_statuses_of_many_random_models_agree(recipe: Any, turn: int) -> None:
    check_generated(recipe, turn)


@pytest.mark.parametrize("cell", ["gru", "lstm", "lif", "alif", "leaky", "masked"])
def test_a_shipped_cell_does_not_warn(cell: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        etp.compile(
            build(cell), loss="mse", backend="numpy", example=(np.ones(2), np.ones(2))
        )  # fmt: skip


def test_one_warning_tells_of_all_the_parameters() -> None:
    with pytest.warns(etp.CompilationWarning) as caught:
        etp.compile(
            build("gru_before"), loss="mse", backend="numpy", example=(np.ones(2), np.ones(2))
        )  # fmt: skip
    (warning,) = caught
    assert str(warning.message).startswith("ETP104: the product of cell.r.w_in reaches cell.h")
    assert "(also cell.r.w_rec, cell.r.b)" in str(warning.message)


def test_a_warning_can_be_turned_off_or_into_an_error() -> None:
    def compile_it() -> None:
        etp.compile(build("rnn"), loss="mse", backend="numpy", example=(np.ones(2), np.ones(2)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "ETP405")
        compile_it()
        assert not caught
    with warnings.catch_warnings():
        warnings.simplefilter("error", etp.CompilationWarning)
        with pytest.raises(etp.CompilationWarning, match="ETP405"):
            compile_it()


def test_other_types_of_data_do_not_warn_again() -> None:
    class Any2(etp.Module):
        def __init__(self) -> None:
            self.w = etp.Param(np.ones((2, 3)))
            self.h = etp.State((3,))

        def __call__(self, x: Any) -> Any:
            self.h.value = 0.5 * self.h + xp.astype(x, xp.float32) @ self.w
            return self.h.value

    from etp import xp

    learner = etp.compile(Any2(), loss="mse", backend="numpy")
    with pytest.warns(etp.CompilationWarning, match="ETP102"):
        learner.grad(np.ones((3, 1, 2)), np.ones((3, 1, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.grad(np.ones((3, 1, 2), np.int32), np.ones((3, 1, 3)))
    assert len(learner.engine.compiled) == 2


# -- asking --------------------------------------------------------------------------------
def graph_of(cell: str, rule: str = "d_rtrl") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        return etp.compile(
            build(cell), rule, "mse", backend="numpy", example=(np.ones(2), np.ones(2))
        ).graph  # fmt: skip


def test_records_are_found_by_what_they_are_about() -> None:
    graph = graph_of("two_layers")
    (crossing,) = graph.find(kind="cross-group")
    assert crossing.state == "cell.first.h"
    assert crossing in graph.find(parameter="cell.first.gate.w_in")
    assert crossing not in graph.find(parameter="readout.weight")
    assert crossing in graph.find(state="cell.first.h", level="info")
    assert crossing not in graph.find(state="cell.first.h", level="warning")
    assert graph.find(parameter="cell.first.gate.w_in", kind="ETP100")[0].source is not None
    assert list(graph.find()) == list(graph.diagnostics)
    assert [r.code for r in graph.diagnostics] == sorted(r.code for r in graph.diagnostics)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda g: g.find(parameter="cell.first.gate.w"), "no parameter .*did you mean"),
        (lambda g: g.find(state="first.h"), "no state 'first.h'; did you mean 'cell.first.h'"),
        (lambda g: g.find(kind="ETP999"), "no diagnostic 'ETP999'; did you mean"),
        (lambda g: g.find(level="grave"), "no level 'grave'"),
        (lambda g: g.explain("cell.first.gat.b"), "did you mean 'cell.first.gate.b'"),
        (lambda g: g.explain(state="cell.first.gate.b"), "no state"),
        (lambda g: g.explain(), "explain takes one name"),
    ],
)  # fmt: skip
def test_unknown_names_are_said_to_be(ask: Any, text: str) -> None:
    with pytest.raises(etp.ETPError, match=text):
        ask(graph_of("two_layers"))


def test_records_are_plain_data_for_others() -> None:
    graph = graph_of("gru_before")
    plain = json.loads(json.dumps([r.to_dict() for r in graph.diagnostics]))
    first = next(r for r in plain if r["code"] == "ETP104")
    assert first["kind"] == "through-weight"
    assert first["level"] == "warning"
    assert first["parameter"] == "cell.r.w_in"
    assert first["file"].endswith("models.py")
    assert first["line"] > 0


STORY = """\
w: approximate
  because a path to high through `etp.matmul` (model.py:10) is not followed
  f32[2,3], 6 weights, made at model.py:3 in Net.__init__
enters
  `etp.matmul` at model.py:9 in Net.__call__
    reaches low position by position, by add (model.py:9)
    reaches high also through `etp.matmul` with u (model.py:10): not followed
in time
  low -> low  followed: mul, add
  low -> high  not followed: `etp.matmul` with u (model.py:10)
  low -> the loss
records
  ETP404 info: low acts on later values of high through `etp.matmul` with u
    to mend: compile with scope="layered", at the price that the report gives
"""


def test_the_story_of_a_parameter() -> None:
    example = next(e for e in EXAMPLES if e.kind is DiagnosticKind.CROSS_GROUP)
    graph = quietly(example.script).graph
    assert graph.explain("w") + "\n" == STORY
    state = graph.explain("high")
    assert state == graph.explain(state="high")
    assert state.startswith("high: a group of its own\n  f32[3], made at model.py:6 in Net")
    assert "reached by\n  u through `etp.matmul` at model.py:10 in Net.__call__" in state
    assert "read by\n  high of the next step" in state


def test_a_whole_story_leaves_nothing_out() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        graph = etp.compile_etrace_graph(Loop(), np.ones(2), scope="layered")
    short, whole = graph.explain("w"), graph.explain("w", full=True)
    assert "more lines (shown with full=True)" in short
    assert "more" not in whole
    assert "high -> high  followed" in whole
    lines = graph.explain("low", full=True).splitlines()
    for one in graph.find(state="low"):
        assert any(one.code in line and one.message in line for line in lines) or (
            one.code == "ETP100"
        )
    # Each mend stands below the records that it mends.
    lines = etp.compile_etrace_graph(Loop(), np.ones(2)).explain("w").splitlines()
    told = [(lines[i - 1][2:8], line) for i, line in enumerate(lines) if "to mend" in line]
    assert [(code, line.split('"')[1]) for code, line in told] == [
        ("ETP401", "full"), ("ETP404", "layered"), ("ETP404", "full"),
    ]  # fmt: skip


@pytest.mark.parametrize("cell", marked(CELLS))
def test_a_story_is_short_and_ends(cell: str) -> None:
    graph = graph_of(cell)
    for name in (*graph.statuses, *graph.states):
        story = graph.explain(name)
        assert 2 <= len(story.splitlines()) <= LINES, story
        assert story.startswith(f"{name}: ")


def test_the_report_counts_records() -> None:
    learner = quietly(next(e for e in EXAMPLES if e.kind is DiagnosticKind.PLAIN_USE).script)
    report = learner.report()
    assert report.diagnostics == learner.graph.diagnostics
    assert re.search(r"^ETP102 warning +1 x plain-use +w$", str(report), re.M)


# -- the page ------------------------------------------------------------------------------
def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "diagnostics.md").read_text() == page(), (
        "run `python -m tests.compiler.diagnostics_page docs/diagnostics.md`"
    )


def test_the_page_has_every_code() -> None:
    text = page()
    assert re.findall(r"^### (ETP\d+) ", text, re.M) == [k.code for k in DiagnosticKind]


def test_the_page_is_checked_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "page.md"
    stale.write_text("old")
    assert main([str(stale), "--check"]) == 1
    assert "is stale; run `python -m tests.compiler.diagnostics_page" in capsys.readouterr().err
    assert stale.read_text() == "old"
    assert main([str(stale)]) == 0
    assert stale.read_text() == page()
    assert main(["--check", str(stale)]) == 0
