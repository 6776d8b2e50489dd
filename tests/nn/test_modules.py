"""Modules, parameters and states outside a trace."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from etp import nn
from etp.functional import matmul
from etp.model import Module, Param, State, collect, trace_step
from etp_ir import ModelError, ShapeError
from etp_ir import namespace as xp
from etp_ir.types import F32, TensorType

RNG = np.random.default_rng(0)


class Branch(Module):
    def __init__(self) -> None:
        self.w = Param(RNG.normal(size=(3, 3)))
        self.h = State((3,))

    def __call__(self, x: Any) -> Any:
        self.h.value = xp.tanh(self.h.value + matmul(x, self.w))
        return self.h.value


class Tree(Module):
    """Variables in every kind of container, one shared, and a reference back to the parent."""

    def __init__(self) -> None:
        self.scale = Param(np.ones(3))
        self.layers = [Branch(), Branch()]
        self.heads = {"left": Branch(), "the right": (Branch(), Param(np.zeros(3)))}
        self.again = self.layers[0]
        self.tied = self.scale
        self.parent = {"tree": self}
        self.note = "not a variable"
        self.mask = np.ones(3)
        self.rate = State(3, init=0.5)

    def __call__(self, x: Any) -> Any:
        for layer in (*self.layers, self.heads["left"], self.heads["the right"][0], self.again):
            x = layer(x)
        self.rate.value = 0.9 * self.rate.value + x * self.tied
        return self.rate.value * self.mask * self.scale


def test_paths_follow_the_order_of_definition() -> None:
    found = collect(Tree())
    assert list(found.params) == [
        "scale", "layers.0.w", "layers.1.w", "heads.left.w", "heads.the_right.0.w",
        "heads.the_right.1",
    ]  # fmt: skip
    assert list(found.states) == [
        "layers.0.h", "layers.1.h", "heads.left.h", "heads.the_right.0.h", "rate",
    ]  # fmt: skip
    assert found.aliases == {
        "again.w": "layers.0.w", "again.h": "layers.0.h", "tied": "scale",
    }  # fmt: skip
    assert list(found.arrays) == ["mask"]
    assert list(found.modules)[:3] == ["", "layers.0", "layers.1"]


def test_two_variables_of_one_path_are_refused() -> None:
    net = Tree()
    net.heads = {"a b": Param(np.ones(1)), "a_b": Param(np.ones(1))}
    with pytest.raises(ModelError, match=r"path 'heads\.a_b'"):
        collect(net)


def test_variables_act_as_arrays() -> None:
    data = RNG.normal(size=(3, 3))
    p, s, x = Param(data), State((3,), init=[1.0, 2.0, 3.0]), RNG.normal(size=3)
    for got, wanted in (
        (x @ p, x @ data), (p @ x, data @ x), (p @ p, data @ data), (2 - p, 2 - data),
        (p**2 / 3, data**2 / 3), (-abs(p), -np.abs(data)), (p > 0, data > 0), (p.T, data.T),
        (p[0, ::-1], data[0, ::-1]), (np.tanh(p), np.tanh(data)), (np.add(x, p), x + data),
        (np.concatenate([p, data]), np.concatenate([data, data])), (xp.sum(p, axis=0), data.sum(0)),
        (p + s, data + s.value), (p.sum(axis=1), data.sum(1)), (p.reshape(9), data.reshape(9)),
        (np.asarray(p), data), (np.where(p > 0, p, 0), np.where(data > 0, data, 0)),
        (p.astype("int32"), data.astype(np.int32)), (p.mean(), data.mean()),
        ((p > 0) & (p < 1), (data > 0) & (data < 1)), (p == data, np.ones((3, 3), bool)),
        (p.max(0), data.max(0)),
    ):  # fmt: skip
        np.testing.assert_allclose(got, wanted)
    assert (p.shape, p.ndim, p.size, len(p)) == ((3, 3), 2, 9, 3)
    assert [row.tolist() for row in p] == data.tolist()
    assert float(Param(np.array(2.0))) == 2
    assert bool(State((), init=1.0))
    assert {p: 1}[p] == 1
    assert repr(p) == "Param(f64[3,3])"
    with pytest.raises(ModelError, match=r"changed in place(.|\n)*\.value"):
        p[0] = 1.0


def test_param_copies_its_array() -> None:
    data = np.ones(3)
    p = Param(data)
    data[0] = 5
    assert p.value[0] == 1
    with pytest.raises(ModelError, match="element type int64"):
        Param(np.arange(3))
    assert not Param(np.arange(3), trainable=False).trainable


def test_state_starts_at_its_init() -> None:
    assert State(2).value.tolist() == [0, 0]
    assert State((2,), init=3.0).value.tolist() == [3, 3]
    assert State((2,), init=np.array([1, 2])).value.tolist() == [1, 2]
    assert State((), init=1, dtype="int32").value.dtype == np.int32
    with pytest.raises(ShapeError, match=r"a State's init has shape \(2,\) and was given \(3,\)"):
        State((2,), init=np.zeros(3))


def test_eager_steps_advance_the_states_and_reset_returns() -> None:
    net = Tree()
    x = RNG.normal(size=3)
    first, second = net(x), net(x)
    assert np.abs(first - second).max() > 1e-3
    assert np.abs(net.rate.value - 0.5).max() > 0
    net.reset_states()
    np.testing.assert_array_equal(net.rate.value, [0.5] * 3)
    np.testing.assert_allclose(net(x), first, rtol=1e-6)


def test_eager_steps_on_another_array_library() -> None:
    cell = nn.GRUCell(3, 4, rng=0)
    x = RNG.normal(size=3).astype(np.float32)
    expected = cell(x)
    cell.reset_states()
    got = cell(jnp.asarray(x))
    assert isinstance(cell.h.value, jnp.ndarray)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_assigning_checks_shape_and_keeps_the_declared_type() -> None:
    cell = Branch()
    with pytest.raises(ShapeError, match=r"State\(f32\[3\]\) has shape \(3,\)(.|\n)*test_modules"):
        cell.h.value = np.zeros(4)
    with pytest.raises(ShapeError):
        cell.w.value = np.zeros(3)
    cell.h.value = 2
    assert cell.h.value.tolist() == [2, 2, 2]
    cell.w.value = np.ones((3, 3), np.float32)
    assert cell.w.value.dtype == np.float64
    counter = State((), dtype="int32")
    counter.value = counter.value + 1
    assert counter.value.dtype == np.int32


def test_overwriting_a_variable_is_refused() -> None:
    cell = Branch()
    with pytest.raises(ModelError, match=r"self\.h is a State(.|\n)*assign to self\.h\.value"):
        cell.h = np.zeros(3)
    with pytest.raises(ModelError, match=r"self\.w is a Param"):
        cell.w += 1.0
    cell.h = State((3,), init=1.0)
    assert cell.h.value[0] == 1


def test_state_dict_round_trip() -> None:
    one, two = Tree(), Tree()
    one(RNG.normal(size=3))
    saved = one.state_dict()
    assert list(saved) == [*one.named_params(), *one.named_states()]
    two.load_state_dict(saved)
    for path, array in two.state_dict().items():
        np.testing.assert_array_equal(array, saved[path])
    with pytest.raises(ModelError, match=r"no parameter or state 'layers\.0\.v'; did you mean"):
        two.load_state_dict({**saved, "layers.0.v": np.zeros(1)})
    with pytest.raises(ModelError, match="no array for rate"):
        two.load_state_dict({k: v for k, v in saved.items() if k != "rate"})
    before = two.state_dict()
    with pytest.raises(ShapeError):
        two.load_state_dict({**{k: v + 1 for k, v in saved.items()}, "rate": np.zeros(7)})
    for path, array in two.state_dict().items():
        np.testing.assert_array_equal(array, before[path])


def test_models_copy_and_pickle() -> None:
    net = nn.Sequential(nn.LSTMCell(3, 4, rng=0), nn.LIFCell(4, 2, rng=1), nn.Linear(2, 2, rng=2))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        one = trace_step(net, TensorType(F32, (3,)))
        two = trace_step(twin, TensorType(F32, (3,)))
        assert str(one.program) == str(two.program)
        for path, array in one.params.items():
            np.testing.assert_array_equal(array, two.params[path])
