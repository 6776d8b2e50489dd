"""Derivatives of programs with loops: against finite differences and against unrolled loops."""

import numpy as np
import pytest

from etp_ir import ops, trace
from etp_ir.interpreter import evaluate
from etp_ir.passes import dce, simplify
from etp_ir.primitive import get
from etp_ir.tracer import bind, replay
from etp_ir.transforms import batch_program, jvp, vjp
from etp_ir.types import F64, I32, TensorType
from tests.ir.samples import linear_body, nested_body, rnn_body, t

LENGTH = 5
TYPES = {
    "w": t(3, 3), "bias": t(3), "h": t(3), "n": TensorType(I32), "e": t(2, 3),
    "x": t(LENGTH, 2), "k": TensorType(I32, (LENGTH,)),
}  # fmt: skip
FLOATS = ["w", "bias", "h", "e", "x"]


def rolled(reverse):
    """Return a program with one loop and a nonlinear loss on all its results."""

    def function(w, bias, h, n, e, x, k):
        w = ops.mul(w, 0.5)  # the weight is an expression outside of the loop
        outs = bind(
            get("scan"), w, bias, h, n, e, x, k,
            body=rnn_body(), length=LENGTH, consts=2, carries=3, reverse=reverse,
        )  # fmt: skip
        return loss(*outs)

    return trace(function, TYPES, name="rolled")[0]


def unrolled(reverse):
    """Return the same program with a Python loop."""

    def function(w, bias, h, n, e, x, k):
        w = ops.mul(w, 0.5)
        rows = [None] * LENGTH
        for i in reversed(range(LENGTH)) if reverse else range(LENGTH):
            x_i = ops.reshape(ops.slice_(x, (i, 0), (i + 1, 2), (1, 1)), (2,))
            k_i = ops.reshape(ops.slice_(k, (i,), (i + 1,), (1,)), ())
            h, n, e, *rows[i] = replay(rnn_body(), x.builder, [w, bias, h, n, e, x_i, k_i])
        stacks = [
            ops.concat([ops.reshape(r[j], (1, *r[j].shape)) for r in rows], 0) for j in (0, 1)
        ]
        return loss(h, n, e, *stacks)

    return trace(function, TYPES, name="unrolled")[0]


def loss(h, n, e, squares, sines):
    total = ops.reduce_sum(ops.tanh(h), (0,))
    total = ops.add(total, ops.reduce_sum(ops.mul(e, e), (0, 1)))
    total = ops.add(total, ops.mul(ops.cast(n, F64), ops.reduce_sum(ops.sin(squares), (0,))))
    return ops.add(total, ops.reduce_sum(ops.mul(sines, sines), (0, 1)))


def arguments(p, seed=0):
    rng = np.random.default_rng(seed)
    return {
        port.name: rng.standard_normal(port.type.shape) if port.type.dtype.is_float
        else rng.integers(0, 3, port.type.shape) for port in p.inputs
    }  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_a_loop_are_those_of_the_unrolled_loop(reverse):
    p, q = vjp(rolled(reverse), FLOATS), vjp(unrolled(reverse), FLOATS)
    given = arguments(p)
    a, b = evaluate(p, given), evaluate(q, given)
    for name in FLOATS:
        key = f"grad({name})"
        assert np.abs(b[key]).max() > 1e-3
        np.testing.assert_allclose(a[key], b[key], rtol=1e-10, atol=1e-12, err_msg=key)
    c = evaluate(simplify(p), given)
    for key in a:
        np.testing.assert_allclose(c[key], a[key], rtol=1e-10, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wrt", [["w"], ["h"], ["x"], ["bias", "e"], FLOATS])
def test_gradients_of_a_loop_are_finite_differences(reverse, wrt):
    base = rolled(reverse)
    p = dce(vjp(base, wrt))
    given = {**arguments(p, 1), "ct_0": np.asarray(1.0)}
    grads = evaluate(p, given)
    rng = np.random.default_rng(2)
    direction = {name: rng.standard_normal(TYPES[name].shape) for name in wrt}
    value = [
        evaluate(base, {**given, **{k: given[k] + s * 1e-6 * d for k, d in direction.items()}})
        for s in (1, -1)
    ]
    slope = (value[0]["output(0)"] - value[1]["output(0)"]) / 2e-6
    found = sum(np.vdot(grads[f"grad({k})"], d) for k, d in direction.items())
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(found, slope, rtol=1e-6)


@pytest.mark.parametrize("wrt", [["w"], ["n_free", "x"][1:], FLOATS])
def test_tangents_of_a_loop_are_those_of_the_unrolled_loop(wrt):
    p, q = jvp(rolled(False), wrt), jvp(unrolled(False), wrt)
    given = arguments(p, 3)
    a, b = evaluate(p, given), evaluate(q, given)
    assert abs(b["output(d_output(0))"]) > 1e-3
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=1e-10)


def test_the_loop_of_values_runs_once():
    """The gradient extends the loop of values; it does not repeat it."""
    p = dce(vjp(rolled(False), FLOATS))
    loops = [n for n in p.nodes if n.primitive.name == "scan"]
    assert [n.attrs["reverse"] for n in loops] == [False, True]
    tanh = [sum(m.primitive.name == "tanh" for m in n.attrs["body"].walk()) for n in loops]
    assert tanh == [1, 0]


def test_what_is_fixed_is_not_stacked():
    """Constants and slices are read again by the linear loop instead of being stacked."""
    p = dce(vjp(rolled(False), ["h"]))
    forward, backward = (n for n in p.nodes if n.primitive.name == "scan")
    shapes = [v.type.shape for v in forward.outputs if v.type.shape[:1] == (LENGTH,)]
    assert (LENGTH, 3, 3) not in shapes
    assert any(x.type.shape == (3, 3) for x in backward.inputs)


def test_a_weight_expression_inside_the_loop_is_not_stacked():
    from etp_ir import Builder, Tracer

    b = Builder("body", float_dtype=F64)
    w, h = Tracer(b, b.input("w", t(3, 3), "const")), Tracer(b, b.input("h", t(3), "carry"))
    body = b.finish([(ops.tanh(ops.contract(h, ops.exp(w), "i,io->o")).value, "carry")])
    p, _ = trace(
        lambda w, h: bind(get("scan"), w, h, body=body, length=4, consts=1, carries=1,
                          reverse=False),
        {"w": t(3, 3), "h": t(3)},
    )  # fmt: skip
    g = dce(vjp(p, ["w", "h"]))
    assert all(v.type.shape != (4, 3, 3) for n in g.nodes for v in n.outputs)
    rng = np.random.default_rng(0)
    given = {"w": rng.standard_normal((3, 3)), "h": rng.standard_normal(3), "ct_0": np.ones(3)}
    found = evaluate(g, given)["grad(w)"]
    d = rng.standard_normal((3, 3))
    up, down = (evaluate(p, {**given, "w": given["w"] + s * 1e-6 * d}) for s in (1, -1))
    slope = (up["output(0)"] - down["output(0)"]).sum() / 2e-6
    np.testing.assert_allclose(np.vdot(found, d), slope, rtol=1e-6)


def test_second_derivatives_of_a_loop():
    """The vjp of a jvp, against finite differences of the jvp."""
    base = jvp(rolled(False), ["h"])
    p = dce(vjp(base, ["w"]))
    given = arguments(p, 4)
    given |= {"ct_0": np.asarray(0.0), "ct_1": np.asarray(1.0)}
    d = np.random.default_rng(5).standard_normal((3, 3))
    up, down = (evaluate(base, {**given, "w": given["w"] + s * 1e-6 * d}) for s in (1, -1))
    key = "output(d_output(0))"
    slope = (up[key] - down[key]) / 2e-6
    assert abs(slope) > 1e-3
    found = np.vdot(evaluate(p, given)["grad(w)"], d)
    np.testing.assert_allclose(found, slope, rtol=1e-5)


def test_gradients_of_gradients_of_a_loop():
    """The vjp of a vjp goes through the transposed loop."""
    base = vjp(rolled(False), ["w"])
    p = dce(vjp(base, ["bias"]))
    rng = np.random.default_rng(7)
    weight = rng.standard_normal((3, 3))
    given = arguments(p, 6)
    given |= {"ct_0": np.asarray(1.0), "ct_0_": np.asarray(0.0), "ct_1": weight}
    d = rng.standard_normal(3)
    inner = {port.name: given[port.name] for port in base.inputs}
    up, down = (evaluate(base, {**inner, "bias": inner["bias"] + s * 1e-6 * d}) for s in (1, -1))
    slope = np.vdot(up["grad(w)"] - down["grad(w)"], weight) / 2e-6
    found = evaluate(p, given)["grad(bias)"]
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(np.vdot(found, d), slope, rtol=1e-5)


def test_gradients_through_nested_loops():
    def function(a, s, x):
        outs = bind(
            get("scan"), a, s, x,
            body=nested_body(), length=4, consts=1, carries=1, reverse=False,
        )  # fmt: skip
        return ops.reduce_sum(ops.mul(outs[1], outs[1]), (0, 1))

    base, _ = trace(function, {"a": t(3), "s": t(3), "x": t(4, 2, 3)})
    p = vjp(base, ["a", "s", "x"])
    for program in (p, simplify(p)):
        given = {**arguments(p, 8), "ct_0": np.asarray(1.0)}
        grads = evaluate(program, given)
        rng = np.random.default_rng(9)
        d = {k: rng.standard_normal(given[k].shape) for k in "asx"}
        up, down = (
            evaluate(base, {**given, **{k: given[k] + s * 1e-6 * d[k] for k in d}}) for s in (1, -1)
        )
        slope = (up["output(0)"] - down["output(0)"]) / 2e-6
        found = sum(np.vdot(grads[f"grad({k})"], d[k]) for k in d)
        np.testing.assert_allclose(found, slope, rtol=1e-6)


def test_a_batch_of_gradients_is_the_loop_of_gradients():
    p = vjp(rolled(False), ["w", "h"])
    b = batch_program(p, 3, {"h": 0, "x": 0, "ct_0": 0}, total={"grad"})
    given = arguments(b, 10)
    for program in (b, simplify(b)):
        found = evaluate(program, given)
        rows = [
            evaluate(p, {k: v[i] if k in ("h", "x", "ct_0") else v for k, v in given.items()})
            for i in range(3)
        ]
        for key in ("grad(w)", "grad(h)"):
            np.testing.assert_allclose(found[key], sum(r[key] for r in rows), rtol=1e-10)


def test_a_batch_of_gradients_holds_no_gradient_per_example():
    p = vjp(rolled(False), ["w"])
    b = simplify(batch_program(p, 7, {"h": 0, "x": 0, "ct_0": 0}, total={"grad"}))
    every = [v for n in b.walk() for v in n.outputs]
    assert all(v.type.shape != (7, 3, 3) for v in every)


def test_two_gradients_share_one_extended_loop():
    """A second pullback through the same loop extends what the first one extended."""
    from etp_ir import Builder, Tracer
    from etp_ir.transforms.vjp import pullback

    program = rolled(False)
    b = Builder("both", share=True)
    b.inputs = list(program.inputs)
    b.nodes = list(program.nodes)
    out = program.outputs[0].value
    one = ops.full(b, (), 1.0, F64)
    first = pullback(b, program.nodes, [program.input("w").value], {out: one})
    second = pullback(b, program.nodes, [program.input("h").value], {out: one})
    both = b.finish([
        (first[program.input("w").value].value, "grad(w)"),
        (second[program.input("h").value].value, "grad(h)"),
    ])  # fmt: skip
    given = arguments(program, 11)
    found = evaluate(both, given)
    expected = evaluate(vjp(program, ["w", "h"]), {**given, "ct_0": np.asarray(1.0)})
    for key in ("grad(w)", "grad(h)"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-12)
    assert isinstance(one, Tracer)


def test_a_linear_loop_transposes_into_a_reversed_one():
    body = linear_body()
    p, _ = trace(
        lambda a, s, x: bind(get("scan"), a, s, x, body=body, length=5, consts=1, carries=1,
                             reverse=False),
        {"a": t(3), "s": t(3), "x": t(5, 3)},
    )  # fmt: skip
    g = dce(vjp(p, ["s", "x"]))
    (node,) = [n for n in g.nodes if n.primitive.name == "scan" and n.attrs["reverse"]]
    assert node.attrs["length"] == 5
