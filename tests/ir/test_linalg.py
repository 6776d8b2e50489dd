"""Decompositions: what they promise of their results, and that libraries agree on the signs."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etp_ir import TypeRuleError, ops, trace
from etp_ir.primitives.linalg import FUNCTIONS, decompose
from etp_ir.transforms import batch_program
from etp_ir.types import F64, TensorType

EXTENT = st.integers(1, 6)


def matrices(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def largest(columns):
    """The component of the largest magnitude of each column."""
    places = np.abs(columns).argmax(-2, keepdims=True)
    return np.take_along_axis(columns, places, -2)


def identity(columns):
    return np.swapaxes(columns, -1, -2) @ columns - np.eye(columns.shape[-1])


@settings(max_examples=60, deadline=None)
@given(EXTENT, EXTENT, st.integers(0, 999))
def test_qr_and_svd_factorise(m, n, seed):
    x = matrices(seed, 2, m, n)
    q, r = ops.qr(x)
    np.testing.assert_allclose(q @ r, x, atol=1e-12)
    np.testing.assert_allclose(identity(q), 0, atol=1e-12)
    np.testing.assert_array_equal(np.tril(r, -1), 0)
    assert (np.diagonal(r, axis1=-2, axis2=-1) >= 0).all()
    u, s, vh = ops.svd(x)
    np.testing.assert_allclose(u @ (s[..., None] * vh), x, atol=1e-12)
    np.testing.assert_allclose(identity(u), 0, atol=1e-12)
    np.testing.assert_allclose(identity(np.swapaxes(vh, -1, -2)), 0, atol=1e-12)
    assert (np.diff(s) <= 0).all()
    assert s.min() >= 0
    assert largest(u).min() > 0


@settings(max_examples=60, deadline=None)
@given(EXTENT, st.integers(0, 999))
def test_eigh_is_of_the_symmetric_part(n, seed):
    x = matrices(seed, 2, n, n)
    values, vectors = ops.eigh(x)
    symmetric = (x + np.swapaxes(x, -1, -2)) / 2
    np.testing.assert_allclose(symmetric @ vectors, vectors * values[:, None, :], atol=1e-12)
    np.testing.assert_allclose(identity(vectors), 0, atol=1e-12)
    assert (np.diff(values) >= 0).all()
    assert largest(vectors).min() > 0


def test_components_equal_to_rounding_are_settled_by_their_order():
    """The eigenvectors of a swap are (1, -1) and (1, 1)."""
    for noise in (0.0, 1e-15, -1e-15):
        x = np.asarray([[noise, 1.0], [1.0, 0.0]])
        _, vectors = ops.eigh(x)
        np.testing.assert_allclose(vectors[0], np.sqrt([0.5, 0.5]), rtol=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_matrix_that_is_not_finite_spoils_no_other(name):
    x = matrices(0, 3, 4, 4)
    x[1, 2, 3] = np.nan
    for found, alone in zip(decompose(name, np, x), decompose(name, np, x[::2]), strict=True):
        assert np.isnan(found[1]).all()
        np.testing.assert_array_equal(found[::2], alone)
        assert found.dtype == x.dtype


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_jax_and_numpy_agree_in_narrow_types(name, dtype):
    x = matrices(1, 3, 4, 4).astype(dtype)
    for a, b in zip(decompose(name, np, x), decompose(name, jnp, jnp.asarray(x)), strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, atol=2e-5 if dtype == "float32" else 2e-2)


def test_a_batch_is_one_decomposition():
    program, _ = trace(lambda x: ops.svd(x), {"x": TensorType(F64, (3, 2))})
    batched = batch_program(program, 64, {"x": 0})
    assert [n.primitive.name for n in batched.nodes] == ["svd"]


def test_integers_are_refused():
    with pytest.raises(TypeRuleError, match="`qr` needs an array of float matrices, got int64"):
        ops.qr(np.eye(3, dtype=np.int64))
