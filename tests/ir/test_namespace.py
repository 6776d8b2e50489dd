"""The array namespace: traced and eager give NumPy's numbers, and mistakes give one message."""

from __future__ import annotations

import pickle
from typing import Any

import array_api_strict
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etp_ir import NotSupportedError, ShapeError, TraceError, TypeRuleError, trace
from etp_ir import namespace as xp
from etp_ir.interpreter import evaluate
from etp_ir.transforms import vjp
from etp_ir.types import BOOL, F32, F64, I32, DType, TensorType, type_of
from etp_ir.verify import verify


def run_traced(function: Any, *arrays: Any) -> Any:
    """Trace a function at the types of its arguments, and evaluate the program."""
    names = [f"a{i}" for i in range(len(arrays))]
    types = {n: type_of(x) for n, x in zip(names, arrays, strict=True)}
    program, constants = trace(
        lambda **kw: function(*kw.values()), types, float_dtype=F64, name="f"
    )
    verify(program)
    given = dict(zip(names, arrays, strict=True))
    outputs = evaluate(program, {**given, **constants})
    results = list(outputs.values())
    return results[0] if len(results) == 1 else results


def same(function: Any, *arrays: Any, expected: Any = None) -> None:
    """Check traced, eager and expected against each other."""
    wanted = function(*arrays) if expected is None else expected
    got = run_traced(function, *arrays)
    if isinstance(wanted, (list, tuple)):
        assert len(wanted) == len(got)
        for w, g in zip(wanted, got, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-14, atol=1e-15)
            assert np.shape(w) == np.shape(g)
    else:
        np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-15)
        assert np.shape(got) == np.shape(wanted)
        assert (np.asarray(wanted).dtype == np.bool_) == (got.dtype == np.bool_)


RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=(4,))
C = RNG.normal(size=(3, 1))
POS = np.abs(A) + 0.5
INT = RNG.integers(-5, 6, size=(3, 4)).astype(np.int32)
FLAG = A > 0

UNARY = [
    "abs",
    "square",
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "negative",
    "positive",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "round",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "reciprocal",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "maximum",
    "minimum",
    "remainder",
    "floor_divide",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logaddexp",
    "logical_and",
    "logical_or",
    "logical_xor",
]


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    function = getattr(xp, name)
    same(function, A)
    same(function, 20 * A)
    np.testing.assert_array_equal(function(A), getattr(np, name)(A))


@pytest.mark.parametrize("name", ["log", "log1p", "log2", "log10", "sqrt"])
def test_positive_domain(name: str) -> None:
    same(getattr(xp, name), POS)


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh", "divide", "mean", "softplus", "sigmoid"])
def test_integers_become_floats(name: str) -> None:
    function = getattr(xp, name)
    arguments = (np.abs(INT) + 1,) * (2 if name == "divide" else 1)
    same(function, *arguments)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "pair", [(A, A[::-1].copy()), (A, B), (C, B), (A, np.float64(0.7) + 0 * B[0])]
)
def test_binary_broadcasts(name: str, pair: Any) -> None:
    same(getattr(xp, name), *pair)


@pytest.mark.parametrize("name", BINARY)
def test_binary_with_numbers(name: str) -> None:
    function = getattr(xp, name)
    same(lambda x: function(x, 0.75), A)
    same(lambda x: function(2, x), A)
    if not name.startswith("log"):
        same(lambda x: function(x, 3), INT)


def test_bits() -> None:
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        function = getattr(xp, name)
        same(lambda x, f=function: f(x, 3), INT)
        same(getattr(xp, name), FLAG, FLAG[::-1].copy())
    same(lambda x: xp.bitwise_left_shift(x, 2), INT)
    same(lambda x: xp.bitwise_right_shift(x, 1), INT)
    same(xp.bitwise_invert, INT)
    same(xp.bitwise_invert, np.abs(INT).astype(np.uint32))
    same(xp.bitwise_invert, FLAG)
    same(lambda x: (x & 1) | (x ^ 2), INT)


def test_operators_read_like_numpy() -> None:
    same(lambda x, y: (1 - x) * y / 2 + x**2 - y**3 // 2 + abs(-x) % 3, A, B)
    same(lambda x: 2.0**x + x**0.5 + x**-1 + x**1.5, POS)
    same(lambda x: (x > 0) & ~(x < 1) | (x >= 2), A)
    same(lambda x, y: x @ y + y @ x.T, A, B)
    same(lambda x: x.sum(axis=0) + x.mean(0) + x.max(axis=0) + x.reshape(4, -1).T[0, 0], A)
    same(lambda x: x**2, INT)


def test_promotion() -> None:
    same(xp.add, A, INT)
    same(lambda c, x: c * x, FLAG, A)
    same(lambda c, x: c * x, FLAG, INT)
    same(lambda c: c * 2, FLAG)
    same(lambda c: c * 0.5, FLAG)
    same(lambda i: i * 0.5, INT)
    program, _ = trace(lambda x: x * np.float64(2) + 1, {"x": TensorType(F32, (2,))})
    assert program.outputs[0].type == TensorType(F32, (2,))


def test_two_truth_values_have_no_sum() -> None:
    with pytest.raises(TypeRuleError, match="not defined for bool"):
        run_traced(lambda x: x + x, FLAG)


def test_where_and_clip() -> None:
    same(xp.where, FLAG, A, B)
    same(lambda c: xp.where(c, 1.0, 0), FLAG)
    same(lambda c: xp.where(c, 1, 0), FLAG)
    same(lambda x: xp.where(x > 0, x, 0.0), A)
    same(lambda x: xp.where(True, x, 0.0), A, expected=A)
    same(lambda x: xp.where(FLAG, x, -1), A)
    same(lambda x: xp.clip(x, -0.3, 0.4), A)
    same(lambda x: xp.clip(x, None, 0.4), A)
    same(lambda x, y: xp.clip(x, min=y), A, B)


def test_rounding_half_to_even() -> None:
    same(xp.round, np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994, 3.2]))
    same(xp.floor_divide, INT, np.full_like(INT, 3))


@pytest.mark.parametrize(
    "name", ["sum", "mean", "var", "std", "max", "min", "prod", "any", "all", "argmax", "argmin"]
)
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(name: str, axis: Any, keepdims: bool) -> None:
    x = RNG.normal(size=(3, 5))
    x[x < -0.5] = 0.0
    same(lambda x: getattr(xp, name)(x, axis=axis, keepdims=keepdims), x)


def test_reductions_over_several_axes() -> None:
    x = RNG.normal(size=(2, 3, 4))
    for name in ("sum", "mean", "var", "max", "min", "prod", "any"):
        function = getattr(xp, name)
        same(lambda x, f=function: f(x, axis=(0, -1)), x)
    same(lambda x: xp.std(x, axis=1, correction=1), x)
    same(xp.sum, FLAG)
    same(lambda x: xp.sum(x, axis=()), A)
    same(lambda x: xp.cumulative_sum(x, axis=1), x)
    same(lambda x: xp.cumulative_sum(x, include_initial=True), B)


def test_products() -> None:
    x, y, z = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(4, 5)), RNG.normal(size=(2, 1, 4, 2))
    same(xp.matmul, x, y)
    same(xp.matmul, x, z)
    same(xp.matmul, B, y)
    same(xp.matmul, x, B)
    same(xp.matmul, B, B)
    same(xp.vecdot, A, B)
    same(lambda a, b: xp.vecdot(a, b, axis=-2), A.T.copy(), C.repeat(4, 1).T.copy())
    same(lambda a, b: xp.tensordot(a, b, axes=1), x, y)
    same(lambda a, b: xp.tensordot(a, b, axes=([1, 0], [0, 1])), A, A.T.copy())
    same(xp.outer, B, A[:, 0])
    same(lambda a, b: xp.einsum("bi,io->bo", a, b), A, y)
    same(lambda a, b: xp.einsum("...i,io->...o", a, b), x, y)
    same(lambda a, b: xp.einsum("ij,jk", a, b), A, y)
    same(lambda a: xp.einsum("ijk->kj", a), x)
    same(lambda a: a @ np.ones((4, 2)), x)


def test_manipulation() -> None:
    x = RNG.normal(size=(2, 3, 4))
    same(lambda x: xp.reshape(x, (4, -1)), x)
    same(lambda x: xp.permute_dims(x, (2, 0, 1)), x)
    same(xp.matrix_transpose, x)
    same(lambda x: xp.moveaxis(x, 0, -1), x)
    same(lambda x: xp.moveaxis(x, (0, 1), (1, 2)), x)
    same(lambda x: xp.expand_dims(x, axis=-2), x)
    same(lambda x: xp.squeeze(x, axis=1), C)
    same(lambda x: xp.broadcast_to(x, (2, 3, 4)), C)
    same(lambda x, y: xp.broadcast_arrays(x, y), C, B)
    same(lambda x, y: xp.concat([x, y, x], axis=1), A, C)
    same(lambda x, y: xp.concat([x, y], axis=None), A, B)
    same(lambda x, y: xp.concat([x, np.ones(2), y]), B, B)
    same(lambda x: xp.stack([x, x * 2, np.zeros(4)], axis=-1), B)
    same(xp.unstack, x)
    same(lambda x: xp.split(x, 2, axis=2), x)
    same(lambda x: xp.split(x, [1, 3], axis=-1), x)
    same(lambda x: xp.flip(x, axis=(0, 2)), x)
    same(xp.flip, x)
    same(lambda x: xp.roll(x, 2), x)
    same(lambda x: xp.roll(x, (1, -1), axis=(0, 2)), x)
    same(lambda x: xp.repeat(x, 3, axis=1), x)
    same(lambda x: xp.repeat(x, 2), A)
    same(lambda x: xp.tile(x, (2, 1, 3)), A)
    same(lambda x: xp.tile(x, 2), A)


def test_creation() -> None:
    same(lambda x: xp.zeros_like(x) + xp.ones_like(x) + xp.full_like(x, 3), A)
    same(lambda x: xp.full((2, 3), x[0]), B)
    same(lambda x: x + xp.arange(4) + xp.eye(4)[0] + xp.zeros(4, dtype="float32"), B)
    same(lambda x: xp.asarray([x[0], x[1], 2.0]), B, expected=np.array([B[0], B[1], 2.0]))
    same(lambda x: xp.astype(x, xp.int32), 3 * A)
    same(lambda x: xp.astype(x, bool), INT)
    assert xp.zeros((2,), dtype=xp.float32).dtype == xp.float32
    assert xp.full((2,), 1.5).dtype == np.float64
    assert np.zeros(2, dtype=xp.int32).dtype == np.int32
    assert xp.isdtype(np.dtype("int32"), "integral")
    assert not xp.isdtype(xp.float32, ("integral", "bool"))
    assert xp.result_type(A, np.float32(1), INT) is F64
    assert xp.finfo(xp.float32).eps == np.finfo(np.float32).eps


@pytest.mark.parametrize(
    "key",
    [
        0, -1, (1, 2), slice(None), slice(1, None), slice(None, None, -1), slice(-1, 0, -2),
        (slice(None), slice(3, 0, -2)), Ellipsis, (Ellipsis, 0), (0, Ellipsis), None,
        (None, slice(None), None), (0, None, slice(1, 3)), [2, 0, 0], (slice(None), [1, -1]),
        np.array([[0, 1], [2, -3]]), ([0, 1], 2), (np.array([True, False, True]),),
        (Ellipsis, None, [0, 3]), (slice(5, 9),), (np.int64(1), np.array(2)),
    ],
)  # fmt: skip
def test_indexing(key: Any) -> None:
    same(lambda x: x[key], A)


def test_indexing_by_traced_integers() -> None:
    same(lambda x, i: x[i], A, np.array([2, 0, -1], np.int32))
    same(lambda x, i: x[:, i], A, np.array(-2, np.int32))
    same(lambda x, i, j: x[i, j], A, np.array(1, np.int32), np.array(3, np.int32))
    same(lambda x, i: xp.take(x, i, axis=1), A, np.array([[1], [0]], np.int32))
    same(lambda x: xp.take(x, [3, 1], axis=1), A)
    same(lambda i: xp.take(A, i, axis=0), np.array([2, 1], np.int32))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_basic_index(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    same(lambda x: x[key], np.arange(float(np.prod(shape))).reshape(shape))


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
@settings(max_examples=60, deadline=None)
def test_any_broadcast(shapes: Any) -> None:
    x, y = (np.arange(1.0, 1 + np.prod(s)).reshape(s) for s in shapes.input_shapes)
    same(xp.add, x, y)
    same(xp.where, x > 2, x, y)


def test_extensions_do_not_overflow() -> None:
    extreme = np.array([-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0])
    same(xp.sigmoid, extreme)
    same(xp.softplus, extreme, expected=np.logaddexp(extreme, 0))
    same(xp.erf, extreme)
    same(xp.silu, extreme)
    same(xp.relu, extreme)
    for function in (xp.softmax, xp.log_softmax):
        same(lambda x, f=function: f(x, axis=1), 300 * A)
    same(lambda x: xp.logsumexp(x, axis=0), 300 * A)
    same(lambda x: xp.logsumexp(x), 300 * A)
    np.testing.assert_allclose(xp.softmax(A, axis=1).sum(1), 1)
    same(lambda i: xp.one_hot(i, 4), np.array(2, np.int32), expected=np.eye(4)[2])


NUMPY_CALLS = {
    "tanh": lambda x, y: np.tanh(x),
    "ufunc with an array": lambda x, y: np.add(np.ones(4), x) * np.multiply(y, 2),
    "array operator": lambda x, y: np.ones((2, 3)) @ x - np.ones(4),
    "concatenate": lambda x, y: np.concatenate([x, np.ones((1, 4)), x], axis=0),
    "stack": lambda x, y: np.stack([x, x], 1),
    "where": lambda x, y: np.where(x > 0, x, 0),
    "sum": lambda x, y: np.sum(x, axis=0, keepdims=True),
    "positional axis": lambda x, y: np.sum(x, 1) + np.max(x, 1) + np.mean(x, -1),
    "add.reduce": lambda x, y: np.add.reduce(x) + np.maximum.reduce(x, axis=0),
    "clip": lambda x, y: np.clip(x, -1, 1),
    "absolute": lambda x, y: np.absolute(x) + np.fabs(x),
    "power": lambda x, y: np.power(x, 2) + np.true_divide(x, 3),
    "dot": lambda x, y: np.dot(x, y) + np.matmul(x, y),
    "transpose": lambda x, y: np.transpose(x),
    "einsum": lambda x, y: np.einsum("ij,j->i", x, y),
    "cumsum": lambda x, y: np.cumsum(x, 1),
    "roll": lambda x, y: np.roll(x, 1, axis=0) + np.roll(x, 2, 1),
    "argmax": lambda x, y: np.argmax(x, axis=1),
    "zeros_like": lambda x, y: np.zeros_like(x) + np.ones_like(x),
    "shape": lambda x, y: x * np.shape(x)[0] + np.ndim(x) + np.size(y),
    "outer": lambda x, y: np.outer(y, y) + np.multiply.outer(y, y),
    "split": lambda x, y: np.split(x, 2, 1)[1],
    "logical": lambda x, y: np.logical_and(x > 0, x < 1),
    "rint": lambda x, y: np.rint(x),
    "expand": lambda x, y: np.squeeze(np.expand_dims(x, 0), 0),
}


@pytest.mark.parametrize("name", list(NUMPY_CALLS))
def test_numpy_functions_are_traced(name: str) -> None:
    same(NUMPY_CALLS[name], A, B)


def test_numpy_function_without_a_traced_form() -> None:
    with pytest.raises(NotSupportedError, match=r"np\.sort has no traced(.|\n)*test_namespace"):
        run_traced(np.sort, A)
    with pytest.raises(NotSupportedError, match=r"np\.add\.accumulate"):
        run_traced(np.add.accumulate, A)
    with pytest.raises(NotSupportedError, match="arguments that have no traced form"):
        run_traced(lambda x: np.sum(x, where=FLAG), A)


def test_writing_into_numpy_arrays_is_refused() -> None:
    def accumulate(x: Any) -> Any:
        total = np.zeros((3, 4))
        total += x
        return total

    with pytest.raises(TraceError, match=r"np\.add would write a traced value(.|\n)*accumulate"):
        run_traced(accumulate, A)

    def assign(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(TraceError, match="changed in place"):
        run_traced(assign, A)


def test_broadcast_error_names_types_and_line() -> None:
    def wrong(x: Any, y: Any) -> Any:
        return x + y

    with pytest.raises(
        ShapeError,
        match=r"`add` cannot broadcast f64\[3,4\] and f64\[3\](.|\n)*%a0(.|\n)*"
        r"test_namespace\.py:\d+ in test_broadcast.*wrong",
    ):
        run_traced(wrong, A, A[:, 0])


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x[5], "index 5 is outside axis 0"),
        (lambda x: x[:, :, 0], "3 indices for an array of 2 axes"),
        (lambda x: x[x > 0], "shape unknown"),
        (lambda x: x[0.5], "element type float64"),
        (lambda x: x[[0, 1], [0, 1]], "several integer indices"),
        (lambda x: x[[9]], "outside an axis"),
        (lambda x: xp.reshape(x, (5, -1)), "other number of elements"),
        (lambda x: xp.sum(x, axis=2), "along axis 2"),
        (lambda x: x @ x, "summed sizes differ"),
        (lambda x: xp.concat([x, x[0]]), "cannot join"),
        (lambda x: xp.split(x, 3, axis=1), "cannot cut 4 elements"),
        (lambda x: xp.matmul(x, 2.0), "needs arrays with axes"),
        (lambda x: xp.broadcast_to(x, (2, 4)), "does not fit"),
        (lambda x: xp.squeeze(x, axis=0), "not all of one element"),
        (lambda x: xp.einsum("ii->i", x), "diagonal"),
        (lambda x: xp.take(x, 0), "needs an axis"),
    ],
)
def test_mistakes_name_the_line(function: Any, text: str) -> None:
    with pytest.raises((ShapeError, NotSupportedError), match=text) as caught:
        run_traced(function, A)
    assert "test_namespace.py:" in str(caught.value)


def test_python_branch_on_a_traced_value() -> None:
    with pytest.raises(TraceError, match=r"no truth value(.|\n)*test_namespace(.|\n)*xp\.where"):
        run_traced(lambda x: x if x[0, 0] > 0 else -x, A)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'sigmoid'"):
        xp.sigmoit  # noqa: B018


def test_eager_keeps_the_library_of_its_arguments() -> None:
    x = jnp.asarray(A, jnp.float32)
    for result in (xp.tanh(x), xp.sigmoid(x), xp.softmax(x), xp.concat([x, x]), x[xp.argmax(x[0])],
                   xp.where(x > 0, x, 0.0), xp.astype(x, xp.int32), xp.sum(x, axis=0)):  # fmt: skip
        assert isinstance(result, jnp.ndarray)
    strict = array_api_strict.asarray(A)
    for result in (xp.tanh(strict), xp.sigmoid(strict), xp.softmax(strict), xp.sum(strict),
                   xp.astype(strict, xp.float32), xp.permute_dims(strict, (1, 0))):  # fmt: skip
        assert isinstance(result, type(strict))
    assert isinstance(xp.tanh(0.5), np.floating)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: xp.softplus(x), lambda x: xp.sigmoid(x), lambda x: xp.log_softmax(x, axis=1),
        lambda x: x**3 + (x * x + 1) ** -1.5, lambda x: xp.tanh(x) ** 2,
        lambda x: xp.std(x, axis=0), lambda x: xp.prod(x, axis=1), lambda x: xp.sinh(x),
        lambda x: x[::-1, [0, 2]],
        lambda x: xp.matmul(x, xp.matrix_transpose(x)), lambda x: xp.min(x, axis=1),
        lambda x: xp.logsumexp(x, axis=1), lambda x: xp.roll(xp.repeat(x, 2, axis=0), 1, axis=1),
    ],
)  # fmt: skip
def test_gradients_match_finite_differences(function: Any) -> None:
    x = RNG.normal(size=(3, 4)) + 0.1
    program, constants = trace(function, {"x": type_of(x)}, float_dtype=F64)
    weight = RNG.normal(size=program.outputs[0].type.shape)
    back = evaluate(vjp(program, ["x"]), {"x": x, "ct_0": weight, **constants})["grad(x)"]
    assert np.abs(back).max() > 0
    numeric = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        above, below = function(x + step), function(x - step)
        numeric[i] = np.sum(weight * (above - below)) / 2e-6
    np.testing.assert_allclose(back, numeric, rtol=2e-7, atol=2e-8)


def test_sigmoid_and_softplus_gradients_at_zero() -> None:
    zero = np.zeros(1)
    for function, slope in ((xp.softplus, 0.5), (xp.sigmoid, 0.25)):
        program, _ = trace(lambda x, f=function: f(x), {"x": type_of(zero)}, float_dtype=F64)
        assert evaluate(vjp(program, ["x"]), {"x": zero, "ct_0": np.ones(1)})["grad(x)"] == slope


def test_element_types_are_understood_by_numpy() -> None:
    assert np.dtype("float32") == F32
    assert np.dtype("float32") == F32
    assert all(isinstance(getattr(xp, n), DType) for n in ("float64", "int32", "uint32", "bool"))
    program, constants = trace(lambda i: i + np.arange(3), {"i": TensorType(I32, (3,))})
    assert constants["c"].dtype == np.int32
    assert program.outputs[0].type.dtype is I32
    assert BOOL.dtype == np.bool_


def test_functions_and_element_types_pickle_as_themselves() -> None:
    """A model may keep one in an attribute, and a model pickles."""
    found = [getattr(xp, name) for name in xp.__all__ if callable(getattr(xp, name))]
    assert len(found) > 80
    for item in [*found, F32, TensorType(BOOL, (2,)).dtype]:
        assert pickle.loads(pickle.dumps(item)) is item
