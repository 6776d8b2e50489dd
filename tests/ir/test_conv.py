"""The convolution against a loop, over random shapes, strides, dilations, groups and padding."""

from contextlib import nullcontext
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etp_ir import ShapeError, TypeRuleError, ops, trace
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower, simplify
from etp_ir.primitive import get
from etp_ir.tracer import replay
from etp_ir.transforms import batch_program, vjp
from etp_ir.types import F64, TensorType
from etp_ir.windows import Window
from tests.ir import test_primitives as battery
from tests.ir.samples import Sample


@st.composite
def samples(draw: Any, spatial: int | None = None) -> Sample:
    """Return a convolution of up to three spatial axes, of any options."""
    rank = spatial or draw(st.integers(1, 3))
    most = {1: 7, 2: 4, 3: 3}[rank]

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    groups = draw(st.integers(1, 3))
    inside, outside = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    lead = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return Sample(
        (rng.standard_normal((*lead, groups * inside, *each(1, most))),
         rng.standard_normal((groups * outside, inside, *each(1, 3)))),
        {"strides": each(1, 3), "padding": tuple(zip(each(-2, 3), each(-2, 3), strict=True)),
         "lhs_dilation": each(1, 3), "rhs_dilation": each(1, 3), "groups": groups},
    )  # fmt: skip


def by_loop(x: Any, w: Any, *, strides: Any, padding: Any, lhs_dilation: Any, rhs_dilation: Any,
            groups: int) -> Any:  # fmt: skip
    """Return the convolution, every product written out."""
    d = len(strides)
    lead, channels, spatial = x.shape[: -d - 1], x.shape[-d - 1], x.shape[-d:]
    sizes = [(n - 1) * a + 1 for n, a in zip(spatial, lhs_dilation, strict=True)]
    spread = np.zeros((*lead, channels, *sizes))
    spread[(..., *(slice(None, None, a) for a in lhs_dilation))] = x

    def at(position: tuple[int, ...]) -> Any:
        inside = all(0 <= i < n for i, n in zip(position, sizes, strict=True))
        return spread[(..., *position)] if inside else np.zeros((*lead, channels))

    results = [
        max((n + lo + hi - (k - 1) * r - 1) // s + 1, 0)
        for n, (lo, hi), k, r, s in zip(sizes, padding, w.shape[2:], rhs_dilation, strides,
                                        strict=True)
    ]  # fmt: skip
    y = np.zeros((*lead, w.shape[0], *results))
    per, out = channels // groups, w.shape[0] // groups
    for p in product(*map(range, results)):
        for k in product(*map(range, w.shape[2:])):
            read = at(tuple(
                i * s + j * r - lo
                for i, s, j, r, (lo, _) in zip(p, strides, k, rhs_dilation, padding, strict=True)
            ))  # fmt: skip
            for g in range(groups):
                part, rows = read[..., g * per : (g + 1) * per], slice(g * out, (g + 1) * out)
                y[(..., rows, *p)] += part @ w[(rows, slice(None), *k)].T
    return y


@settings(max_examples=150, deadline=None)
@given(samples())
def test_the_reference_is_the_loop(sample):
    expected = by_loop(*sample.operands, **sample.attrs)
    found = get("conv").reference(*sample.operands, **sample.attrs)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(samples())
def test_every_rule(sample):
    battery.test_jvp_is_the_central_difference("conv", sample)
    battery.test_lowering_is_the_reference("conv", sample)
    # Where only padding is read, the result is zero, and linear in both operands together.
    if np.any(get("conv").reference(*sample.operands, **sample.attrs)):
        battery.test_transpose_passes_the_dot_product_test("conv", sample)


@settings(max_examples=15, deadline=None)
@given(samples())
def test_batch(sample):
    battery.test_batch_is_a_loop("conv", sample)


@settings(max_examples=25, deadline=None)
@given(samples(spatial=2), st.sampled_from(["numpy", "jax"]))
def test_gradients_of_batches_on_the_backends(sample, name):
    """Both transposes, batched over the input: all that training asks of a backend."""
    backends = pytest.importorskip("etp_backends")
    x, w = sample.operands
    program, _ = trace(
        lambda x, w: ops.conv(x, w, **sample.attrs),
        {"x": TensorType(F64, x.shape), "w": TensorType(F64, w.shape)},
    )  # fmt: skip
    batched = batch_program(vjp(program, ["x", "w"]), 2, {"x": 0, "ct_0": 0})
    rng = np.random.default_rng(0)
    arrays = {p.name: rng.standard_normal(p.type.shape) for p in batched.inputs}
    expected = evaluate(batched, arrays)
    with pytest.importorskip("jax").enable_x64(True) if name == "jax" else nullcontext():
        results = backends.get(name).compile(batched)(arrays)
    for key, found in results.items():
        np.testing.assert_allclose(np.asarray(found), expected[key], rtol=1e-11, atol=1e-11)


@given(st.builds(Window, *map(st.integers, (1, 1, 1, -3, -3, 1, 1), (9, 4, 3, 3, 3, 3, 3))))
def test_the_table_says_what_is_read(window):
    x = np.arange(1, window.extent + 1)
    spread = np.zeros((window.extent - 1) * window.spread + 1, int)
    spread[:: window.spread] = x
    for (k, p), i in np.ndenumerate(window.table()):
        at = p * window.stride + k * window.dilation - window.low
        read = spread[at] if 0 <= at < len(spread) else 0
        assert (x[i] if i >= 0 else 0) == read


def test_there_and_back():
    """The windows of the transposes return to the extents they came from."""
    for n, k, s, low, high, a, b in product(
        (3, 6), (1, 3), (1, 2), (-1, 2), (0, 1), (1, 2), (1, 2)
    ):
        window = Window(n, k, s, low, high, a, b)
        if window.results:
            assert window.to_input().results == n
            assert window.to_kernel().results == k


def test_lowering_goes_all_the_way():
    program, _ = trace(
        lambda x, w: ops.conv(x, w, strides=(1,), padding=((1, 1),), lhs_dilation=(1,),
                              rhs_dilation=(1,), groups=1),
        {"x": TensorType(F64, (2, 5)), "w": TensorType(F64, (3, 2, 3))},
    )  # fmt: skip
    assert all(node.primitive.lower is None for node in lower(program).nodes)
    assert lower(program, keep=lambda node: True).nodes[0].primitive.name == "conv"


def kernel_gradient(sample: Sample, batches: tuple[int, ...]) -> Any:
    """Return the program of the gradient of a kernel, summed over nested batches."""
    x, w = sample.operands
    program, _ = trace(
        lambda x, w: ops.conv(x, w, **sample.attrs),
        {"x": TensorType(F64, x.shape), "w": TensorType(F64, w.shape)},
    )  # fmt: skip
    program = vjp(program, ["w"])
    for size in batches:
        program = batch_program(program, size, {"x": 0, "ct_0": 0}, force=[1])
    types = {p.name: p.type for p in program.inputs}

    def summed(**given: Any) -> Any:
        builder = next(iter(given.values())).builder
        *_, g = replay(program, builder, [given[p.name] for p in program.inputs])
        return ops.reduce_sum(g, range(len(batches)))

    return trace(summed, types)[0]


@settings(max_examples=25, deadline=None)
@given(samples(), st.sampled_from([(3,), (2, 3), (1, 2)]))
def test_the_gradient_of_a_batch_holds_one_kernel(sample, batches):
    """The sum over examples moves inside, where they are channels of one convolution."""
    program = kernel_gradient(sample, batches)
    simple = simplify(program)
    rng = np.random.default_rng(0)
    arrays = {p.name: rng.standard_normal(p.type.shape) for p in program.inputs}
    (expected,) = evaluate(program, arrays).values()
    (found,) = evaluate(simple, arrays).values()
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    groups = [n.attrs["groups"] for n in simple.nodes if n.primitive.name == "conv"]
    assert all(g == sample.attrs["groups"] for g in groups)


def test_few_results_are_cut_out_one_by_one():
    """A kernel as long as the image is not one slice for each of its taps."""
    long = Sample((np.ones((2, 64)), np.ones((3, 2, 62))), PLAIN)
    program = kernel_gradient(long, (4,))
    assert len(lower(simplify(program)).nodes) < 60
    battery.test_lowering_is_the_reference("conv", long)


PLAIN = {"strides": (1,), "padding": ((0, 0),), "lhs_dilation": (1,), "rhs_dilation": (1,),
         "groups": 1}  # fmt: skip
WRONG = [
    ((2, 5), (3, 2, 3), {"strides": (0,)}, TypeRuleError, "at least 1"),
    ((2, 5), (3, 2, 3), {"padding": ((0, 0), (0, 0))}, TypeRuleError, "each of 1 axes"),
    ((2, 5), (3, 2, 3), {"strides": ()}, TypeRuleError, "1, 2 or 3 spatial axes"),
    ((5,), (3, 2, 3), {}, ShapeError, "needs an input"),
    ((2, 5), (3, 2), {}, ShapeError, "needs an input"),
    ((3, 5), (3, 2, 3), {}, ShapeError, "inputs of 2 channels, got 3"),
    ((4, 5), (3, 2, 3), {"groups": 2}, ShapeError, "in 2 groups"),
    ((2, 5), (3, 2, 0), {}, ShapeError, "at least one tap"),
]


@pytest.mark.parametrize(("x", "w", "attrs", "error", "text"), WRONG)
def test_what_does_not_fit_is_refused(x, w, attrs, error, text):
    types = {"x": TensorType(F64, x), "w": TensorType(F64, w)}
    with pytest.raises(error, match=text) as caught:
        trace(lambda x, w: ops.conv(x, w, **{**PLAIN, **attrs}), types)
    assert "test_conv.py" in str(caught.value)
