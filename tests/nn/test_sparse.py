"""Sparse weights: patterns in every format, the product against the dense one, the layer."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import etp
from etp import xp
from etp.sparsity import random_pattern, sparse_pattern, sparse_values
from etp_ir import trace
from etp_ir.interpreter import evaluate
from etp_ir.types import F64, TensorType

FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]


@st.composite
def matrices(draw, rows=None):
    """Return the triple and the numbers of a matrix, in any order; rows may be empty."""
    shape = (rows or draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    places = draw(st.lists(st.integers(0, shape[0] * shape[1] - 1), unique=True))
    seed = draw(st.integers(0, 2**16))
    found = np.asarray(places, np.int64)
    numbers = np.random.default_rng(seed).standard_normal(found.size)
    return (found // shape[1], found % shape[1], shape), numbers


def dense(triple, numbers):
    rows, cols, shape = triple
    m = np.zeros(shape)
    m[rows, cols] = numbers
    return m


def check(m, sparse_mat, numbers, lead=(2, 3)):
    x = np.random.default_rng(1).standard_normal((*lead, m.shape[0]))
    y = etp.sparse_matmul(x, numbers, sparse_mat=sparse_mat)
    np.testing.assert_allclose(y, x @ m, rtol=1e-12, atol=1e-12)
    pattern = sparse_pattern(sparse_mat)
    order = slice(None) if pattern.order is None else pattern.order
    held = np.zeros(m.shape)
    held[pattern.rows, pattern.cols] = np.asarray(numbers)[order]
    np.testing.assert_array_equal(held, m)
    key = pattern.cols * m.shape[0] + pattern.rows
    assert (np.diff(key) > 0).all()
    assert pattern.rows.dtype == pattern.cols.dtype == np.int32


@given(matrices())
def test_a_triple_in_any_order(given):
    triple, numbers = given
    check(dense(triple, numbers), triple, numbers)
    check(dense(triple, numbers), triple, numbers, lead=())


@settings(max_examples=50)
@given(matrices(), st.sampled_from(FORMATS), st.booleans())
def test_every_format_in_the_order_of_its_own_data(given, kind, is_array):
    (rows, cols, shape), numbers = given
    make = sp.coo_array if is_array else sp.coo_matrix
    m = make((numbers, (rows, cols)), shape=shape).asformat(kind)
    stored = sparse_values(m)
    if kind in ("csr", "csc", "coo"):
        np.testing.assert_array_equal(stored, m.data)
    check(m.toarray(), m, stored)


def test_a_row_with_unsorted_columns():
    m = sp.csr_array((np.asarray([1.0, 2.0, 3.0]), [2, 0, 1], [0, 2, 3]), shape=(2, 3))
    check(m.toarray(), m, m.data)
    assert m.toarray()[0, 2] == 1.0


def test_stored_zeros_are_nonzeros():
    m = sp.csr_array((np.asarray([0.0, 2.0]), [2, 0], [0, 1, 2]), shape=(2, 3))
    assert sparse_pattern(m).nnz == 2
    check(m.toarray(), m, m.data)


@pytest.mark.parametrize("kind", ["BCOO", "BCSR"])
def test_arrays_of_jax(kind):
    sparse = pytest.importorskip("jax.experimental.sparse")
    m = np.asarray([[0, 1.5, 0], [2.0, 0, -1.0]], np.float32)
    given = getattr(sparse, kind).fromdense(m)
    check(m, given, np.asarray(given.data))


def line_of(error):
    return "test_sparse.py" in str(error.value)


WRONG = {
    "row 2": (([0, 2], [0, 1], (2, 3)), etp.ModelError),
    "row -1": (([0, -1], [0, 1], (2, 3)), etp.ModelError),
    "column 3": (([0, 1], [0, 3], (2, 3)), etp.ModelError),
    "nonzeros 0 and 2 of a sparse weight both lie at (0, 1)": (
        ([0, 1, 0], [1, 1, 1], (2, 3)), etp.ModelError),
    "integers, got float64": (([0.0, 1.0], [0, 1], (2, 3)), etp.ModelError),
    "shapes [2] and [1]": (([0, 1], [0], (2, 3)), etp.ShapeError),
    "got the shape (2,)": (([0], [0], (2,)), etp.ShapeError),
    "an object of str": ("csr", etp.ModelError),
    "an object of ndarray": (np.eye(2), etp.ModelError),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_pattern(what):
    given, kind = WRONG[what]
    with pytest.raises(kind) as error:
        etp.sparse_matmul(np.ones(2), np.ones(2), sparse_mat=given)
    assert what in str(error.value)
    assert line_of(error)


def test_shapes_that_do_not_fit():
    pattern = sparse_pattern(([0, 1], [0, 1], (2, 3)))
    for x, data, what in [
        (np.ones(3), np.ones(2), "an input of width 3 for a weight of 2 inputs"),
        (np.ones(()), np.ones(2), "a scalar input"),
        (np.ones(2), np.ones(3), "a weight of shape [3] for 2 nonzeros"),
        (np.ones(2), np.ones((2, 1)), "a weight of shape [2, 1] for 2 nonzeros"),
    ]:
        with pytest.raises(etp.ShapeError) as error:
            etp.sparse_matmul(x, data, sparse_mat=pattern)
        assert what in str(error.value)
        assert line_of(error)


@given(matrices(rows=4))
def test_traced_is_eager(given):
    triple, numbers = given

    def function(x, data, b):
        return etp.sparse_matmul(x, data, sparse_mat=triple, bias=b)

    shape = triple[2]
    types = {"x": (3, 4), "data": numbers.shape, "b": shape[1:]}
    program, constants = trace(function, {k: TensorType(F64, s) for k, s in types.items()})
    rng = np.random.default_rng(0)
    arrays = {k: rng.standard_normal(s) for k, s in types.items()} | {"data": numbers}
    found = evaluate(program, {**arrays, **constants})["output(0)"]
    np.testing.assert_allclose(found, function(**arrays), rtol=1e-12)
    np.testing.assert_allclose(found, arrays["x"] @ dense(triple, numbers) + arrays["b"])


def test_places_are_constants_and_not_text():
    pattern = random_pattern(0, 300, 300, 0.1)
    program, constants = trace(
        lambda x, data: etp.sparse_matmul(x, data, sparse_mat=pattern),
        {"x": TensorType(F64, (300,)), "data": TensorType(F64, (pattern.nnz,))},
    )
    assert len(str(program)) < 1000
    assert [p.role.kind for p in program.inputs] == ["input", "input", "const", "const"]
    assert sum(c.size for c in constants.values()) == 2 * pattern.nnz


@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_random_patterns_have_the_density_asked_for(density):
    a, b = (random_pattern(seed, 40, 30, density) for seed in (1, 2))
    assert a.nnz == round(density * 1200)
    assert len({*zip(a.rows, a.cols, strict=True)}) == a.nnz
    assert density in (0, 1) or not np.array_equal(a.rows, b.rows)
    assert sparse_pattern((a.rows, a.cols, a.shape)).order is None


def test_random_places_are_uniform():
    count = np.zeros((4, 5))
    for seed in range(2000):
        p = random_pattern(seed, 4, 5, 0.3)
        count[p.rows, p.cols] += 1
    expected = 2000 * 0.3
    assert np.abs(count - expected).max() < 6 * np.sqrt(expected * 0.7)


def test_a_density_is_a_share():
    with pytest.raises(etp.ModelError, match="share of its places, got 2"):
        random_pattern(0, 3, 3, 2)


# -- the layer -----------------------------------------------------------------------------
def test_a_layer_starts_from_the_numbers_of_its_matrix():
    m = sp.random_array((5, 4), density=0.5, rng=1, format="csr")
    layer = etp.nn.SparseLinear(m)
    np.testing.assert_allclose(layer.weight.value, m.data, rtol=1e-6)
    x = np.arange(5.0)
    np.testing.assert_allclose(layer(x), x @ m.toarray(), rtol=1e-6)
    assert np.asarray(layer.bias.value).shape == (4,)


def test_a_layer_at_random_places_keeps_the_variance_of_its_input():
    layer = etp.nn.SparseLinear((2000, 2000, 0.01), rng=3, bias=False)
    assert layer.bias is None
    assert layer.weight.shape == (40000,)
    x = np.random.default_rng(0).standard_normal((50, 2000))
    assert abs(np.std(layer(x)) - 1) < 0.05


def test_fan_in_counts_the_nonzeros_of_a_column_in_the_order_given():
    pattern = sparse_pattern(([0, 0, 1, 2], [2, 0, 2, 2], (3, 3)))
    assert pattern.fan_in.tolist() == [3, 1, 3, 3]
    seen = []
    layer = etp.nn.SparseLinear(
        (2, 3, 1.0), w_init=lambda rng, p: seen.append(p) or np.ones(p.nnz, np.float32)
    )
    assert seen[0].fan_in.tolist() == [2] * 6
    np.testing.assert_array_equal(layer(np.ones(2)), [2, 2, 2])


def test_a_layer_pickles():
    layer = etp.nn.SparseLinear((6, 5, 0.4), rng=0)
    again = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(layer(np.ones(6)), again(np.ones(6)))


def test_an_expression_is_a_weight():
    m = sp.csr_array(np.asarray([[0, 1.0], [2.0, 3.0]]))
    y = etp.sparse_matmul(np.ones(2), xp.abs(np.asarray([-1.0, -2.0, 3.0])), sparse_mat=m)
    np.testing.assert_array_equal(y, [2, 4])
