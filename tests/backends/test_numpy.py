"""The NumPy backend: inputs are checked, memory is shared only where that was asked for."""

import traceback
import tracemalloc

import numpy as np
import pytest

import etp_backends
from etp_ir import IRError, Literal, LoweringError, ShapeError, TypeRuleError, ops, trace
from etp_ir.types import BF16, BOOL, F32, F64, I32, TensorType
from tests.backends.conformance import assert_equal, draw
from tests.backends.sequences import leaky_program


@pytest.fixture
def backend():
    return etp_backends.get("numpy")


def scaled(dtype=F32, shape=(2, 3)):
    return trace(lambda x: ops.mul(ops.tanh(x), 2.0), {"x": TensorType(dtype, shape)}, name="p")[0]


def sequence(backend, donate=(), steps=4):
    program = leaky_program(steps)
    return backend.compile(program, donate=donate), draw(program, np.random.default_rng(0))


def test_inputs_are_left_alone(backend):
    run, arrays = sequence(backend)
    before = {k: v.copy() for k, v in arrays.items()}
    run(arrays)
    for key, value in before.items():
        np.testing.assert_array_equal(arrays[key], value)


def test_donated_inputs_become_the_outputs(backend):
    run, arrays = sequence(backend, donate=("h", "e"))
    expected = sequence(backend)[0]({k: v.copy() for k, v in arrays.items()})
    out = run(arrays)
    assert np.shares_memory(out["state(h)"], arrays["h"])
    assert np.shares_memory(out["trace(e)"], arrays["e"])
    assert not np.shares_memory(out["output(0)"], arrays["h"])
    for key, value in expected.items():
        assert_equal(out[key], value, key)


def test_a_donated_array_that_cannot_be_written_is_copied(backend):
    run, arrays = sequence(backend, donate=("h", "e"))
    before = arrays["e"].copy()
    arrays["e"].flags.writeable = False
    out = run(arrays)
    np.testing.assert_array_equal(arrays["e"], before)
    assert not np.shares_memory(out["trace(e)"], arrays["e"])


def test_a_donated_array_given_twice_is_copied(backend):
    def f(x, y):
        return ops.mul(x, 2.0), ops.add(y, 1.0)

    types = dict.fromkeys("xy", TensorType(F32, (3,)))
    program, _ = trace(f, types)
    same = np.ones(3, np.float32)
    out = backend.compile(program, donate=("x", "y"))({"x": same, "y": same})
    np.testing.assert_array_equal(out["output(0)"], 2.0)
    np.testing.assert_array_equal(out["output(1)"], 2.0)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2],
        np.arange(6).reshape(2, 3),
        [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
    ],
    ids=["float64", "column-major", "strided", "integers", "lists"],
)
def test_inputs_are_converted(backend, array):
    found = backend.compile(scaled())({"x": array})["output(0)"]
    assert_equal(found, 2 * np.tanh(np.asarray(array, np.float32)), "p")


def test_scalars(backend):
    found = backend.compile(scaled(shape=()))({"x": 0.5})["output(0)"]
    assert found.shape == ()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 2 * np.tanh(0.5), rtol=1e-6)


def test_a_wrong_shape_names_the_input(backend):
    run = backend.compile(scaled())
    with pytest.raises(ShapeError, match=r"input %x is f32\[2,3\], got an array of shape \[3, 2\]"):
        run({"x": np.zeros((3, 2), np.float32)})
    with pytest.raises(ShapeError, match=r"in program @p\n.*reshape the array"):
        run({"x": np.zeros(3)})


def test_a_missing_input_names_the_nearest(backend):
    program = leaky_program(1)
    arrays = draw(program, np.random.default_rng(0))
    arrays["cell_w"] = arrays.pop("cell.w")
    with pytest.raises(IRError, match=r"no array for input %cell\.w: f32\[3,4\].*'cell_w'"):
        backend.compile(program)(arrays)


def test_an_element_type_that_does_not_fit_is_refused(backend):
    run = backend.compile(_counter())
    with pytest.raises(TypeRuleError, match=r"input %n is i32\[\], and an array of f64 cannot"):
        run({"n": np.array(1.5)})


def _counter():
    return trace(lambda n: ops.add(n, 1), {"n": TensorType(I32)})[0]


def test_donating_what_is_no_input_is_refused(backend):
    with pytest.raises(IRError, match=r"@p has no input 'X' to donate; did you mean 'x'\?"):
        backend.compile(scaled(), donate=("X",))


def test_bf16_is_refused(backend):
    with pytest.raises(LoweringError, match=r"%x is bf16\[2,3\], and bf16 runs on JAX only"):
        backend.compile(scaled(dtype=BF16))


def test_a_traceback_shows_the_generated_line(backend):
    program, _ = trace(
        lambda x, i: ops.gather(x, i, 0), {"x": TensorType(F32, (3,)), "i": TensorType(I32, (2,))}
    )
    with pytest.raises(IndexError) as caught:
        backend.compile(program)({"x": np.zeros(3), "i": np.array([0, 9])})
    assert "take(x, i, axis=0, out=output_0)" in "".join(traceback.format_tb(caught.tb))


def test_nothing_is_allocated_inside_a_loop(backend):
    """The peak of a second call is the outputs and a few views, whatever the number of steps."""
    peaks = []
    for steps in (20, 200):
        program = leaky_program(steps, batch=16, inputs=32, units=32, dtype=F64)
        run = backend.compile(program)
        arrays = draw(program, np.random.default_rng(0))
        out = run(arrays)
        returned = sum(v.nbytes for v in out.values())
        tracemalloc.start()
        run(arrays)
        peaks.append(tracemalloc.get_traced_memory()[1] - returned)
        tracemalloc.stop()
    trace_bytes = 16 * 32 * 32 * 8
    assert max(peaks) < trace_bytes
    assert abs(peaks[1] - peaks[0]) < trace_bytes // 4


def test_overflow_is_silent(backend):
    program, _ = trace(lambda x: ops.exp(x), {"x": TensorType(F32, (2,))})
    with np.errstate(all="raise"):
        out = backend.compile(program)({"x": np.array([1e4, -1e4])})["output(0)"]
    np.testing.assert_array_equal(out, [np.inf, 0.0])


def test_selection_keeps_nan_and_signs(backend):
    """Selection works on bit patterns: a NaN not taken must vanish, one taken must stay."""

    def f(c, x, y):
        return (
            ops.select(c, x, y), ops.select(c, x, 0.0), ops.select(c, 1.5, y),
            ops.select(c, Literal(-0.0, F32), Literal(2.0, F32)), ops.select(c, c, ops.not_(c)),
        )  # fmt: skip

    types = {"c": TensorType(BOOL, (4,)), "x": TensorType(F32, (4,)), "y": TensorType(F32, (4,))}
    program, _ = trace(f, types)
    c = np.array([True, True, False, False])
    x = np.array([np.nan, -0.0, np.nan, np.inf], np.float32)
    y = np.array([np.inf, np.nan, -1.0, np.nan], np.float32)
    out = list(backend.compile(program)({"c": c, "x": x, "y": y}).values())
    wanted = [np.where(c, x, y), np.where(c, x, 0), np.where(c, 1.5, y),
              np.where(c, -0.0, 2.0), np.ones(4, bool)]  # fmt: skip
    for found, expected in zip(out, wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found * 1.0), np.signbit(expected * 1.0))
