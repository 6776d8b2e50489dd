"""The JAX backend: compilation, precision, donation, errors."""
# ruff: noqa: E402  (what needs JAX is imported after the test for it)

import pickle
import warnings

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp

from etp_backends.jax import JaxBackend
from etp_ir import IRError, ShapeError, ops
from etp_ir.types import BF16, F16, F32, F64, I32, TensorType
from tests.backends.jax_programs import BACKEND, agree, arrays_for, program_of, rnn


# -- compilation -------------------------------------------------------------------------------
def test_no_call_after_the_first_compiles():
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    program = program_of(
        lambda x, s, k: (ops.mul(x, ops.broadcast(s, (3,), ())), ops.add(k, 1)),
        x=TensorType(F32, (3,)), s=TensorType(F32), k=TensorType(I32),
    )  # fmt: skip
    executable = BACKEND.compile(program)
    x = np.asarray([1.0, 2.0, 3.0], np.float32)
    first = executable({"x": x, "s": 2.0, "k": 4})
    assert executable.compilations == 1
    assert compiled, "the listener hears nothing"
    variants = [
        {"x": jnp.asarray(x), "s": jnp.asarray(2.0), "k": jnp.asarray(4)},
        {"x": x.tolist(), "s": np.float64(2.0), "k": np.int64(4)},
        {"x": x.astype(np.float64), "s": np.float32(2.0), "k": np.int32(4)},
        {"x": first["output(0)"], "s": 1.0, "k": first["output(1)"]},
    ]
    executable(variants[0])  # conversions of weak types are programs of their own
    compiled.clear()
    for arrays in variants:
        out = executable(arrays)
        np.testing.assert_array_equal(np.asarray(out["output(0)"]), 2 * x)
    executable.memory()
    assert executable.compilations == 1
    assert not compiled


def test_double_precision_compiles_once_whatever_the_configuration():
    program = rnn(T=3, dtype=F64)
    executable = BACKEND.compile(program)
    arrays = arrays_for(program)
    once = executable(arrays)
    agree(program, arrays, executable)
    agree(program, {k: BACKEND.asarray(v) for k, v in arrays.items()}, executable)
    executable({**arrays, "h": once["output(0)"]})
    assert executable.compilations == 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(F16, 2e-3), (BF16, 2e-2)], ids=str)
def test_half_precision(dtype, tolerance):
    x, w = TensorType(dtype, (4, 8)), TensorType(dtype, (8, 3))
    program = program_of(
        lambda x, w: (ops.tanh(ops.contract(x, w, "bi,io->bo")), ops.reduce_sum(x, (0,))), x=x, w=w
    )
    arrays = arrays_for(program)
    found = BACKEND.compile(program)(arrays)
    x, w = (arrays[k].astype(np.float32) for k in "xw")
    for key, wanted in (("output(0)", np.tanh(x @ w)), ("output(1)", x.sum(0))):
        assert found[key].dtype == dtype.numpy()
        np.testing.assert_allclose(np.asarray(found[key], np.float32), wanted, atol=tolerance)


# -- donation ----------------------------------------------------------------------------------
def test_donated_arrays_are_written_in_place():
    t = TensorType(F32, (64,))
    program = program_of(lambda h, x: (ops.add(h, x), ops.reduce_sum(x, (0,))), h=t, x=t)
    executable = BACKEND.compile(program, donate=["h", "x"])
    h, x = BACKEND.asarray(np.ones(64, "f")), BACKEND.asarray(np.full(64, 2.0, "f"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = executable({"h": h, "x": x})
    assert h.is_deleted()
    assert not x.is_deleted(), "no output can take this buffer"
    assert executable.memory().aliased == 256
    np.testing.assert_array_equal(np.asarray(out["output(0)"]), 3.0)


def test_donation_leaves_numpy_arrays_and_arrays_given_twice_alone():
    t = TensorType(F32, (4096,))
    program = program_of(lambda h, c, x: (ops.add(h, x), ops.add(c, 1.0)), h=t, c=t, x=t)
    executable = BACKEND.compile(program, donate=["h", "c"])
    mine = np.ones(4096, "f")
    out = executable({"h": mine, "c": mine, "x": mine})
    mine[:] = 7
    np.testing.assert_array_equal(np.asarray(out["output(0)"]), 2.0)
    zeros = BACKEND.asarray(np.zeros(4096, "f"))
    out = executable({"h": zeros, "c": zeros, "x": zeros})
    np.testing.assert_array_equal(np.asarray(out["output(0)"]), 0.0)
    np.testing.assert_array_equal(np.asarray(out["output(1)"]), 1.0)


def test_outputs_do_not_follow_a_numpy_input():
    t = TensorType(F32, (1 << 16,))
    program = program_of(lambda x: (x, ops.reshape(x, (256, 256))), x=t)
    mine = np.ones(1 << 16, "f")
    out = BACKEND.compile(program)({"x": mine})
    mine[:] = 7
    for array in out.values():
        assert np.all(np.asarray(array) == 1)


# -- errors ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 2), "f")}, r"input 'x' needs f32\[2,3\], got f32\[3,2\]"),
        ({"y": np.zeros((2, 3), "f")}, r"input 'x' is missing; it needs f32\[2,3\](.|\n)*'y'"),
        ({"x": np.zeros((2, 3), complex)}, "complex"),
    ],
)
def test_wrong_arrays_are_named(arrays, message):
    program = program_of(lambda x: ops.neg(x), x=TensorType(F32, (2, 3)))
    executable = BACKEND.compile(program)
    with pytest.raises(IRError, match=message):
        executable(arrays)
    with pytest.raises(IRError, match=message):
        executable.function(arrays)


def test_elements_are_never_rounded_silently_to_integers():
    program = program_of(lambda k: ops.add(k, 1), k=TensorType(I32, (2,)))
    executable = BACKEND.compile(program)
    with pytest.raises(ShapeError, match=r"input 'k' needs i32\[2\], got f64\[2\](.|\n)*astype"):
        executable({"k": np.asarray([0.5, 1.5])})
    out = executable({"k": np.asarray([1, 2], np.int64)})["output(0)"]
    assert (out.dtype, out.tolist()) == (np.int32, [2, 3])


def test_unknown_donation_and_device():
    program = program_of(lambda hidden: ops.neg(hidden), hidden=TensorType(F32, (2,)))
    with pytest.raises(IRError, match="cannot donate 'hiden' of @p; did you mean 'hidden'"):
        BACKEND.compile(program, donate=["hiden"])
    with pytest.raises(Exception, match="JAX has no device 'cpu:99'"):
        JaxBackend("cpu:99").compile(program)


# -- the backend object ------------------------------------------------------------------------
def test_backend_pickles_with_its_device():
    backend = pickle.loads(pickle.dumps(JaxBackend(jax.devices("cpu")[0])))
    assert backend == JaxBackend("cpu:0")
    program = rnn(T=2)
    executable = backend.compile(program)
    agree(program, arrays_for(program), executable)
    agree(program, arrays_for(program), executable)
    assert executable.compilations == 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint32", "bool"])
def test_arrays_keep_their_element_type(dtype):
    array = np.asarray([[0, 1], [1, 1]], dtype)
    there = BACKEND.asarray(array)
    assert isinstance(there, jax.Array)
    back = BACKEND.to_numpy(BACKEND.asarray(there))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
