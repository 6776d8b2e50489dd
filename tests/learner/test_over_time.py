"""Traces by weight, and states, traces and gradients recorded over time."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import etp
from tests.models import build, data

BACKENDS = [n for n, why in etp.backends.available().items() if why is None]


def learner(model: str = "coupled", rule: object = "d_rtrl", **options: object) -> etp.Learner:
    options = {"backend": "numpy", "dtype": "float64", **options}
    return etp.compile(build(model), rule, "mse", batch_size=2, **options)


def same(got: object, want: object) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-12, atol=1e-14)


# -- by weight ------------------------------------------------------------------------------
def test_a_weight_has_its_traces() -> None:
    lr, (x, y) = learner(), data(3, 2)
    lr.step(x[0], y[0])
    trace = lr.traces["cell.w_in"]
    assert trace.weight == "cell.w_in"
    assert trace.slots == ("e",)
    assert trace.states == ("cell.c", "cell.h")
    for state in ("h", "cell.h", ("e", "h")):
        assert trace[state] is lr.traces["e.cell.w_in.cell.h"]
    assert trace["h"].shape == (2, 2, 3)
    assert [p.axes for p in trace.parts] == [("example", "input", "result")] * 2
    assert {p.letters for p in trace.parts} == {trace.parts[0].letters}
    assert len(trace.parts[0].letters) == 2
    assert np.abs(trace["h"]).max() > 1e-3
    with pytest.raises(etp.ModelError, match=r"2 arrays are kept for 'cell.w_in'.*'cell.c'"):
        _ = trace.array
    with pytest.raises(KeyError, match="nothing is kept .* under 'v'"):
        _ = trace["v"]
    with pytest.raises(etp.ModelError, match="several arrays are kept"):
        _ = trace["e"]
    assert "e of cell.h: (2, 2, 3) over example, input, result" in repr(trace)


def test_one_array_is_the_trace_itself() -> None:
    lr, (x, y) = learner("rnn", "rtrl"), data(3, 2)
    lr.step(x[0], y[0])
    trace = lr.traces["cell.gate.b"]
    assert trace.axes == ("example", "result", "position of cell.h")
    assert trace.shape == (2, 3, 3)
    assert np.asarray(trace) is trace.array
    assert np.abs(trace).max() > 1e-3


def test_factors_and_random_products() -> None:
    (x, y), whole = data(3, 2), {}
    for rule in ("pp_prop", "uoro"):
        lr = learner("rnn", rule)
        lr.step(x[0], y[0])
        whole[rule] = lr.traces["cell.gate.w_in"]
    assert whole["pp_prop"].slots == ("x", "f")
    assert whole["pp_prop"]["x"].shape == (2, 2)
    assert whole["pp_prop"].parts[0].axes == ("example", "input")
    assert whole["pp_prop"].parts[1].axes == ("example", "result")
    assert whole["uoro"].array.shape == (2, 2, 3)


def test_raw_names_are_the_keys() -> None:
    lr, (x, y) = learner(), data(3, 2)
    assert lr.traces == {}
    with pytest.raises(KeyError, match="call step first"):
        _ = lr.traces["cell.w_in"]
    lr.step(x[0], y[0])
    assert set(lr.traces) == {f"e.cell.{w}.cell.{s}" for w in ("w_in", "w_gate") for s in "ch"}
    assert len(lr.traces) == 4
    assert "cell.w_in" in lr.traces
    with pytest.raises(etp.ModelError, match=r"no trace is kept for 'readout.weight'.*\n.*explain"):
        _ = lr.traces["readout.weight"]
    with pytest.raises(etp.ModelError, match="did you mean 'cell.w_in'"):
        _ = lr.traces["cell.w_im"]


def test_what_units_emit_is_no_trace() -> None:
    (x, y), lr = data(3, 2), learner("alif", etp.EProp(0.8))
    lr.step(x[0], y[0])
    assert "cell.v.emitted" in lr.stream
    assert all(name.startswith("e_") for name in lr.traces)
    assert "cell.v.emitted" in lr.traces["cell.synapse.w_in"].states


# -- over time ------------------------------------------------------------------------------
@pytest.mark.parametrize("rule", [
    "d_rtrl", "pp_prop", "uoro", etp.RuleConfig(post="kappa(0.8)", signal="random"),
])  # fmt: skip
def test_a_record_is_what_a_stream_shows(rule: object) -> None:
    x, y = data(5, 2)
    lr, other = learner("coupled", rule), learner("coupled", rule)
    found = lr.record(x, y, traces="all", states="all", gradients="all")
    assert isinstance(found.traces["cell.w_in"], etp.EligibilityTrace)
    for t in range(5):
        same(found.loss[t], other.step(x[t], y[t]))
        assert set(found.traces) == set(other.traces)
        for name, array in other.traces.items():
            same(found.traces[name][t], array)
        for name, array in other.states.items():
            same(found.states[name][t], array)
        for name, array in other.gradients.items():
            same(found.gradients[name][t], array)
    assert max(np.abs(found.traces[n]).max() for n in found.traces) > 1e-3


def test_by_name_and_with_a_mask() -> None:
    x, y = data(4, 2)
    lr, mask = learner(), np.array([1.0, 0.0, 1.0, 1.0])
    found = lr.record(
        x, y, mask, traces=["cell.w_in"], states=["cell.h"], gradients=["readout.bias"]
    )  # fmt: skip
    assert list(found.states) == ["cell.h"]
    assert found.states["cell.h"].shape == (4, 2, 3)
    assert list(found.traces) == ["e.cell.w_in.cell.c", "e.cell.w_in.cell.h"]
    trace = found.traces["cell.w_in"]
    assert trace.parts[0].axes == ("step", "example", "input", "result")
    assert found.loss[1] == 0
    assert not found.gradients["readout.bias"][1].any()
    assert found.gradients["readout.bias"][2].any()
    assert found.traces["cell.w_in"]["h"][1].any()
    assert list(lr.record(x, y, traces="e.cell.w_in.cell.h").traces) == ["e.cell.w_in.cell.h"]


def test_nothing_of_the_learner_moves() -> None:
    x, y = data(6, 2)
    lr, other = learner("coupled", "uoro"), learner("coupled", "uoro")
    for made in (lr, other):
        made.step(x[0], y[0])
    before, text = copy.deepcopy(lr.state_dict()), str(lr.report())
    lr.record(x[:3], y[:3], traces="all")
    after = lr.state_dict()
    assert before["random"] == after["random"]
    for part in ("stream", "params", "buffers", "rule_arrays"):
        assert set(before[part]) == set(after[part])
        for name, array in before[part].items():
            np.testing.assert_array_equal(after[part][name], array)
    assert str(lr.report()) == text
    assert lr.step(x[1], y[1]) == other.step(x[1], y[1])
    with pytest.raises(etp.ModelError):
        lr.record(x, y, states=["nothing"])
    assert lr.step(x[2], y[2]) == other.step(x[2], y[2])


def test_a_record_before_anything_leaves_nothing() -> None:
    x, y = data(3, 2)
    lr = learner()
    lr.record(x, y, states="all")
    assert lr.traces == lr.states == lr.gradients == {}
    lr.grad(x, y)
    assert "streamed" not in str(lr.report())


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_records_the_same(backend: str) -> None:
    x, y = data(3, 2)
    want = learner().record(x, y, traces=["cell.w_in"], states="all")
    lr = learner(backend=backend, dtype="float32")
    got = lr.record(x, y, traces=["cell.w_in"], states="all")
    kind = type(lr.backend.asarray(np.zeros(1, np.float32)))
    for name, array in {**got.traces, **got.states}.items():
        assert isinstance(array, kind)
        wanted = {**want.traces, **want.states}[name]
        np.testing.assert_allclose(lr.backend.to_numpy(array), wanted, rtol=1e-4, atol=1e-5)


def test_several_inputs_and_modulators() -> None:
    x, y = data(4, 2)
    lr = learner("coupled", "three_factor")
    found = lr.record(x, y, gradients=["cell.w_in"], modulator=np.array([0.0, 1.0, 2.0, 0.0]))
    live = np.abs(found.gradients["cell.w_in"]).max((1, 2))
    assert live[0] == live[3] == 0
    assert min(live[1:3]) > 1e-4


def test_what_cannot_be_recorded() -> None:
    x, y = data(3, 2)
    with pytest.raises(etp.NotSupportedError, match="keeps nothing between steps"):
        learner(rule="bptt").record(x, y, states="all")
    with pytest.raises(etp.ModelError, match=r"no state 'cell.hh' .*did you mean 'cell.h'"):
        learner().record(x, y, states=["cell.hh"])
    with pytest.raises(etp.ModelError, match="test_over_time"):
        learner().record(x, y, traces=["cell.v"])
    with pytest.raises(
        etp.ModelError, match=r"(?s)no trace 'cell.ww'; did you.*there are those of c"
    ):
        learner().record(x, y, traces=["cell.ww"])
