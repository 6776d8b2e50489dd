"""`jax.grad` of an executable's function, and generated programs."""
# ruff: noqa: E402  (what needs JAX is imported after the test for it)

import warnings

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp
from hypothesis import given, settings
from hypothesis import strategies as st

from etp_backends.jax.hoist import hoist
from etp_ir import IRError, ops
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower
from etp_ir.primitive import get
from etp_ir.tracer import bind, trace
from etp_ir.transforms import vjp
from etp_ir.types import F32, F64, TensorType
from tests.backends.conformance import check_program
from tests.backends.jax_programs import BACKEND, arrays_for, program_of, rnn
from tests.ir.generate import arguments, programs


# -- derivatives -------------------------------------------------------------------------------
def both_gradients(program, arrays=None, wrt=None):
    """Return the gradients of a random sum of all outputs, by `jax.grad` and by our own vjp."""
    arrays = arrays_for(program, scale=0.7) if arrays is None else arrays
    wrt = wrt or [p.name for p in program.inputs if p.type.dtype.is_float]
    pulled = vjp(program, wrt)
    rng = np.random.default_rng(3)
    cotangents = {
        p.name: rng.standard_normal(p.type.shape)
        for p in pulled.inputs if p.name.startswith("ct_")
    }  # fmt: skip
    keys = [out.key for out in program.outputs]
    executable = BACKEND.compile(program)

    def total(some):
        outputs = executable.function({**arrays, **some})
        return sum((ct * outputs[keys[int(k[3:])]]).sum() for k, ct in cotangents.items())

    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        options = executable.compiler_options
        gradient = jax.jit(jax.grad(total), compiler_options=options)
        theirs = gradient({k: jnp.asarray(arrays[k]) for k in wrt})
        theirs = {k: np.asarray(v) for k, v in theirs.items()}
    found = BACKEND.compile(pulled)({**arrays, **cotangents})
    ours = {k: np.asarray(found[f"grad({k})"]) for k in wrt}
    return theirs, ours


def assert_same_gradients(program, **given):
    theirs, ours = both_gradients(program, **given)
    for name, wanted in ours.items():
        assert np.any(wanted != 0), name
        np.testing.assert_allclose(theirs[name], wanted, rtol=1e-10, atol=1e-12, err_msg=name)


def test_gradients_of_a_cell_agree_with_jax():
    def cell(x, h, w, b):
        z = ops.contract(ops.concat([x, h], 1), w, "bi,io->bo")
        z = ops.add(z, ops.broadcast(b, (2, 6), (1,)))
        gate = ops.logistic(ops.slice_(z, (0, 0), (2, 3), (1, 1)))
        new = ops.tanh(ops.slice_(z, (0, 3), (2, 6), (1, 1)))
        h = ops.add(ops.mul(gate, h), ops.mul(ops.sub(1.0, gate), new))
        top = ops.reduce_max(h, (1,))
        shifted = ops.exp(ops.sub(h, ops.broadcast(top, (2, 3), (0,))))
        return ops.div(shifted, ops.broadcast(ops.reduce_sum(shifted, (1,)), (2, 3), (0,))), h

    program = program_of(
        lambda x, h, w, b: [ops.mul(cell(x, h, w, b)[0], h)],
        x=TensorType(F64, (2, 4)), h=TensorType(F64, (2, 3)),
        w=TensorType(F64, (7, 6)), b=TensorType(F64, (6,)),
    )  # fmt: skip
    assert_same_gradients(program)


def test_gradients_through_spikes_and_detached_values_agree_with_jax():
    bump = trace(lambda x: ops.exp(ops.neg(ops.mul(x, x))), {"x": TensorType(F64)}, name="bump")[0]

    def neuron(v, w):
        v = ops.contract(v, w, "bi,io->bo")
        s = bind(get("spike"), v, surrogate="fast_sigmoid")
        r = bind(get("spike"), v, surrogate=bump)
        return ops.add(ops.mul(v, ops.stop_gradient(s)), ops.mul(s, r))

    program = program_of(neuron, v=TensorType(F64, (3, 4)), w=TensorType(F64, (4, 5)))
    assert_same_gradients(program)


def test_gradients_through_loops_agree_with_jax():
    assert_same_gradients(rnn(T=4, B=2, n=3, dtype=F64))


def test_function_runs_inside_jit_scan_and_vmap():
    t = TensorType(F32, (3,))
    program = program_of(lambda h, x: ops.tanh(ops.add(ops.mul(h, 0.5), x)), h=t, x=t)
    executable = BACKEND.compile(program)
    xs = np.random.default_rng(0).standard_normal((6, 5, 3)).astype("f")

    def step(h, x):
        h = jax.vmap(lambda h, x: executable.function({"h": h, "x": x})["output(0)"])(h, x)
        return h, h

    rollout = jax.jit(
        lambda h, xs: jax.lax.scan(step, h, xs)[1], compiler_options=executable.compiler_options
    )
    found = np.asarray(rollout(np.zeros((5, 3), "f"), xs))
    h = np.zeros((5, 3), "f")
    for x, row in zip(xs, found, strict=True):
        h = np.tanh(0.5 * h + x)
        np.testing.assert_allclose(row, h, atol=1e-6)
    assert np.abs(found).max() > 0.5


def test_double_precision_without_x64_is_one_clear_error():
    program = program_of(lambda x: ops.neg(x), x=TensorType(F64, (2,)))
    with pytest.raises(IRError, match="enable_x64"):
        BACKEND.compile(program).function({"x": jnp.ones(2)})


# -- generated programs ------------------------------------------------------------------------
@settings(max_examples=15)
@given(st.data(), st.sampled_from([F32, F64]))
def test_generated_programs(data, dtype):
    program = data.draw(programs(smooth=False, dtype=dtype))
    arrays = data.draw(arguments(program))
    check_program(BACKEND, program, arrays)
    for key, wanted in evaluate(program, arrays).items():
        found = evaluate(hoist(lower(program)), arrays)[key]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@settings(max_examples=12)
@given(st.data())
def test_gradients_of_generated_programs_agree_with_jax(data):
    # JAX has no reverse mode of a loop of unknown length.
    program = data.draw(programs(smooth=False, without=["while"]))
    arrays = data.draw(arguments(program))
    theirs, ours = both_gradients(program, arrays)
    for name, wanted in ours.items():
        size = max(1.0, float(np.max(np.abs(wanted), initial=0)))
        np.testing.assert_allclose(theirs[name], wanted, rtol=1e-9, atol=1e-11 * size)
