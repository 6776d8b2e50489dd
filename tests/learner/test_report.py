"""What was compiled is data, a table, and text that is the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import etp
from etp.compiler.diagnostics import LOSSES
from etp_ir.parser import parse
from etp_ir.printer import to_text
from etp_ir.verify import verify
from tests.learner.setups import BATCH, LENGTH, learner
from tests.models import CELLS, N_IN, N_OUT, N_REC, data

X, Y = data(LENGTH, BATCH)
STAGES = ("traced", "compiled", "batched", "scheduled")


def compiled(model: str, rule: str = "d_rtrl", **options: Any) -> etp.Learner:
    return learner(
        model, rule, example=(X[0, 0], Y[0, 0]), length=LENGTH, batch_size=BATCH, **options
    )


# -- the report ----------------------------------------------------------------------------
TABLE = """\
rule           d_rtrl, window 1, scope diagonal
runs on        numpy, batch of 3
schedule       chunk(7): {why}
hidden groups  cell.h
one step       {cost}, 1.37 kB of traces

approximate: the path cell.h -> cell.h through `etp.matmul` ({place}) is not followed in time
  cell.r.w_in     2x3  144 B     of cell.h
  cell.r.w_rec    3x3  216 B     of cell.h
  cell.r.b        3    72 B      of cell.h
  cell.z.w_in     2x3  144 B     of cell.h
  cell.z.w_rec    3x3  216 B     of cell.h
  cell.z.b        3    72 B      of cell.h
  cell.n.w_in     2x3  144 B     of cell.h
  cell.n.w_rec    3x3  216 B     of cell.h
  cell.n.b        3    72 B      of cell.h
  cell.b_rec      3    72 B      of cell.h

exact: it acts within the step; its direct gradient is all there is
  readout.weight  3x2  no trace
  readout.bias    2    no trace

{scopes}
ETP100 info     10 x traced                cell.r.w_in, cell.z.w_in and 8 more
ETP401 info      1 x recurrent-product     cell.h
"""


def test_the_table_of_a_gru() -> None:
    report = compiled("gru").report()
    text = str(report)
    # Line numbers and the arithmetic left after simplification are for others to fix.
    cost = text.partition("one step       ")[2].partition(", 1.37 kB of traces")[0]
    place = text.partition("`etp.matmul` (")[2].partition(")")[0]
    scopes = text.partition("no trace\n\nscope ")[2].partition("\nETP100")[0]
    assert text == TABLE.format(cost=cost, place=place, why=report.why, scopes=f"scope {scopes}")
    rows = [line.split()[:4] for line in scopes.splitlines()[1:]]
    assert rows[0] == ["diagonal", "2", "of", "12"]
    assert rows[-1] == ["full", "12", "of", "12"]
    assert cost.endswith(" moved")
    assert place.startswith("models.py:")
    assert max(map(len, text.splitlines())) < 120


def test_the_table_goes_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report = compiled("gru").report()
    report.print()
    assert capsys.readouterr().out.split() == str(report).split()


def test_the_report_is_data() -> None:
    report = compiled("leaky").report()
    assert list(report.parameters) == ["cell.w", "cell.a", "readout.weight", "readout.bias"]
    w = report.parameters["cell.w"]
    assert (w.status, w.shape, w.states) == ("exact", (N_IN, N_REC), ("cell.h",))
    assert w.trace_shape == ((N_IN, N_REC),)
    assert w.trace_bytes == BATCH * N_IN * N_REC * 8
    readout = report.parameters["readout.weight"]
    assert (readout.status, readout.trace_shape, readout.trace_bytes) == ("exact", (), 0)
    assert "direct gradient" in readout.reason
    assert (report.rule, report.backend, report.window) == ("d_rtrl", "numpy", 1)
    assert report.batch_size == BATCH
    assert report.groups == (("cell.h",),)
    assert report.schedule == "chunk(7)"
    assert "so no trace need exist" in report.why
    assert {r.code for r in report.diagnostics} == {"ETP100"}


def test_the_report_is_plain_data_for_others() -> None:
    report = compiled("coupled", "pp_prop").report()
    plain = json.loads(json.dumps(report.to_dict()))
    assert list(plain["parameters"]) == list(report.parameters)
    entry = plain["parameters"]["cell.w_in"]
    assert entry["trace_shape"] == [list(s) for s in report.parameters["cell.w_in"].trace_shape]
    assert entry["status"] == "approximate"
    assert plain["diagnostics"] == [r.to_dict() for r in report.diagnostics] != []
    assert plain["flops_per_step"] == report.flops_per_step > 0
    assert plain["bytes_per_step"] == report.bytes_per_step > 0


STATUSES = {
    ("leaky", "d_rtrl"): {"cell.w": "exact", "cell.a": "exact", "readout.bias": "exact"},
    ("gru", "d_rtrl"): {"cell.r.w_in": "approximate", "readout.weight": "exact"},
    ("gru", "rtrl"): {"cell.r.w_in": "exact", "cell.n.w_rec": "exact"},
    ("gru", "bptt"): {"cell.r.w_in": "exact", "cell.n.w_rec": "exact"},
    ("leaky", "pp_prop"): {"cell.w": "approximate"},
    ("plain", "d_rtrl"): {"cell.u": "direct-only", "cell.w": "approximate"},
}


@pytest.mark.parametrize(("model", "rule"), STATUSES)
def test_every_parameter_has_a_status_and_a_reason(model: str, rule: str) -> None:
    lr = compiled(model, rule)
    report = lr.report()
    assert list(report.parameters) == list(lr.params)
    for name, status in STATUSES[model, rule].items():
        assert report.parameters[name].status == status
    for name, entry in report.parameters.items():
        assert len(entry.reason) > 20
        reasons = [r for r in lr.graph.find(parameter=name) if r.kind in LOSSES]
        assert bool(reasons) is (entry.status != "exact")
        assert lr.graph.explain(name).startswith(f"{name}: {entry.status}\n  because ")


def test_a_parameter_that_reaches_nothing_is_said_to() -> None:
    class Idle(etp.Module):
        def __init__(self) -> None:
            self.w = etp.Param(np.ones((N_IN, N_OUT)))
            self.idle = etp.Param(np.ones(4))
            self.h = etp.State((N_OUT,))

        def __call__(self, x: Any) -> Any:
            self.h.value = self.h * 0.5 + etp.matmul(x, self.w)
            return self.h.value

    lr = etp.compile(Idle(), loss="mse", backend="numpy", example=(X[0, 0], Y[0, 0]))
    assert lr.report().parameters["idle"].status == "unreachable"
    assert lr.report().parameters["w"].status == "exact"
    assert not np.any(lr.grad(X, Y)[0]["idle"])


@pytest.mark.parametrize(
    ("model", "rule"), [("gru", "d_rtrl"), ("lif", "pp_prop"), ("rnn", "rtrl")]
)
def test_the_bytes_of_traces_are_those_that_are_kept(model: str, rule: str) -> None:
    lr = compiled(model, rule)
    lr.step(X[0], Y[0])
    kept = {n: x.nbytes for n, x in lr.traces.items() if n != "steps"}
    told = {n: p.trace_bytes for n, p in lr.report().parameters.items()}
    assert sum(told.values()) == sum(kept.values()) > 0
    for name in told:
        assert told[name] == sum(b for n, b in kept.items() if f".{name}." in n), name


def test_narrow_traces_take_fewer_bytes() -> None:
    wide, narrow = compiled("gru"), compiled("gru", trace_dtype="float16")
    bytes_of = [
        sum(p.trace_bytes for p in lr.report().parameters.values()) for lr in (wide, narrow)
    ]
    assert bytes_of[0] == 4 * bytes_of[1]


@pytest.mark.parametrize(
    ("schedule", "label", "why"),
    [
        ("step", "step", "asked for"), ("auto", "chunk(7)", "fits in memory"),
        ("chunk(3)", "chunk(3)", "chunks of 3 steps, as asked for"),
        (2, "chunk(2)", "as asked for"),
    ],
)  # fmt: skip
def test_the_schedule_and_why(schedule: Any, label: str, why: str) -> None:
    report = compiled("gru", schedule=schedule).report()
    assert report.schedule == label
    assert why in report.why


# -- dumps ---------------------------------------------------------------------------------
CASES = [
    pytest.param(cell, rule, marks=() if fast else pytest.mark.slow)
    for cell in CELLS
    for rule in ("d_rtrl", "pp_prop", "bptt", "rtrl")
    for fast in [cell in ("gru", "lif", "masked") and rule in ("d_rtrl", "pp_prop")]
]


@pytest.mark.parametrize(("model", "rule"), CASES)
def test_every_stage_is_valid_and_makes_the_trip_through_text(model: str, rule: str) -> None:
    for schedule in ("auto", "step") if rule != "rtrl" else ("auto",):
        stages = compiled(model, rule, schedule=schedule).program
        for stage in STAGES:
            program = getattr(stages, stage)
            verify(program, stage)
            text = to_text(program)
            read = parse(text)
            assert to_text(read) == text
            assert read == program
            assert to_text(program, locations=True) == to_text(
                parse(to_text(program, locations=True)), locations=True
            )


def test_stages_are_what_they_are_called() -> None:
    stages = compiled("gru").program
    kinds = {s: {p.role.kind for p in getattr(stages, s).outputs} for s in STAGES}
    assert kinds["traced"] == {"output", "loss", "state"}
    assert kinds["compiled"] == kinds["batched"] == {"output", "loss", "state", "trace", "grad"}
    assert kinds["scheduled"] == {"loss", "state", "grad"}
    shapes = [str(getattr(stages, s).input("x").type) for s in STAGES]
    assert shapes == ["f64[2]", "f64[2]", "f64[3,2]", "f64[7,3,2]"]


DUMP = """
import numpy as np
from tests.learner.test_report import STAGES, compiled
from etp_ir.printer import to_text

for model, rule in [("gru", "d_rtrl"), ("masked", "pp_prop"), ("lif", "d_rtrl"), ("rnn", "rtrl")]:
    lr = compiled(model, rule)
    for stage in STAGES:
        print(to_text(getattr(lr.program, stage), locations=True))
    print(lr.report())
    print(list(lr.state_dict()["params"]))
    for name in lr.params:
        print(lr.graph.explain(name))
lr.fit([(np.ones((5, 2, 2)), np.ones((5, 2, 2)))], update=2)
for executable in lr.engine.executables.values():
    print(executable.program)
    print(executable.source.text)
"""


def test_dumps_are_the_same_in_every_process() -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", DUMP], stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                 "PYTHONHASHSEED": seed},
        )
        for seed in ("0", "1", "2024")
    ]  # fmt: skip
    first, *others = [child.communicate()[0] for child in children]
    assert all(child.returncode == 0 for child in children)
    assert len(first.splitlines()) > 1000
    assert all(other == first for other in others)
