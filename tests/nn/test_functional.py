"""Marked products, spikes and detachment: eagerly, traced, and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etp.functional import element_wise, matmul, spike, stop_gradient
from etp_ir import ModelError, ShapeError, trace
from etp_ir import namespace as xp
from etp_ir.core import Program
from etp_ir.interpreter import evaluate
from etp_ir.parser import parse
from etp_ir.passes import lower
from etp_ir.transforms import vjp
from etp_ir.types import type_of
from etp_ir.verify import verify

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=3), RNG.normal(size=(3, 4)), RNG.normal(size=4)


def traced(function: Any, **arrays: Any) -> Program:
    types = {name: type_of(x) for name, x in arrays.items()}
    program, constants = trace(lambda **kw: function(**kw), types)
    verify(program)
    assert not constants
    assert parse(str(program)) == program
    return program


def gradients(program: Program, **arrays: Any) -> dict[str, Any]:
    weight = np.ones(program.outputs[0].type.shape)
    found = evaluate(lower(vjp(program, list(arrays))), {**arrays, "ct_0": weight})
    return {name: found[f"grad({name})"] for name in arrays}


@pytest.mark.parametrize("x", [X, RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2, 3))])
def test_matmul(x: Any) -> None:
    program = traced(matmul, x=x, w=W, bias=B)
    assert [n.primitive.name for n in program.nodes if n.primitive.is_etp] == [
        "etp.matmul", "etp.element_wise",
    ]  # fmt: skip
    np.testing.assert_allclose(matmul(x, W, B), x @ W + B)
    for form in (program, lower(program)):
        out = evaluate(form, {"x": x, "w": W, "bias": B})["output(0)"]
        np.testing.assert_allclose(out, x @ W + B)
    grads = gradients(program, x=x, w=W, bias=B)
    ones = np.ones((*x.shape[:-1], 4))
    np.testing.assert_allclose(grads["x"], ones @ W.T)
    np.testing.assert_allclose(grads["w"], x.reshape(-1, 3).T @ ones.reshape(-1, 4))
    np.testing.assert_allclose(grads["bias"], ones.reshape(-1, 4).sum(0))


def test_matmul_of_a_weight_expression_marks_the_effective_weight() -> None:
    mask = (W > 0).astype(float)
    program = traced(lambda x, w, m: matmul(x, m * xp.abs(w)), x=X, w=W, m=mask)
    names = [n.primitive.name for n in program.nodes]
    assert names == ["abs", "mul", "etp.matmul"]
    assert program.nodes[-1].inputs[1] is program.nodes[1].output


def test_matmul_promotes_and_checks() -> None:
    assert traced(matmul, x=np.arange(3), w=W).outputs[0].type == type_of(B)
    with pytest.raises(ShapeError, match=r"width 3 for a weight of 4(.|\n)*test_functional"):
        traced(lambda x, w: matmul(x, w), x=X, w=W.T.copy())
    with pytest.raises(ShapeError, match=r"two axes \[in, out\]"):
        traced(matmul, x=X, w=X)
    with pytest.raises(ShapeError, match="cannot broadcast"):
        traced(matmul, x=X, w=W, bias=X)


def test_element_wise() -> None:
    program = traced(lambda w: element_wise(w, xp.sigmoid) * 2.0, w=B)
    assert [n.primitive.name for n in program.nodes] == ["logistic", "etp.element_wise", "mul"]
    sigma = 1 / (1 + np.exp(-B))
    np.testing.assert_allclose(element_wise(B, xp.sigmoid), sigma)
    np.testing.assert_allclose(gradients(program, w=B)["w"], 2 * sigma * (1 - sigma))
    assert element_wise(B) is B


SLOPES: dict[str, Any] = {
    "fast_sigmoid": lambda x: 1 / (1 + 10 * np.abs(x)) ** 2,
    "triangle": lambda x: 0.3 * np.maximum(0, 1 - np.abs(x)),
    "sigmoid": lambda x: 4 / (1 + np.exp(-4 * x)) * (1 - 1 / (1 + np.exp(-4 * x))),
    "arctan": lambda x: 1 / (1 + (np.pi * x) ** 2),
    "boxcar": lambda x: 0.5 * (np.abs(x) < 1),
    "straight_through": np.ones_like,
}


@pytest.mark.parametrize("name", list(SLOPES))
def test_named_surrogates(name: str) -> None:
    x = RNG.normal(size=(2, 5))
    program = traced(lambda x: spike(x, surrogate=name), x=x)
    fired = (x > 0).astype(float)
    np.testing.assert_array_equal(spike(x, name), fired)
    np.testing.assert_array_equal(evaluate(program, {"x": x})["output(0)"], fired)
    np.testing.assert_allclose(gradients(program, x=x)["x"], SLOPES[name](x), rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_own_surrogate(shape: tuple[int, ...]) -> None:
    x = np.asarray(RNG.normal(size=shape))

    def gaussian(v: Any) -> Any:
        return xp.exp(-(v**2) / 0.5) / xp.sqrt(0.5 * xp.pi)

    program = traced(lambda x: spike(x, gaussian), x=x)
    assert "surrogate" in str(program)
    np.testing.assert_array_equal(spike(x, gaussian), (x > 0).astype(float))
    slope = np.exp(-(x**2) / 0.5) / np.sqrt(0.5 * np.pi)
    np.testing.assert_allclose(gradients(program, x=x)["x"], slope, rtol=1e-12)
    constant = traced(lambda x: spike(x, lambda v: 1.0), x=x)
    np.testing.assert_array_equal(gradients(constant, x=x)["x"], np.ones(shape))


def test_bad_surrogates() -> None:
    with pytest.raises(ModelError, match=r"did you mean 'fast_sigmoid'\?(.|\n)*test_functional"):
        spike(X, "fast_sigmoidd")
    with pytest.raises(ModelError, match="uses arrays besides its argument"):
        traced(lambda x: spike(x, lambda v: v * np.ones(())), x=X)
    with pytest.raises(ModelError, match=r"returns bool\[\]"):
        traced(lambda x: spike(x, lambda v: v > 0), x=X)


def test_spike_keeps_the_element_type() -> None:
    single = X.astype(np.float32)
    assert spike(single).dtype == np.float32
    assert traced(spike, x=single).outputs[0].type == type_of(single)


def test_stop_gradient() -> None:
    program = traced(lambda x: x * stop_gradient(x), x=X)
    np.testing.assert_allclose(gradients(program, x=X)["x"], X)
    assert stop_gradient(X) is X
