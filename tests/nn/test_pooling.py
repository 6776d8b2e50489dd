"""Pooling against loops over the windows, against torch, traced and computed at once."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etp
from etp import nn
from etp.nn.pooling import adaptive_avg_pool, avg_pool, global_avg_pool, max_pool
from etp_ir import trace
from etp_ir.interpreter import evaluate
from etp_ir.types import F64, TensorType


def traced(function: Any, x: Any) -> Any:
    program, constants = trace(lambda x: function(x), {"x": TensorType(F64, x.shape)})
    return evaluate(program, {"x": x, **constants})["output(0)"]


@st.composite
def cases(draw: Any) -> Any:
    """Return an array, and window, strides and padding that leave no window empty."""
    axes = draw(st.integers(1, 3))
    lead = draw(st.lists(st.integers(1, 2), max_size=1))
    sizes = [draw(st.integers(3, 6 if axes < 3 else 4)) for _ in range(axes)]
    window = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    padding = tuple(
        (draw(st.integers(-1 if n > k else 0, k - 1)), draw(st.integers(0, k - 1)))
        for n, k in zip(sizes, window, strict=True)
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.standard_normal((*lead, *sizes, 2)), window, strides, padding


def by_loop(x: Any, window: Any, strides: Any, padding: Any, outside: float, combine: Any) -> Any:
    """Return ``combine`` of the elements of every window, those outside being a number or left."""
    axes = len(window)
    sizes = x.shape[-1 - axes : -1]
    results = [
        (n + lo + hi - k) // s + 1
        for n, k, s, (lo, hi) in zip(sizes, window, strides, padding, strict=True)
    ]
    y = np.zeros((*x.shape[: -1 - axes], *results, x.shape[-1]))
    for p in product(*map(range, results)):
        met = []
        for k in product(*map(range, window)):
            at = [i * s + j - lo for i, s, j, (lo, _) in zip(p, strides, k, padding, strict=True)]
            # What is cropped by negative padding is not met either.
            ends = [n + min(hi, 0) for n, (_, hi) in zip(sizes, padding, strict=True)]
            starts = [max(-lo, 0) for lo, _ in padding]
            if all(a <= i < b for a, i, b in zip(starts, at, ends, strict=True)):
                met.append(x[(..., *at, slice(None))])
            elif outside == 0.0:
                met.append(np.zeros_like(x[(..., *[0] * axes, slice(None))]))
        y[(..., *p, slice(None))] = combine(np.stack(met))
    return y


@settings(max_examples=60, deadline=None)
@given(cases())
def test_pooling_is_the_loop(case):
    x, *options = case
    largest = by_loop(*case, -np.inf, lambda met: met.max(0))
    mean = by_loop(*case, 0.0, lambda met: met.mean(0))
    inside = by_loop(*case, np.nan, lambda met: met.mean(0))
    for run in (lambda f: f(x), lambda f: traced(f, x)):
        np.testing.assert_allclose(run(lambda x: max_pool(x, *options)), largest)
        np.testing.assert_allclose(run(lambda x: avg_pool(x, *options)), mean)
        found = run(lambda x: avg_pool(x, *options, count_padding=False))
        np.testing.assert_allclose(found, inside)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (2, 3, 4)])
def test_adaptive_and_global_pooling(shape):
    axes = len(shape)
    x = np.random.default_rng(0).standard_normal((2, *range(5, 5 + axes), 3))
    for run in (lambda f: f(x), lambda f: traced(f, x)):
        y = run(lambda x: adaptive_avg_pool(x, shape))
        assert y.shape == (2, *shape, 3)
        for p in np.ndindex(*shape):
            cut = tuple(
                slice(i * n // m, -(-(i + 1) * n // m))
                for i, m, n in zip(p, shape, range(5, 5 + axes), strict=True)
            )
            mean = x[(slice(None), *cut)].mean(axis=tuple(range(1, 1 + axes)))
            np.testing.assert_allclose(y[(slice(None), *p)], mean)
        whole = run(lambda x: global_avg_pool(x, axes))
        np.testing.assert_allclose(whole, x.mean(axis=tuple(range(1, 1 + axes))))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layers_agree_with_torch(axes):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(axes).standard_normal((2, *(7, 6, 5)[:axes], 3)).astype(np.float32)
    first = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    for name, ours, theirs in [
        ("Max", {"window": 3, "stride": 2, "padding": 1},
         {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("Max", {"window": 2}, {"kernel_size": 2}),
        ("Avg", {"window": 3, "stride": 2, "padding": 1},
         {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("Avg", {"window": 3, "stride": 2, "padding": 1, "count_padding": False},
         {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    ]:  # fmt: skip
        expected = getattr(torch.nn, f"{name}Pool{axes}d")(**theirs)(first)
        found = getattr(nn, f"{name}Pool{axes}d")(**ours)(x)
        np.testing.assert_allclose(
            np.moveaxis(found, -1, 1), expected.numpy(), rtol=1e-5, atol=1e-6
        )
    expected = getattr(torch.nn, f"AdaptiveAvgPool{axes}d")((3,) * axes)(first)
    found = nn.AdaptiveAvgPool((3,) * axes)(x)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_derivative_of_a_maximum_goes_to_the_largest():
    """Once, whatever the windows; and shared where two are equal."""
    from etp_ir.transforms import vjp

    def slope(x: Any, **options: Any) -> Any:
        program, c = trace(lambda x: max_pool(x, **options), {"x": TensorType(F64, x.shape)})
        ct = np.ones(program.outputs[0].type.shape)
        return evaluate(vjp(program, ["x"]), {"x": x, **c, "ct_0": ct})["grad(x)"]

    x = np.random.default_rng(1).permutation(30.0 * np.arange(30)).reshape(5, 6, 1)
    found = slope(x, window=(3, 2), strides=(1, 2), padding=((1, 1), (0, 0)))
    expected = np.zeros_like(x)
    for i, j in product(range(5), range(3)):
        rows, columns = range(max(i - 1, 0), min(i + 2, 5)), range(2 * j, 2 * j + 2)
        at = max(product(rows, columns), key=lambda at: x[at][0])
        expected[at] += 1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(slope(np.ones((2, 1)), window=2).sum(), 1.0)


WRONG = [
    (lambda x: max_pool(x, 9), etp.ShapeError, "a window of 9 on an axis of 4"),
    (lambda x: max_pool(x, 2, padding=2), etp.ShapeError, "no element in it"),
    (lambda x: max_pool(x, (2, 2, 2)), etp.ShapeError, "over 3 spatial axes"),
    (lambda x: max_pool(x, 0), etp.ModelError, "the window is"),
    (lambda x: avg_pool(x, 2, padding="SAEM"), etp.ModelError, "did you mean 'SAME'"),
    (lambda x: avg_pool(x, 2, strides=(1, 1)), etp.ModelError, "strides is"),
    (lambda x: adaptive_avg_pool(x, 0), etp.ModelError, "at least 1"),
    (lambda x: global_avg_pool(x, 2), etp.ShapeError, "over 2 spatial axes"),
]


@pytest.mark.parametrize(("function", "error", "text"), WRONG)
def test_what_does_not_fit_is_refused_with_the_line(function, error, text):
    for run in (lambda f: f(np.ones((4, 2))), lambda f: traced(f, np.ones((4, 2)))):
        with pytest.raises(error, match=text) as caught:
            run(function)
        assert "test_pooling.py" in str(caught.value)
