"""The compiler by the names of the field: graph, groups, relations, perturbations, modules."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import etp
from etp import compiler
from etp.compiler.boundary import Boundary
from etp.compiler.pieces import Pieces
from etp_ir import ops
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower
from etp_ir.types import F64
from tests.models import CELLS, N_IN, N_REC, build, marked

X = np.array([0.3, -0.8])
Y = np.array([0.5, -0.2])


def test_a_graph_needs_no_learner_and_no_backend() -> None:
    model = build("lstm")
    before = model.state_dict()
    graph = etp.compile_etrace_graph(model, X, dtype="float64")
    assert [g.states for g in graph.groups] == [("cell.c", "cell.h")]
    assert graph.groups[0].shape == (N_REC,)
    assert all(r.group is graph.groups[0] for r in graph.relations)
    assert {r.name for r in graph.relations} >= {"cell.i.w_in", "cell.o.w_rec", "cell.f.b"}
    assert graph.find(kind="coupled-in-step")
    assert repr(graph).startswith("<ETraceGraph of WithReadout: groups cell.c cell.h; ")
    after = model.state_dict()
    assert all(np.array_equal(before[n], after[n]) for n in before)


def test_it_is_the_graph_of_the_learner() -> None:
    graph = etp.compile_etrace_graph(build("gru"), X, Y, loss="mse", rule="pp_prop")
    learner = etp.compile(build("gru"), "pp_prop", "mse", backend="numpy", example=(X, Y), window=1)
    assert graph.statuses == learner.graph.statuses
    assert [r.message for r in graph.diagnostics] == [r.message for r in learner.graph.diagnostics]


def test_a_graph_does_not_warn_but_records() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = etp.compile_etrace_graph(build("rnn"), X)
    assert graph.find(level="warning", kind="no-transition")


def test_groups_and_relations_of_a_model() -> None:
    groups = compiler.find_hidden_groups(build("two_layers"), X)
    assert [g.states for g in groups] == [("cell.first.h",), ("cell.second.h",)]
    relations = compiler.find_hidden_param_op_relations(build("leaky"), X)
    assert [(r.name, r.node.primitive.name) for r in relations] == [
        ("cell.a", "etp.element_wise"), ("cell.w", "etp.matmul"),
    ]  # fmt: skip
    assert isinstance(relations[0], compiler.HiddenParamOpRelation)
    assert isinstance(relations[0].group, compiler.HiddenGroup)


def test_what_a_module_holds() -> None:
    info = compiler.extract_module_info(build("coupled"), X, dtype="float64")
    assert list(info.params) == ["cell.w_in", "cell.w_gate", "readout.weight", "readout.bias"]
    assert list(info.states) == ["cell.c", "cell.h"]
    assert str(info.params["cell.w_in"]) == f"f64[{N_IN},{N_REC}]"
    assert info.sources["cell.c"].file.endswith("models.py")
    assert info.sources["cell.c"].line == info.sources["cell.h"].line - 1
    assert "4 parameters, 2 states" in repr(info)
    assert [p.key for p in info.program.outputs] == ["output", "state(cell.c)", "state(cell.h)"]


@pytest.mark.parametrize("call", [compiler.extract_module_info, etp.compile_etrace_graph])
def test_what_is_no_model_is_refused(call) -> None:
    with pytest.raises(etp.ModelError, match=r"must be an etp.Module, got str\n  called at"):
        call("gru", X)
    with pytest.raises(etp.DataError, match="x is None"):
        call(build("gru"), None)


# -- perturbations -------------------------------------------------------------------------
def perturbed(cell: str) -> tuple[compiler.ETraceGraph, dict[str, np.ndarray]]:
    model = build(cell)
    graph = etp.compile_etrace_graph(model, X, Y, loss="mse", dtype="float64")
    rng = np.random.default_rng(3)
    program = graph.structure.program
    given = {p.name: rng.normal(size=p.type.shape) * 0.5 for p in program.inputs}
    return graph, given


# The surrogate derivative of a spike is no derivative of the step. What a Jordan network gives out
# does not depend on what its state is afterwards.
SILENT = ("lif", "spike", "jordan")


@pytest.mark.parametrize("cell", marked(n for n in CELLS if not any(s in n for s in SILENT)))
def test_the_signal_is_the_derivative_with_respect_to_a_perturbation(cell: str) -> None:
    graph, given = perturbed(cell)
    moved = 0.0
    for group in graph.groups:
        view = compiler.add_hidden_perturbation(graph.structure, group)
        zeros = {name: np.zeros(group.shape) for name in view.inputs.values()}
        plain = evaluate(lower(graph.structure.program), given)["loss"]
        base = evaluate(lower(view.program), {**given, **zeros})["loss"]
        np.testing.assert_allclose(base, plain, rtol=1e-13)
        signals = evaluate(lower(view.signals()), {**given, **zeros, "ct_0": np.array(1.0)})
        for state, name in view.inputs.items():
            numeric = np.zeros(group.shape)
            for i in np.ndindex(group.shape):
                ends = []
                for sign in (1, -1):
                    small = zeros[name].copy()
                    small[i] = sign * 1e-6
                    arrays = {**given, **zeros, name: small}
                    ends.append(float(evaluate(lower(view.program), arrays)["loss"]))
                numeric[i] = (ends[0] - ends[1]) / 2e-6
            got = signals[f"grad({name})"]
            np.testing.assert_allclose(got, numeric, atol=1e-8, err_msg=state)
            moved += float(np.abs(got).max())
    assert moved > 1e-3


@pytest.mark.parametrize("cell", ["lstm", "coupled", "alif", "two_layers"])
def test_it_is_the_signal_that_rules_are_given(cell: str) -> None:
    graph, given = perturbed(cell)
    for group in graph.groups:
        pieces = Pieces(graph.structure, "probe")
        seed = ops.full(pieces.builder, (), 1.0, F64)
        found, _ = Boundary(pieces, seed, group.states).pull()
        program = pieces.builder.finish([(s.value, f"signal({n})") for n, s in found.items()])
        wanted = evaluate(lower(program), given)
        view = compiler.add_hidden_perturbation(graph.structure, group)
        zeros = {name: np.zeros(group.shape) for name in view.inputs.values()}
        got = evaluate(lower(view.signals()), {**given, **zeros, "ct_0": np.array(1.0)})
        assert found
        for n in found:
            np.testing.assert_allclose(
                got[f"grad({view.inputs[n]})"], wanted[f"signal({n})"], atol=1e-14
            )


def test_a_group_of_another_model_is_refused() -> None:
    one, _ = perturbed("gru")
    other, _ = perturbed("lstm")
    with pytest.raises(etp.ModelError, match="no hidden group 'cell.c cell.h'"):
        compiler.add_hidden_perturbation(one.structure, other.groups[0])
