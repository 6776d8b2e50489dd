"""Derivatives, batching and passes on programs that hypothesis makes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from etp_ir import Builder, Tracer, ops, trace
from etp_ir.interpreter import evaluate, run
from etp_ir.passes import cse, dce, lower, simplify
from etp_ir.primitive import get
from etp_ir.tracer import bind, literal
from etp_ir.transforms import batch_program, jvp, linearize, vjp
from etp_ir.transforms.jvp import push
from etp_ir.transforms.vjp import pullback
from etp_ir.types import BOOL, F32, F64, I32, TensorType
from etp_ir.verify import verify
from tests.ir.generate import arguments, drawn, programs

FEW = settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
EPS = 1e-6


def floats(program):
    return [port.name for port in program.inputs if port.type.dtype.is_float]


def random_like(program, names, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(program.input(name).type.shape) for name in names}


def outputs_of(program, given):
    return [np.asarray(x) for x in run(program, [given[p.name] for p in program.inputs])]


def difference(program, given, direction):
    """Return the central difference of every output along a direction."""
    up, down = (
        outputs_of(program, given | {k: given[k] + s * EPS * d for k, d in direction.items()})
        for s in (1, -1)
    )
    return [(a - b) / (2 * EPS) for a, b in zip(up, down, strict=True)]


def close(found, expected):
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found, expected, atol=2e-6 * scale, rtol=1e-5)


# -- derivatives ---------------------------------------------------------------------------
@FEW
@given(programs(), st.integers(0, 1000))
def test_jvp_is_the_finite_difference(p, seed):
    given, direction = drawn(p, seed), random_like(p, floats(p), seed + 1)
    d = jvp(p, floats(p))
    verify(d)
    results = outputs_of(d, given | {f"d_{k}": v for k, v in direction.items()})
    for found, expected in zip(
        results[len(p.outputs) :], difference(p, given, direction), strict=True
    ):
        close(found, expected)


@FEW
@given(programs(), st.integers(0, 1000))
def test_vjp_is_the_finite_difference(p, seed):
    given, direction = drawn(p, seed), random_like(p, floats(p), seed + 1)
    g = vjp(p, floats(p))
    verify(g)
    rng = np.random.default_rng(seed + 2)
    cts = {f"ct_{i}": rng.standard_normal(o.type.shape) for i, o in enumerate(p.outputs)}
    grads = outputs_of(g, given | cts)[len(p.outputs) :]
    left = sum(np.vdot(cts[f"ct_{i}"], d) for i, d in enumerate(difference(p, given, direction)))
    right = sum(np.vdot(x, direction[k]) for x, k in zip(grads, floats(p), strict=True))
    close(right, left)


@FEW
@given(programs(smooth=False), st.integers(0, 1000))
def test_vjp_and_jvp_are_adjoint(p, seed):
    """<ct, J d> = <J^T ct, d>, to rounding, spikes and detached values included."""
    given, direction = drawn(p, seed), random_like(p, floats(p), seed + 1)
    rng = np.random.default_rng(seed + 2)
    cts = {f"ct_{i}": rng.standard_normal(o.type.shape) for i, o in enumerate(p.outputs)}
    forward = outputs_of(jvp(p, floats(p)), given | {f"d_{k}": v for k, v in direction.items()})
    backward = outputs_of(vjp(p, floats(p)), given | cts)
    n = len(p.outputs)
    left = sum(np.vdot(cts[f"ct_{i}"], d) for i, d in enumerate(forward[n:]))
    right = sum(np.vdot(x, direction[k]) for x, k in zip(backward[n:], floats(p), strict=True))
    np.testing.assert_allclose(right, left, rtol=1e-9, atol=1e-9 * (1 + abs(left)))
    for a, b in zip(forward[:n], backward[:n], strict=True):
        np.testing.assert_array_equal(a, b)


def test_generated_programs_are_alive():
    """Guard against vacuity: most generated programs have a gradient that is not zero."""
    alive = []

    @settings(FEW, max_examples=40, database=None, derandomize=True)
    @given(programs())
    def look(p):
        g = vjp(p, floats(p))
        cts = {f"ct_{i}": np.ones(o.type.shape) for i, o in enumerate(p.outputs)}
        grads = outputs_of(g, drawn(p, 0) | cts)[len(p.outputs) :]
        alive.append(any(np.abs(x).max(initial=0.0) > 1e-6 for x in grads))

    look()
    assert sum(alive) > 0.7 * len(alive)


# -- batching ------------------------------------------------------------------------------
@FEW
@given(programs(smooth=False), st.data())
def test_batch_is_a_loop(p, data):
    """Every row of a batched program is the program on that row, whatever is batched, and where."""
    names = [port.name for port in p.inputs]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    axes = {
        name: data.draw(st.integers(0, p.input(name).type.rank), label=f"axis of {name}")
        for name in chosen
    }
    size = 3
    b, flags = batch_program(p, size, axes, which_outputs=True)
    verify(b)
    rows = [drawn(p, k) for k in range(size)]
    shared = drawn(p, 99)
    whole = {
        name: np.stack([r[name] for r in rows], axes[name]) if name in axes else shared[name]
        for name in names
    }
    found = outputs_of(b, whole)
    for k in range(size):
        one = {name: rows[k][name] if name in axes else shared[name] for name in names}
        for f, flag, expected in zip(found, flags, outputs_of(p, one), strict=True):
            np.testing.assert_allclose(f[k] if flag else f, expected, rtol=1e-12, atol=1e-12)


@FEW
@given(programs(), st.integers(0, 1000))
def test_totals_are_sums_of_gradients(p, seed):
    """A batched vjp with total gradients is the sum of the gradients, simplified or not."""
    wrt = floats(p)
    g = vjp(p, wrt)
    size = 3
    axes = {port.name: 0 for port in g.inputs if port.name.startswith("ct_")}
    axes |= {port.name: 0 for port in p.inputs if port.name in wrt[1:]}
    b = batch_program(g, size, axes, total={"grad"})
    s = simplify(lower(b))
    verify(s)
    rows = [drawn(g, seed + k) for k in range(size)]
    whole = {
        port.name: np.stack([r[port.name] for r in rows]) if port.name in axes
        else rows[0][port.name] for port in g.inputs
    }  # fmt: skip
    n = len(p.outputs)
    singles = [
        outputs_of(g, {k: rows[i][k] if k in axes else rows[0][k] for k in whole})[n:]
        for i in range(size)
    ]
    for program in (b, s):
        for f, *parts in zip(outputs_of(program, whole)[n:], *singles, strict=True):
            np.testing.assert_allclose(f, sum(parts), rtol=1e-10, atol=1e-10)


def test_batched_inputs_may_share_a_program_with_forced_outputs():
    p, _ = trace(lambda x, y: [ops.tanh(y), x], {"x": TensorType(F64, (2,)), "y": TensorType(F64)})
    b, flags = batch_program(p, 4, {"x": 0}, force={0}, which_outputs=True)
    assert flags == [False, True]
    found = evaluate(b, {"x": np.ones((4, 2)), "y": np.asarray(0.5)})
    np.testing.assert_array_equal(found["output(0)"], np.full(4, np.tanh(0.5)))


def test_the_total_of_a_shared_gradient_counts_every_example():
    p, _ = trace(lambda y: ops.mul(2.0, y), {"y": TensorType(F64)}, outputs=["grad"])
    b = batch_program(p, 4, {}, total={"grad"})
    assert evaluate(b, {"y": np.asarray(3.0)})["grad"] == 24.0


# -- passes --------------------------------------------------------------------------------
@FEW
@given(programs(smooth=False), st.integers(0, 1000))
@pytest.mark.parametrize("rewrite", [dce, cse, lower, simplify], ids=lambda f: f.__name__)
def test_passes_keep_values(rewrite, p, seed):
    q = rewrite(p)
    verify(q)
    given = drawn(p, seed)
    assert [(i.name, i.type) for i in q.inputs] == [(i.name, i.type) for i in p.inputs]
    for a, b in zip(outputs_of(p, given), outputs_of(q, given), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)
    if rewrite is not lower:
        assert len(q.nodes) <= len(p.nodes) or rewrite is simplify


@FEW
@given(programs(), st.integers(0, 1000))
def test_passes_keep_values_of_gradients(p, seed):
    g = vjp(p, floats(p))
    s = simplify(lower(g))
    verify(s)
    given = drawn(g, seed)
    for a, b in zip(outputs_of(g, given), outputs_of(s, given), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)


@FEW
@given(programs(smooth=False))
def test_simplify_ends(p):
    """A simplified program is simple, and simplification does not add work."""
    q = simplify(p)
    assert simplify(q) == q
    assert elements(q) <= elements(dce(p)) * 1.2 + 10


def elements(program):
    """Return the number of elements a program computes, those of loops at every step."""
    own = sum(v.type.size for n in program.nodes for v in n.outputs)
    inner = [n for n in program.nodes if n.primitive.name == "scan"]
    return own + sum(n.attrs["length"] * elements(n.attrs["body"]) for n in inner)


# -- pieces --------------------------------------------------------------------------------
def chain():
    p, _ = trace(
        lambda x, w: ops.reduce_sum(ops.sin(ops.tanh(ops.mul(x, w))), (0,)),
        {"x": TensorType(F64, (3,)), "w": TensorType(F64, (3,))}, name="chain",
    )  # fmt: skip
    return p


def test_linearize_gives_linear_nodes_only():
    p = chain()
    b = Builder("b", share=True)
    b.inputs, b.nodes = list(p.inputs), list(p.nodes)
    x = p.input("x").value
    linear = linearize(b, p.nodes, [x], [p.outputs[0].value])
    dependent = {linear.seeds[x]}
    for node in linear.nodes:
        assert sum(v in dependent for v in node.inputs) == 1
        dependent.update(node.outputs)
    assert linear.tangents[p.outputs[0].value] in dependent


def test_a_tangent_of_an_intermediate_value_cuts_the_paths_before_it():
    p = chain()
    b = Builder("b", share=True)
    b.inputs, b.nodes = list(p.inputs), list(p.nodes)
    tanh = p.nodes[1].output
    one = Tracer(b, b.input("one", tanh.type, "input"))
    known = push(b, p.nodes, {p.input("x").value: one, tanh: one})
    q = b.finish([(known[p.outputs[0].value].value, "output")])
    x = np.asarray([0.1, 0.2, 0.3])
    (found,) = run(q, [x, np.ones(3), np.ones(3)])
    np.testing.assert_allclose(found, np.cos(np.tanh(x)).sum())


def test_detached_edges_carry_nothing():
    p, _ = trace(lambda x: ops.mul(x, x), {"x": TensorType(F64)})
    b = Builder("b", share=True)
    b.inputs, b.nodes = list(p.inputs), list(p.nodes)
    x, (node,) = p.input("x").value, p.nodes
    one = ops.full(b, (), 1.0, F64)
    pulled = pullback(b, p.nodes, [x], {node.output: one}, detach={(node, 1)})
    q = b.finish([(pulled[x].value, "grad(x)")])
    assert run(q, [np.asarray(3.0)])[0] == 3.0


def test_a_value_returned_twice_gets_both_cotangents():
    p, _ = trace(lambda x: [(y := ops.sin(x)), y], {"x": TensorType(F64)})
    g = vjp(p, ["x"])
    found = evaluate(g, {"x": np.asarray(0.3), "ct_0": np.asarray(1.0), "ct_1": np.asarray(2.0)})
    np.testing.assert_allclose(found["grad(x)"], 3.0 * np.cos(0.3))


def test_no_path_is_a_zero_gradient():
    p, _ = trace(lambda x, y: ops.sin(x), {"x": TensorType(F64), "y": TensorType(F64, (2,))})
    found = evaluate(
        vjp(p, ["y"]), {"x": np.asarray(1.0), "y": np.ones(2), "ct_0": np.asarray(1.0)}
    )
    np.testing.assert_array_equal(found["grad(y)"], np.zeros(2))


def test_integers_carry_no_derivative():
    p, _ = trace(
        lambda x, i: ops.mul(x, ops.cast(i, F32)), {"x": TensorType(F32), "i": TensorType(I32)}
    )
    g = vjp(p, ["x"])
    found = evaluate(g, {"x": np.float32(1), "i": np.int32(3), "ct_0": np.float32(2)})
    assert found["grad(x)"] == 6.0


@given(st.data())
@settings(FEW, max_examples=10)
def test_arguments_fit_the_program(data):
    p = data.draw(programs())
    given = data.draw(arguments(p))
    assume(given)
    assert {k: v.shape for k, v in given.items()} == {i.name: i.type.shape for i in p.inputs}


def test_numbers_beside_booleans_keep_their_type_in_a_batch():
    """A choice between two numbers has no array that could tell their type."""
    builder = Builder("choice", float_dtype=F64)
    on = Tracer(builder, builder.input("on", TensorType(BOOL), "input"))
    gain = bind(get("select"), on, literal(1.0, F64), literal(0.5, F64))
    batched = batch_program(builder.finish([(gain.value, "output")]), 3, {"on": 0})
    assert batched.outputs[0].type == TensorType(F64, (3,))
    found = evaluate(batched, {"on": np.array([True, False, True])})["output"]
    np.testing.assert_array_equal(found, [1.0, 0.5, 1.0])
