"""`cond` and `while`: what the other branch would have done is never seen; loops end one by one."""

import numpy as np
import pytest

from etp_backends.numpy.backend import NumpyBackend
from etp_ir import Builder, Tracer, ops, trace
from etp_ir.errors import NotSupportedError
from etp_ir.interpreter import evaluate
from etp_ir.passes import dce, simplify
from etp_ir.primitive import get
from etp_ir.primitives import while_loop
from etp_ir.tracer import bind, replay
from etp_ir.transforms import batch_program, jvp, vjp
from etp_ir.types import BOOL, F64, I32, TensorType
from tests.ir.samples import settling_regions, t


def region(name, function, **types):
    """Return a region from a function of tracers."""
    b = Builder(name, float_dtype=F64)
    given = {k: Tracer(b, b.input(k, v, "value")) for k, v in types.items()}
    outs = function(**given)
    outs = outs if isinstance(outs, tuple) else (outs,)
    return b.finish([(x.value, "output") for x in outs])


def names(program):
    return [n.primitive.name for n in program.nodes]


# -- cond ----------------------------------------------------------------------------------
def logarithm():
    """Return ``x > 0 ? w log(x) / x : w x`` summed, whose first branch is NaN for negative x."""
    then = region("then", lambda x, w: ops.mul(w, ops.div(ops.log(x), x)), x=t(3), w=t(3))
    otherwise = region("otherwise", lambda x, w: ops.mul(w, x), x=t(3), w=t(3))

    def function(x, w):
        first = ops.reshape(ops.slice_(x, (0,), (1,), (1,)), ())
        y = bind(get("cond"), ops.gt(first, 0.0), x, w, then=then, otherwise=otherwise)
        return ops.reduce_sum(ops.mul(y, y), (0,))

    return trace(function, {"x": t(3), "w": t(3)}, name="logarithm")[0]


X = np.asarray([[0.7, 1.3, 0.2], [-0.5, -1.0, -2.0], [-0.1, 0.0, 0.3], [2.0, 0.1, 0.4]])
W = np.asarray([0.3, -1.2, 0.8])


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize("backend", ["interpreter", "numpy", "jax"])
def test_no_nan_leaks_from_the_branch_not_taken(backend, simple):
    """Into the gradient of a weight that all examples of a batch share."""
    p = vjp(logarithm(), ["x", "w"])
    b = batch_program(p, 4, {"x": 0, "ct_0": 0}, total={"grad"}, force=[0, 1, 2])
    b = simplify(b) if simple else b
    given = {"x": X, "w": W, "ct_0": np.ones(4)}
    if backend == "interpreter":
        with np.errstate(all="ignore"):
            found = evaluate(b, given)
    elif backend == "numpy":
        found = NumpyBackend().compile(b)(given)
    else:
        found = pytest.importorskip("etp_backends.jax").JaxBackend().compile(b)(given)
    factor = np.where(X[:, :1] > 0, np.log(np.abs(X) + (X == 0)) / (X + (X == 0)), X)
    np.testing.assert_allclose(found["grad(w)"], (2 * W * factor**2).sum(0), rtol=1e-12)
    slope = np.where(X[:, :1] > 0, (1 - np.log(np.abs(X) + (X == 0))) / (X + (X == 0)) ** 2, 1)
    np.testing.assert_allclose(found["grad(x)"], (2 * W**2 * factor * slope).sum(0), rtol=1e-12)


def test_coefficients_of_the_branch_not_taken_are_zero():
    """So the linear part gives zero there, however it is summed."""
    p = dce(vjp(logarithm(), ["w"]))
    values, linear = (n for n in p.nodes if n.primitive.name == "cond")
    assert len(values.outputs) == 2
    for x, taken in ((0.5, True), (-0.5, False)):
        arrays = get("cond").reference(
            np.asarray(x > 0), np.full(3, x), W,
            then=values.attrs["then"], otherwise=values.attrs["otherwise"],
        )  # fmt: skip
        assert bool(np.any(arrays[1] != 0)) is taken
    assert "log" not in [n.primitive.name for n in linear.attrs["then"].walk()]


def test_one_example_runs_one_branch_only():
    p = dce(vjp(logarithm(), ["x", "w"]))
    assert "select" not in names(p)
    batched = batch_program(p, 2, {"w": 0, "ct_0": 0}, force=[0, 1, 2])
    assert "cond" in names(batched)
    found = evaluate(batched, {"x": X[1], "w": np.stack([W, W]), "ct_0": np.ones(2)})
    np.testing.assert_allclose(found["grad(w)"], np.stack([2 * W * X[1] ** 2] * 2))


@pytest.mark.parametrize("x", [X[0], X[1]])
def test_second_derivatives_of_a_choice(x):
    base = jvp(logarithm(), ["x"])
    p = dce(vjp(base, ["w"]))
    rng = np.random.default_rng(0)
    given = {"x": x, "w": W, "d_x": rng.standard_normal(3)}
    with np.errstate(all="ignore"):
        found = evaluate(p, {**given, "ct_0": np.asarray(0.0), "ct_1": np.asarray(1.0)})
        way = rng.standard_normal(3)
        up, down = (evaluate(base, {**given, "w": W + s * 1e-6 * way}) for s in (1, -1))
    slope = (up["output(d_output(0))"] - down["output(d_output(0))"]) / 2e-6
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(np.vdot(found["grad(w)"], way), slope, rtol=1e-6)


def test_two_gradients_share_the_coefficients():
    from etp_ir.transforms.vjp import pullback

    program = logarithm()
    b = Builder("both", share=True)
    b.inputs, b.nodes = list(program.inputs), list(program.nodes)
    one = ops.full(b, (), 1.0, F64)
    out = program.outputs[0].value
    width = []
    for _ in range(2):
        pullback(b, program.nodes, [program.input("w").value], {out: one})
        width.append(next(len(n.outputs) for n in b.nodes if n.primitive.name == "cond"))
    assert width[0] == width[1]


def test_a_choice_loses_what_nobody_reads():
    both = {
        key: region(key, lambda x, y, f=f: (f(x), ops.sin(y)), x=t(3), y=t(3))
        for key, f in (("then", ops.tanh), ("otherwise", ops.neg))
    }
    p, _ = trace(
        lambda c, x, y: bind(get("cond"), c, x, y, **both)[0],
        {"c": TensorType(BOOL), "x": t(3), "y": t(3)},
    )
    (node,) = dce(p).nodes
    assert len(node.outputs) == 1
    assert len(node.inputs) == 2
    assert [n.primitive.name for n in node.attrs["then"].nodes] == ["tanh"]


def test_indices_of_the_branch_not_taken_need_not_exist():
    then = region("then", lambda x, i: ops.gather(x, i, 0), x=t(3), i=TensorType(I32))
    otherwise = region("otherwise", lambda x, i: ops.cast(i, F64), x=t(3), i=TensorType(I32))
    p, _ = trace(
        lambda x, i: bind(get("cond"), ops.lt(i, 3), x, i, then=then, otherwise=otherwise),
        {"x": t(3), "i": TensorType(I32)},
    )
    b = batch_program(p, 3, {"i": 0})
    given = {"x": W, "i": np.asarray([2, 77, 0], np.int32)}
    for found in (evaluate(b, given), NumpyBackend().compile(b)(given)):
        np.testing.assert_array_equal(found["output(0)"], [W[2], 77, W[0]])


# -- while ---------------------------------------------------------------------------------
def settled(**extra):
    regions = settling_regions()

    def function(w, x, h, n):
        out = bind(get("while"), w, x, h, n, consts=2, **regions)
        return ops.reduce_sum(ops.mul(out[0], ops.add(out[0], 1.0)), (0,)), out[1]

    types = {"w": t(3, 3), "x": t(3), "h": t(3), "n": TensorType(I32)}
    return trace(function, types, name="settled")[0]


def start(seed=0, batch=()):
    rng = np.random.default_rng(seed)
    return {
        "w": 0.5 * rng.standard_normal((3, 3)), "x": rng.standard_normal((*batch, 3)),
        "h": 2 * rng.standard_normal((*batch, 3)), "n": np.zeros((), np.int32),
    }  # fmt: skip


def unrolled(rounds):
    body = settling_regions()["body"]

    def function(w, x, h, n):
        for _ in range(rounds):
            h, n = replay(body, h.builder, [w, x, h, n])
        return ops.reduce_sum(ops.mul(h, ops.add(h, 1.0)), (0,))

    types = {"w": t(3, 3), "x": t(3), "h": t(3), "n": TensorType(I32)}
    return trace(function, types, name="unrolled")[0]


def test_gradients_of_a_while_are_those_of_the_rounds_it_took():
    p = vjp(settled(), ["w", "x", "h"])
    given = {**start(), "ct_0": np.asarray(1.0)}
    found = evaluate(p, given)
    rounds = int(found["output(1)"])
    assert 1 < rounds < 9
    wanted = evaluate(vjp(unrolled(rounds), ["w", "x", "h"]), given)
    for name in "wxh":
        key = f"grad({name})"
        assert np.abs(wanted[key]).max() > 1e-4
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-10, atol=1e-13)
    for program in (dce(p), simplify(p)):
        again = evaluate(program, given)
        np.testing.assert_allclose(again["grad(w)"], wanted["grad(w)"], rtol=1e-10, atol=1e-13)


def test_examples_turn_as_often_as_they_need():
    p = vjp(settled(), ["w", "h"])
    b = batch_program(p, 5, {"x": 0, "h": 0, "ct_0": 0}, total={"grad"}, force=[0, 1])
    given = {**start(1, (5,)), "ct_0": np.ones(5)}
    rows = [
        evaluate(p, {k: v[i] if k in ("x", "h", "ct_0") else v for k, v in given.items()})
        for i in range(5)
    ]
    rounds = [int(r["output(1)"]) for r in rows]
    assert len(set(rounds)) > 1
    for found in (evaluate(b, given), NumpyBackend().compile(b)(given)):
        np.testing.assert_array_equal(found["output(1)"], rounds)
        for key in ("grad(w)", "grad(h)"):
            np.testing.assert_allclose(found[key], sum(r[key] for r in rows), rtol=1e-10)


def test_a_loop_in_the_branch_not_taken_does_not_turn():
    """Its test might never fail there."""
    test = region("test", lambda h: ops.gt(h, 1.0), h=t())
    body = region("body", lambda h: ops.mul(h, 0.5), h=t())
    then = region("then", lambda h: bind(get("while"), h, test=test, body=body, consts=0), h=t())
    otherwise = region("otherwise", lambda h: ops.neg(h), h=t())
    p, _ = trace(
        lambda h: bind(get("cond"), ops.lt(h, 100.0), h, then=then, otherwise=otherwise), {"h": t()}
    )
    b = batch_program(p, 3, {"h": 0})
    given = {"h": np.asarray([5.0, np.inf, 0.5])}
    np.testing.assert_allclose(evaluate(b, given)["output(0)"], [0.625, -np.inf, 0.5])
    inner = batch_program(vjp(p, ["h"]), 3, {"h": 0, "ct_0": 0}, force=[1])
    found = evaluate(inner, {**given, "ct_0": np.ones(3)})
    np.testing.assert_allclose(found["grad(h)"], [0.125, -1, 1])


def test_a_while_loses_what_nobody_reads():
    regions = {
        key: region(key, function, a=t(3), b=t(3), h=t(3), k=t(3), n=TensorType(I32))
        for key, function in (
            ("test", lambda a, b, h, k, n: ops.lt(n, 4)),
            ("body", lambda a, b, h, k, n: (ops.mul(h, a), ops.add(k, b), ops.add(n, 1))),
        )
    }
    types = {"a": t(3), "b": t(3), "h": t(3), "k": t(3), "n": TensorType(I32)}
    p, _ = trace(lambda **k: bind(get("while"), *k.values(), consts=2, **regions)[0], types)
    slim = dce(p)
    (node,) = slim.nodes
    assert len(node.inputs) == 3
    assert len(node.outputs) == 2
    given = {k: np.ones(3) * (i + 2) for i, k in enumerate("abhk")} | {"n": np.int32(0)}
    np.testing.assert_array_equal(
        evaluate(slim, given)["output(0)"], evaluate(p, given)["output(0)"]
    )


def test_a_jacobian_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(while_loop, "LARGEST", 20)
    with pytest.raises(NotSupportedError, match=r"would have 27 elements\n.*test_choices.py") as e:
        vjp(settled(), ["w"])
    assert "fori_loop" in str(e.value)
