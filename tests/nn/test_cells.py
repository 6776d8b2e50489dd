"""Every cell against its equations written out in NumPy, eagerly and traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import nn
from etp.model import Module, collect, trace_step
from etp.nn.rnn import ACTIVATIONS
from etp_ir.core import Program
from etp_ir.interpreter import evaluate
from etp_ir.parser import parse
from etp_ir.types import F64, TensorType
from etp_ir.verify import verify
from tests.nn.twins import CASES, N_IN, Arrays, N

T = 12
RNG = np.random.default_rng(0)
X = RNG.normal(size=(T, N_IN))


def make(name: str) -> Module:
    """Return the cell of a case."""
    case = CASES[name]
    return nn.cells()[case.cell](N_IN, N, rng=1, **case.options)


def randomised(make: Callable[[], Module]) -> tuple[Module, Arrays]:
    """Return a cell whose parameters, biases too, are random float64 arrays."""
    cell = make()
    rng = np.random.default_rng(7)
    for param in cell.named_params().values():
        param._array = param.value + 0.3 * rng.normal(size=param.shape)
    return cell, {path: p.value for path, p in cell.named_params().items()}


@pytest.mark.parametrize("name", list(CASES))
def test_forward_equals_the_equations(name: str) -> None:
    cell, params = randomised(lambda: make(name))
    expected = np.array(CASES[name].twin(params, X))
    assert expected.std() > 0.05
    if "lif" in name or "spike" in name:
        assert 0.02 < expected.mean() < 0.98

    eager = np.array([cell(x) for x in X])
    np.testing.assert_allclose(eager, expected, rtol=1e-12, atol=1e-14)
    cell.reset_states()
    np.testing.assert_allclose(cell(X[0]), expected[0], rtol=1e-12)

    step = trace_step(cell, TensorType(F64, (N_IN,)), "float64")
    verify(step.program)
    assert parse(str(step.program)) == step.program
    state = step.states
    for x, wanted in zip(X, expected, strict=True):
        given = {**params, **step.constants, **state, **step.bind(x)}
        out = evaluate(step.program, given)
        np.testing.assert_allclose(out["output"], wanted, rtol=1e-12, atol=1e-14)
        state = {path: out[f"state({path})"] for path in state}


# A readout of their own stands between state and output.
READERS = ("elman", "jordan", "lru", "s4d", "s5")


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith(READERS)])
def test_what_is_read_outside_follows_from_outgoing_states(name: str) -> None:
    """Cutting at the outgoing states leaves no parameter and no incoming state in the output."""
    cell, _ = randomised(lambda: make(name))
    program = trace_step(cell, TensorType(F64, (N_IN,)), "float64").program
    outgoing = {o.value for o in program.outputs_of("state")}
    seen, open_values = set(), [program.output("output").value]
    while open_values:
        value = open_values.pop()
        if value in seen or value in outgoing:
            continue
        seen.add(value)
        if value in program.producers:
            open_values += [x for x in program.producers[value].inputs if x in program.producers
                            or x in {p.value for p in program.inputs}]  # fmt: skip
    reached = {p.name for p in program.inputs if p.value in seen and p.role.kind != "const"}
    assert not reached


def test_every_cell_has_a_twin_and_a_name() -> None:
    assert {case.cell for case in CASES.values()} == set(nn.cells())
    for name, cell in nn.cells().items():
        assert getattr(nn, name) is cell
        assert name in nn.__all__


def test_input_and_recurrent_weights_are_separate_products() -> None:
    program = trace_step(nn.GRUCell(N_IN, N, rng=0), TensorType(F64, (N_IN,)), "f64").program
    sources = [
        (node.inputs[0].hint, node.inputs[1].hint)
        for node in program.nodes
        if node.primitive.name == "etp.matmul"
    ]
    assert sources == [
        (source, f"{gate}.{weight}")
        for source, weight in (("x", "w_in"), ("h", "w_rec"))
        for gate in "rzn"
    ]


# -- fused gates ---------------------------------------------------------------------------
FUSABLE: dict[str, tuple[Callable[..., Module], int, int]] = {
    # The products of one step, apart and fused; the recurrent one of n needs r with "before".
    "gru": (lambda **kw: nn.GRUCell(N_IN, N, rng=2, **kw), 6, 2),
    "gru, reset before": (lambda **kw: nn.GRUCell(N_IN, N, reset="before", rng=2, **kw), 6, 3),
    "lstm": (lambda **kw: nn.LSTMCell(N_IN, N, rng=3, **kw), 8, 2),
}


def fused_pair(name: str, rule: str, schedule: str) -> list[etp.Learner]:
    """Return learners of one network, its gates apart and fused."""
    make = FUSABLE[name][0]
    found = []
    for fused in (False, True):
        cell, _ = randomised(lambda fused=fused: make(fused=fused))
        model = nn.Sequential(cell, nn.Linear(N, 3, rng=9))
        found.append(etp.compile(
            model, rule, "softmax_cross_entropy", backend="numpy", dtype="float64",
            schedule=schedule, batch_size=2,
        ))  # fmt: skip
    return found


def count(program: Program, *primitives: str) -> int:
    return sum(node.primitive.name in primitives for node in program.walk())


@pytest.mark.parametrize("schedule", ["step", "chunk(4)"])
@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop", "rtrl", "bptt"])
@pytest.mark.parametrize("name", list(FUSABLE))
@pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
def test_fused_gates_have_the_gradients_of_separate_ones(
    name: str, rule: str, schedule: str
) -> None:
    rng = np.random.default_rng(5)
    xs, ys = rng.normal(size=(T, 2, N_IN)), rng.integers(0, 3, size=(T, 2))
    apart, fused = (lr.grad(xs, ys)[0] for lr in fused_pair(name, rule, schedule))
    assert list(apart) == list(fused)
    for path, grad in apart.items():
        scale = np.abs(grad).max()
        assert scale > 1e-4
        np.testing.assert_allclose(fused[path], grad, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize("name", list(FUSABLE))
@pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
def test_fused_gates_need_fewer_products_and_join_their_weights_once(name: str) -> None:
    _, of_apart, of_fused = FUSABLE[name]
    x, y = np.zeros(N_IN), 0
    stages = []
    for learner in fused_pair(name, "d_rtrl", "chunk"):
        learner.specialise(x, y, length=T)
        stages.append(learner.program)
    apart, fused = stages
    assert count(apart.traced, "etp.matmul") == of_apart + 1
    assert count(fused.traced, "etp.matmul") == of_fused + 1
    products = "contract", "etp.matmul"
    assert count(fused.scheduled, *products) < count(apart.scheduled, *products)
    params = {p.value for p in fused.scheduled.inputs_of("param")}
    joined = [n for n in fused.scheduled.nodes
              if n.primitive.name == "concat" and params.issuperset(n.inputs)]  # fmt: skip
    assert len(joined) == 2  # before the loop, one of w_in and one of w_rec
    inside = [n for loop in fused.scheduled.nodes for r in loop.regions for n in r.walk()]
    assert inside
    assert not any(n.primitive.name == "concat" for n in inside)


def test_paths_are_readable() -> None:
    assert list(nn.LSTMCell(2, 3, rng=0).named_params()) == [
        f"{gate}.{part}" for gate in "ifgo" for part in ("w_in", "w_rec", "b")
    ]
    assert list(nn.ALIFCell(2, 3, rng=0).named_states()) == ["synapse.i", "v", "a"]
    net = nn.Sequential(nn.LIFCell(2, 3, rng=0), nn.Linear(3, 2, rng=0, bias=False))
    assert list(collect(net).params) == [
        "layers.0.synapse.w_in", "layers.0.synapse.w_rec", "layers.1.weight",
    ]  # fmt: skip


def test_a_seed_gives_the_same_cell_and_gates_differ() -> None:
    one, two = nn.GRUCell(4, 6, rng=3), nn.GRUCell(4, 6, rng=3)
    for path, param in one.named_params().items():
        np.testing.assert_array_equal(param.value, two.named_params()[path].value)
        assert param.value.dtype == np.float32
    assert np.abs(one.r.w_in.value - one.z.w_in.value).max() > 0.1
    np.testing.assert_allclose(
        one.r.w_rec.value @ one.r.w_rec.value.T, np.eye(6), atol=1e-6
    )  # orthogonal
    assert nn.LSTMCell(2, 3, rng=0).f.b.value.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.GRUCell(2, 3, reset="afer", rng=0), "did you mean 'after'"),
        (lambda: nn.LIFCell(2, 3, reset="subtrac", rng=0), "did you mean 'subtract'"),
        (lambda: nn.VanillaRNNCell(2, 3, activation="tan", rng=0), "did you mean 'tanh'"),
    ],
)
def test_unknown_options_suggest_the_nearest(make: Any, text: str) -> None:
    from etp_ir import ModelError

    with pytest.raises(ModelError, match=text):
        make()


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_by_name_act_element_by_element(name: str) -> None:
    x = np.linspace(-3, 3, 13)
    whole = ACTIVATIONS[name](x)
    np.testing.assert_array_equal(whole, [ACTIVATIONS[name](x[i : i + 1])[0] for i in range(13)])
    cell = nn.VanillaRNNCell(2, 3, activation=name, rng=0)
    assert cell(np.ones(2)).shape == (3,)
