"""Tracing one step: what the program contains, and what every mistake says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etp import nn
from etp.functional import element_wise, matmul
from etp.model import Module, Param, State, trace_step
from etp_ir import ETPError, ModelError, ShapeError
from etp_ir import namespace as xp
from etp_ir.interpreter import evaluate
from etp_ir.types import F32, F64, I32, TensorType
from etp_ir.verify import verify

RNG = np.random.default_rng(0)
X = TensorType(F32, (2,))


class Net(Module):
    """A recurrent network with everything a program can contain."""

    def __init__(self) -> None:
        self.w = Param(RNG.normal(size=(5, 3)))
        self.frozen = Param(RNG.normal(size=3), trainable=False)
        self.mask = RNG.integers(0, 2, size=(5, 3)).astype(float)
        self.unused = RNG.normal(size=3)
        self.h = State((3,), init=0.25)
        self.count = State((), dtype="int32")

    def __call__(self, x: Any) -> Any:
        joined = xp.concat([x, self.h])
        z = matmul(joined, self.mask * self.w) + self.frozen
        self.count.value = self.count.value + 1
        self.h.value = xp.tanh(z)
        return self.h * 2.0


def test_ports_of_the_program() -> None:
    net = Net()
    step = trace_step(net, X, "float64", name="net")
    verify(step.program)
    ports = [(p.name, str(p.role), str(p.type)) for p in step.program.inputs]
    assert ports == [
        ("x", "input", "f64[2]"), ("w", "param", "f64[5,3]"), ("frozen", "const", "f64[3]"),
        ("h", "state", "f64[3]"), ("count", "state", "i32[]"), ("mask", "const", "f64[5,3]"),
    ]  # fmt: skip
    assert [(o.key, str(o.type)) for o in step.program.outputs] == [
        ("output", "f64[3]"), ("state(h)", "f64[3]"), ("state(count)", "i32[]"),
    ]  # fmt: skip
    assert step.program.name == "net"
    assert list(step.params) == ["w"]
    np.testing.assert_array_equal(step.states["h"], [0.25] * 3)
    assert set(step.constants) == {"frozen", "mask"}
    assert {node.source.function.split(".")[-1] for node in step.program.nodes} == {"__call__"}
    assert all("test_step.py" in node.source.file for node in step.program.nodes)

    x = RNG.normal(size=2)
    given = {**step.params, **step.states, **step.constants, **step.bind(x)}
    out = evaluate(step.program, given)
    wanted = np.tanh(np.concatenate([x, [0.25] * 3]) @ (net.mask * net.w.value) + net.frozen.value)
    np.testing.assert_allclose(out["state(h)"], wanted, rtol=1e-14)
    np.testing.assert_allclose(out["output"], 2 * wanted, rtol=1e-14)
    assert out["state(count)"] == 1


def test_values_are_named_after_local_variables() -> None:
    text = str(trace_step(Net(), X).program)
    assert "%joined = concat %x, %h" in text
    assert "%z = add" in text
    assert "%h_next = tanh %z" in text
    outer = nn.Sequential(Net(), nn.Linear(3, 2, rng=0))
    assert "%layers.0.z = add" in str(trace_step(outer, X).program)


def test_tracing_changes_nothing() -> None:
    net = Net()
    net(RNG.normal(size=2))
    before = net.state_dict()
    hidden = net.h.value
    first = trace_step(net, X)
    assert net.h.value is hidden
    for path, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[path])
    assert str(trace_step(net, X).program) == str(first.program)
    # A sequence starts from init, not from where an eager run has left the state.
    np.testing.assert_array_equal(first.states["h"], np.full(3, 0.25, np.float32))
    first.params["w"][:] = 0
    assert np.abs(net.w.value).max() > 0


class Shared(Module):
    """One weight under two names, one submodule applied twice, one state written twice."""

    def __init__(self) -> None:
        self.a = Param(RNG.normal(size=(2, 2)))
        self.b = self.a
        self.cell = nn.VanillaRNNCell(2, 2, rng=0)
        self.acc = State((2,))

    def __call__(self, x: Any) -> Any:
        y = self.cell(self.cell(matmul(x, self.a)))
        self.acc.value = self.acc.value + y
        self.acc.value = 0.5 * self.acc.value
        return matmul(self.acc.value, self.b)


def test_shared_parts() -> None:
    net = Shared()
    step = trace_step(net, X, F64)
    assert step.aliases == {"b": "a"}
    assert [p.name for p in step.program.inputs_of("param")].count("a") == 1
    x = RNG.normal(size=2)
    out = evaluate(step.program, {**step.params, **step.states, **step.bind(x)})
    for param in net.named_params().values():
        param._array = param.value.astype(np.float64)
    np.testing.assert_allclose(out["output"], net(x), rtol=1e-12)
    for path, state in net.named_states().items():
        np.testing.assert_allclose(out[f"state({path})"], state.value, rtol=1e-12)


class TwoInputs(Module):
    def __init__(self) -> None:
        self.x = Param(np.ones((2, 3)))
        self.h = State((3,))

    def __call__(self, inputs: Any) -> Any:
        first, second = (inputs["a"], inputs["b"]) if isinstance(inputs, dict) else inputs
        self.h.value = matmul(first, self.x) + second[0]
        return self.h.value


def test_several_inputs() -> None:
    types = {"a": X, "b": TensorType(I32, (1,))}
    step = trace_step(TwoInputs(), types)
    # The parameter is called x, so the inputs go by another name.
    assert [p.name for p in step.program.inputs_of("input")] == ["input.a", "input.b"]
    bound = step.bind({"a": np.ones(2), "b": np.array([3])})
    out = evaluate(step.program, {**bound, **step.params, **step.states})
    np.testing.assert_array_equal(out["output"], [5, 5, 5])
    pair = trace_step(TwoInputs(), tuple(types.values()))
    assert [p.name for p in pair.program.inputs_of("input")] == ["input.0", "input.1"]
    assert list(pair.bind((1, 2)).values()) == [1, 2]


def test_number_and_constant_as_next_state() -> None:
    class Constant(Module):
        def __init__(self) -> None:
            self.w = Param(np.ones(2))
            self.a = State((2,))
            self.b = State((2,))

        def __call__(self, x: Any) -> Any:
            self.a.value = 3
            self.b.value = np.array([1.0, 2.0])
            return x * self.w + self.a.value

    step = trace_step(Constant(), X)
    out = evaluate(step.program, {**step.params, **step.states, **step.constants, "x": np.zeros(2)})
    assert out["state(a)"].tolist() == [3, 3]
    assert out["state(b)"].tolist() == [1, 2]


# -- mistakes ------------------------------------------------------------------------------
class Base(Module):
    def __init__(self) -> None:
        self.w = Param(np.ones((2, 3)))
        self.h = State((3,))
        self.c = State((3,))


class ReturnsNone(Base):
    def __call__(self, x: Any) -> Any:
        self.h.value = self.c.value = matmul(x, self.w)


class ReturnsPair(Base):
    def __call__(self, x: Any) -> Any:
        self.h.value = self.c.value = matmul(x, self.w)
        return self.h.value, self.c.value


class Branching(Base):
    def __call__(self, x: Any) -> Any:
        if x[0] > 0:
            return x
        return -x


class WrongWidth(Base):
    def __call__(self, x: Any) -> Any:
        self.h.value = matmul(xp.concat([x, x]), self.w)
        return self.h.value


class WrongSum(Base):
    def __call__(self, x: Any) -> Any:
        self.h.value = x + self.h.value
        return x


class WrongStateShape(Base):
    def __call__(self, x: Any) -> Any:
        self.h.value = x
        return x


class WrongStateType(Base):
    def __call__(self, x: Any) -> Any:
        self.h.value = self.h.value > 0
        return x


class InPlace(Base):
    def __call__(self, x: Any) -> Any:
        total = np.zeros(2)
        total += x
        return total


class AssignsAttribute(Base):
    def __call__(self, x: Any) -> Any:
        self.last = x
        return x


class AssignsState(Base):
    def __call__(self, x: Any) -> Any:
        self.h = matmul(x, self.w)
        return self.h


class AssignsParam(Base):
    def __call__(self, x: Any) -> Any:
        self.w.value = 2 * self.w.value
        return x


class Stranger(Base):
    def __call__(self, x: Any) -> Any:
        return matmul(x, Param(np.ones((2, 3))))


class TwoArguments(Base):
    def __call__(self, x: Any, y: Any) -> Any:
        return x


class AsNumber(Base):
    def __call__(self, x: Any) -> Any:
        return x * float(self.h.value[0])


class NoCall(Base):
    pass


@pytest.mark.parametrize(
    ("model", "error", "texts"),
    [
        (ReturnsNone, ModelError, ["__call__ returned None", "ReturnsNone.__call__", "return"]),
        (ReturnsPair, ModelError, ["returned a tuple of 2", "xp.concat"]),
        (Branching, ModelError, ["no truth value", "Branching.__call__", "xp.where"]),
        (WrongWidth, ShapeError, ["width 4 for a weight of 2 inputs", "%w: f32[2,3]",
                                  "WrongWidth.__call__"]),
        (WrongSum, ShapeError, ["cannot broadcast f32[2] and f32[3]", "%x", "WrongSum.__call__"]),
        (WrongStateShape, ShapeError, ["state 'h' is f32[3]", "f32[2]", "WrongStateShape"]),
        (WrongStateType, ModelError, ["state 'h' is f32[3]", "bool[3]", "xp.float32"]),
        (InPlace, ModelError, ["np.add would write", "InPlace.__call__", "y = x + ..."]),
        (AssignsAttribute, ModelError, ["self.last is assigned inside a step", "etp.State"]),
        (AssignsState, ModelError, ["self.h is a State and would be lost", "self.h.value"]),
        (AssignsParam, ModelError, ["only a State can be", "AssignsParam.__call__"]),
        (Stranger, ModelError, ["is not part of it", "Stranger.__call__", "attribute"]),
        (TwoArguments, ModelError, ["must take one argument", "TwoArguments", "dict or a tuple"]),
        (AsNumber, ModelError, ["not a number yet", "AsNumber.__call__"]),
        (NoCall, ModelError, ["NoCall has no __call__"]),
    ],
)  # fmt: skip
def test_each_mistake_names_what_where_and_how(model: Any, error: Any, texts: list[str]) -> None:
    with pytest.raises(error) as caught:
        trace_step(model(), X)
    message = str(caught.value)
    for text in texts:
        assert text in message
    if model is not NoCall:
        assert "test_step.py:" in message
    assert isinstance(caught.value, ETPError)
    assert message.count("\n") <= 4


def test_models_without_states_or_parameters() -> None:
    class Stateless(Module):
        def __init__(self) -> None:
            self.w = Param(np.ones((2, 3)))

        def __call__(self, x: Any) -> Any:
            return matmul(x, self.w)

    class Weightless(Module):
        def __init__(self) -> None:
            self.h = State((2,))
            self.w = Param(np.ones(2), trainable=False)

        def __call__(self, x: Any) -> Any:
            self.h.value = x
            return x

    with pytest.raises(ModelError, match=r"Stateless has no State(.|\n)*test_step"):
        trace_step(Stateless(), X)
    with pytest.raises(ModelError, match="Weightless has no Param to train"):
        trace_step(Weightless(), X)
    with pytest.raises(ModelError, match=r"must be an etp\.Module, got function"):
        trace_step(lambda x: x, X)  # type: ignore[arg-type]


def test_an_error_inside_a_trace_leaves_no_trace_behind() -> None:
    with pytest.raises(ModelError):
        trace_step(Branching(), X)
    net = Net()
    assert isinstance(net(RNG.normal(size=2)), np.ndarray)
    assert sys.getprofile() is None


def test_a_traced_value_kept_from_an_earlier_trace() -> None:
    kept: list[Any] = []

    class Keeper(Base):
        def __call__(self, x: Any) -> Any:
            self.h.value = self.c.value = matmul(x, self.w) + (kept[0] if kept else 0.0)
            kept.append(self.h.value)
            return self.h.value

    trace_step(Keeper(), X)
    with pytest.raises(ModelError, match="lives only while its function is traced"):
        trace_step(Keeper(), X)


def test_a_decay_as_an_element_wise_weight() -> None:
    class Leaky(Module):
        def __init__(self) -> None:
            self.a = Param(np.zeros(2))
            self.h = State((2,), init=1.0)

        def __call__(self, x: Any) -> Any:
            self.h.value = element_wise(self.a, xp.sigmoid) * self.h.value + x
            return self.h.value

    step = trace_step(Leaky(), X)
    assert [n.primitive.name for n in step.program.nodes][:2] == ["logistic", "etp.element_wise"]
    out = evaluate(step.program, {**step.params, **step.states, "x": np.ones(2)})
    assert out["output"].tolist() == [1.5, 1.5]


SCRIPT = """
import numpy as np
from etp import nn
from etp.model import trace_step
from etp_ir.types import F32, TensorType
net = nn.Sequential(nn.GRUCell(2, 3, rng=0), nn.ALIFCell(3, 4, rng=1), nn.Linear(4, 2, rng=2))
print(trace_step(net, TensorType(F32, (2,))).program)
"""


def test_the_dump_is_the_same_in_two_processes() -> None:
    root = Path(__file__).parents[2]
    texts = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed,
                 "PYTHONPATH": os.pathsep.join((str(root), str(root / "backends")))},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert texts[0] == texts[1]
    assert "%layers.1.z = spike" in texts[0]
