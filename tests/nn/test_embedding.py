"""Looking rows up: values, shapes, and what is refused."""

import numpy as np
import pytest

import etp
from etp_ir import trace
from etp_ir.interpreter import evaluate
from etp_ir.types import F64, I32, TensorType

W = np.random.default_rng(0).standard_normal((5, 3))


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_rows_are_looked_up(shape, rest):
    rng = np.random.default_rng(1)
    indices, w = rng.integers(0, 5, shape), rng.standard_normal((5, *rest))
    expected = w[indices]
    found = etp.embedding(indices, w)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (*shape, *rest)
    types = {"indices": TensorType(I32, shape), "w": TensorType(F64, w.shape)}
    program, _ = trace(lambda indices, w: etp.embedding(indices, w), types)
    out = evaluate(program, {"indices": indices.astype(np.int32), "w": w})["output(0)"]
    np.testing.assert_array_equal(out, expected)


def test_the_rule_of_one_hot_vectors():
    """What the traces take for the input gives the result as a product with the weight."""
    from etp_ir.primitive import get

    mark = get("etp.embedding").trained["weight"]
    indices = np.asarray([[3, 0], [4, 4]], np.int32)
    program, _ = trace(
        lambda i, w: mark.input(i, w), {"i": TensorType(I32, (2, 2)), "w": TensorType(F64, W.shape)}
    )
    hot = evaluate(program, {"i": indices, "w": W})["output(0)"]
    np.testing.assert_array_equal(hot @ W, W[indices])


def test_a_number_alone_and_known_indices_in_a_trace():
    np.testing.assert_array_equal(etp.embedding(2, W), W[2])
    types = {"w": TensorType(F64, W.shape)}
    program, constants = trace(lambda w: etp.embedding(2, w), types)
    np.testing.assert_array_equal(evaluate(program, {"w": W, **constants})["output(0)"], W[2])
    with pytest.raises(etp.ModelError, match="index 7 for a weight of 5 rows"):
        trace(lambda w: etp.embedding([1, 7], w), types)


@pytest.mark.parametrize("index", [5, -1, [0, 9]])
def test_indices_out_of_range(index):
    with pytest.raises(etp.ModelError, match="for a weight of 5 rows") as error:
        etp.embedding(index, W)
    assert "give indices from 0 to 4" in str(error.value)
    assert "test_embedding.py" in str(error.value)


def test_floats_and_scalars_are_refused():
    for bad in (1.0, np.ones(2), True):
        with pytest.raises(etp.ModelError, match="by integers"):
            etp.embedding(bad, W)
    with pytest.raises(etp.ModelError, match="by integers, got indices of type f64"):
        trace(lambda i, w: etp.embedding(i, w),
              {"i": TensorType(F64, (2,)), "w": TensorType(F64, (5, 3))})  # fmt: skip
    with pytest.raises(etp.ShapeError, match="at least one axis"):
        etp.embedding(1, np.ones(()))


def test_the_layer():
    layer = etp.nn.Embedding(7, 4, rng=0)
    np.testing.assert_array_equal(layer(3), layer.weight.value[3])
    assert etp.nn.Embedding(7, (2, 3), rng=0)([1, 2]).shape == (2, 2, 3)
