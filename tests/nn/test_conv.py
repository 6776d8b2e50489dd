"""Convolutions of users: layouts, padding, groups and bias, against loops, JAX and torch."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etp
import etp_backends
from etp import nn
from etp_ir import ShapeError, trace
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower
from etp_ir.types import F64, TensorType
from tests.ir.test_conv import by_loop

DEFAULT = {
    1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")
}  # fmt: skip
AXES = {1: "W", 2: "HW", 3: "DHW"}


# In three dimensions, XLA takes its time.
dimensions = pytest.mark.parametrize("axes", [1, 2, pytest.param(3, marks=pytest.mark.slow)])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def traced(function: Any, *arrays: Any) -> tuple[Any, dict[str, Any]]:
    """Return the program of a function of arrays, and these by name."""
    named = {f"x{i}": x for i, x in enumerate(arrays)}
    types = {k: TensorType(F64, x.shape) for k, x in named.items()}
    program, constants = trace(lambda **given: function(*given.values()), types)
    return program, {**named, **constants}


def run(function: Any, *arrays: Any) -> Any:
    program, given = traced(function, *arrays)
    return evaluate(program, given)["output(0)"]


def turned(x: Any, old: str, new: str) -> Any:
    """Return an array in another layout."""
    return np.transpose(x, [old.index(c) for c in new])


# -- layouts -------------------------------------------------------------------------------
LAYOUTS = {
    axes: [
        ("".join(image), "".join(kernel), "".join(result))
        for image in ("C" + letters, letters + "C")
        for kernel in ("OI" + letters, letters + "IO", "I" + letters + "O")
        for result in ("C" + letters, letters + "C")
    ]
    for axes, letters in AXES.items()
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_layout_is_the_default_transposed(axes, groups, bias):
    letters = AXES[axes]
    options = {
        "strides": (2, 1, 1)[:axes], "padding": ((1, 0), (2, -1), (0, 1))[:axes],
        "rhs_dilation": (1, 2, 1)[:axes], "lhs_dilation": (1, 1, 2)[:axes],
        "feature_group_count": groups,
    }  # fmt: skip
    x, w = normal(*(5, 6, 3)[:axes], 4), normal(*(3, 2, 2)[:axes], 4 // groups, 8)
    b = normal(8) if bias else None
    default = (letters + "C", letters + "IO", letters + "C")
    expected = etp.conv(x, w, b, **options)
    plain = etp.conv(x, w, **options)
    assert np.abs(expected).min() > 0
    assert np.allclose(expected, plain) != bias
    for image, kernel, result in LAYOUTS[axes]:
        given_x, given_w = turned(x, default[0], image), turned(w, default[1], kernel)
        for lead in ("", "N"):
            numbers = (lead + image, kernel, lead + result)
            found = etp.conv(given_x, given_w, b, dimension_numbers=numbers, **options)
            np.testing.assert_allclose(turned(found, result, default[2]), expected, rtol=1e-12)


@pytest.mark.parametrize("order", list(permutations("HWC")))
def test_any_order_of_axes(order):
    x, w = normal(5, 4, 3), normal(2, 3, 3, 2)
    image = "".join(order)
    found = etp.conv(
        turned(x, "HWC", image), turned(w, "HWIO", "OWHI"),
        dimension_numbers=(image, "OWHI", "WCH"),
    )  # fmt: skip
    np.testing.assert_allclose(turned(found, "WCH", "HWC"), etp.conv(x, w), rtol=1e-12)


def test_further_axes_lead():
    x, w, b = normal(2, 3, 5, 4), normal(3, 4, 2), normal(2)
    for numbers in (None, DEFAULT[1]):
        found = etp.conv(x, w, b, dimension_numbers=numbers)
        for i, j in np.ndindex(2, 3):
            np.testing.assert_allclose(found[i, j], etp.conv(x[i, j], w, b), rtol=1e-12)
    moved = etp.conv(np.moveaxis(x, -1, -2), w, b, dimension_numbers=("NCW", "WIO", "NCW"))
    np.testing.assert_allclose(np.moveaxis(moved, -1, -2), found, rtol=1e-12)


# -- values --------------------------------------------------------------------------------
@st.composite
def cases(draw: Any) -> Any:
    """Return an image, a kernel, a bias and options in numbers, in the default layout."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups = draw(st.integers(1, 3))
    inside, outside = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    shape = each(2, {1: 7, 2: 4, 3: 3}[axes])
    seed = draw(st.integers(0, 99))
    x, b = normal(*shape, groups * inside, seed=seed), normal(groups * outside, seed=seed)
    w = normal(*each(1, 3), inside, groups * outside, seed=seed)
    padding = tuple(zip(each(0, 3), each(-1, 3), strict=True))
    return x, w, b, {
        "strides": each(1, 2), "padding": padding, "lhs_dilation": each(1, 2),
        "rhs_dilation": each(1, 2), "feature_group_count": groups,
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(cases())
def test_values_are_those_of_the_loop(case):
    """Computed at once, traced, lowered, and on two backends."""
    x, w, b, options = case
    inner = {**options, "groups": options["feature_group_count"]}
    del inner["feature_group_count"]
    expected = np.moveaxis(
        by_loop(np.moveaxis(x, -1, 0), np.moveaxis(w, (-1, -2), (0, 1)), **inner), 0, -1
    ) + b  # fmt: skip
    if not expected.size:
        with pytest.raises(ShapeError, match="does not fit"):
            etp.conv(x, w, b, **options)
        return
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(etp.conv(x, w, b, **options), expected, **close)
    program, arrays = traced(lambda x, w, b: etp.conv(x, w, b, **options), x, w, b)
    for form in (program, lower(program)):
        np.testing.assert_allclose(evaluate(form, arrays)["output(0)"], expected, **close)
    found = etp_backends.get("numpy").compile(program)(arrays)["output(0)"]
    np.testing.assert_allclose(found, expected, **close)


@dimensions
@pytest.mark.parametrize("padding", ["SAME", "VALID", "SAME_LOWER", ((1, 2), (0, 1), (2, 0))])
def test_options_mean_what_they_mean_in_jax(axes, padding):
    jax = pytest.importorskip("jax")
    x, w = normal(*(7, 6, 5)[:axes], 4), normal(*(3, 2, 2)[:axes], 2, 6)
    padding = padding if isinstance(padding, str) else padding[:axes]
    for strides, dilation in [
        ((1, 1, 1), (1, 1, 1)),
        ((2, 3, 1), (1, 1, 2)),
        ((1, 2, 2), (2, 1, 1)),
    ]:
        options = {
            "padding": padding, "rhs_dilation": dilation[:axes], "feature_group_count": 2,
            "dimension_numbers": DEFAULT[axes],
        }  # fmt: skip
        with jax.enable_x64(True):
            expected = jax.lax.conv_general_dilated(
                x[None], w, window_strides=strides[:axes], **options
            )[0]
        found = etp.conv(x, w, strides=strides[:axes], **options)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@dimensions
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 2), (0, 1), (2, 0))])
def test_transposed_convolutions_are_those_of_jax(axes, padding):
    jax = pytest.importorskip("jax")
    padding = padding if isinstance(padding, str) else padding[:axes]
    for taps in (1, 2, 3, 4):
        x, w = normal(*(4, 3, 2)[:axes], 2), normal(*[taps] * axes, 2, 3)
        for strides, dilation in [
            ((1, 1, 1), (1, 1, 1)),
            ((2, 3, 1), (1, 2, 1)),
            ((3, 2, 2), (2, 1, 1)),
        ]:
            options = {"padding": padding, "rhs_dilation": dilation[:axes],
                       "dimension_numbers": DEFAULT[axes]}  # fmt: skip
            with jax.enable_x64(True):
                expected = jax.lax.conv_transpose(x[None], w, strides[:axes], **options)[0]
            found = etp.conv_transpose(x, w, strides=strides[:axes], **options)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layers_agree_with_torch(axes, groups):
    torch = pytest.importorskip("torch")
    x = normal(*(7, 6, 5)[:axes], 4)
    first = torch.from_numpy(np.moveaxis(x, -1, 0).copy())
    for ours, options in [(2, {"stride": 2, "dilation": 1}), (1, {"dilation": 2})]:
        layer = getattr(nn, f"Conv{axes}d")(
            4, 6, 3, padding=ours, groups=groups, rng=0, **options
        )  # fmt: skip
        layer.bias.value = normal(6)
        weight = np.moveaxis(layer.weight.value, (-1, -2), (0, 1)).astype(np.float64)
        expected = getattr(torch.nn.functional, f"conv{axes}d")(
            first, torch.from_numpy(weight.copy()), torch.from_numpy(normal(6)), padding=ours,
            groups=groups, **options,
        )  # fmt: skip
        np.testing.assert_allclose(np.moveaxis(layer(x), -1, 0), expected, rtol=1e-5, atol=1e-5)
    # In torch the kernel of a transposed convolution is reversed, and padding is taken away.
    layer = getattr(nn, f"ConvTranspose{axes}d")(
        4, 6, 3, stride=2, padding=3 - 1 - 1, groups=groups, bias=False, rng=1
    )  # fmt: skip
    flipped = np.flip(layer.weight.value, range(axes)).astype(np.float64)
    # [*K, in / groups, out] to [in, out / groups, *K].
    parts = [np.moveaxis(p, (-2, -1), (0, 1)) for p in np.split(flipped, groups, axis=-1)]
    expected = getattr(torch.nn.functional, f"conv_transpose{axes}d")(
        first, torch.from_numpy(np.concatenate(parts)), stride=2, padding=1, groups=groups
    )  # fmt: skip
    np.testing.assert_allclose(np.moveaxis(layer(x), -1, 0), expected, rtol=1e-5, atol=1e-5)


# -- layers --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [f"{k}{n}d" for k in ("Conv", "ConvTranspose") for n in (1, 2, 3)])
def test_layers_hold_what_they_say(name):
    axes = int(name[-2])
    layer = getattr(nn, name)(4, 6, 3, stride=2, groups=2, rng=0)
    assert {k: p.shape for k, p in layer.named_params().items()} == {
        "weight": (*[3] * axes, 2, 6), "bias": (6,)
    }  # fmt: skip
    x = normal(*[4] * axes, 4)
    assert layer(x).shape == (*[8 if "T" in name else 2] * axes, 6)
    layer.bias.value = np.arange(6.0)
    without = getattr(nn, name)(4, 6, 3, stride=2, groups=2, bias=False, rng=0)
    np.testing.assert_allclose(layer(x), without(x) + np.arange(6.0), atol=1e-5)


def test_a_mask_cuts_connections():
    mask = np.ones((3, 2, 4))
    mask[0] = mask[:, 1, 2] = 0
    layer = nn.Conv1d(2, 4, 3, rng=0, w_mask=mask)
    x = normal(6, 2)
    before = layer(x)
    layer.weight.value = layer.weight.value + 9 * (1 - mask)
    np.testing.assert_array_equal(layer(x), before)
    layer.weight.value = layer.weight.value + mask
    assert np.abs(layer(x) - before).max() > 0.1
    causal = nn.Conv1d(2, 4, 3, rng=0, w_mask=np.array([1, 1, 0])[:, None, None])
    assert causal.w_mask.shape == (3, 2, 4)
    later = x.copy()
    later[4:] += 1
    np.testing.assert_array_equal(causal(later)[:4], causal(x)[:4])


# -- mistakes ------------------------------------------------------------------------------
def wrong(text: str, error: type[Exception] = etp.ShapeError, **options: Any) -> Any:
    options.setdefault("x", (6, 4))
    options.setdefault("kernel", (3, 4, 2))
    return pytest.param(options, error, text, id=text)


TRIPLE = "dimension_numbers"
WRONG = [
    wrong("a kernel of 3, 4 or 5 axes, got 2", kernel=(4, 2)),
    wrong("a kernel of 3, 4 or 5 axes, got 6", kernel=(1, 1, 1, 1, 4, 2)),
    wrong(r"over 1 spatial axis got an input of shape \[4\]", x=(4,)),
    wrong(r"give an input \[H, W, C\] and a kernel", x=(2, 6, 6, 4), kernel=(3, 3, 4, 2),
          dimension_numbers=("HWC", "HWIO", "HWC")),
    wrong("with N in front", x=(2, 6, 6, 4), kernel=(3, 3, 4, 2),
          dimension_numbers=("HWC", "HWIO", "HWC")),
    wrong("3 channels for 4 in the kernel", x=(6, 3)),
    wrong("where I is C / 2 groups", feature_group_count=2),
    wrong("6 channels for 4 in the kernel, with the layouts CW and WIO", x=(6, 4),
          dimension_numbers=("NCW", "WIO", "NCW")),
    wrong("3 output channels in 2 groups", kernel=(3, 2, 3), feature_group_count=2),
    wrong("at least one tap", kernel=(0, 4, 2)),
    wrong("a bias of shape", bias=(3,)),
    wrong("feature_group_count is 0", etp.ModelError, feature_group_count=0),
    wrong("feature_group_count is 1.5", etp.ModelError, feature_group_count=1.5),
    wrong("strides is 0", etp.ModelError, strides=0),
    wrong("strides is .1, 1., for 1 spatial axis", etp.ModelError, strides=(1, 1)),
    wrong("rhs_dilation is 'x'", etp.ModelError, rhs_dilation="x"),
    wrong("lhs_dilation is 1.5", etp.ModelError, lhs_dilation=1.5),
    wrong("did you mean 'SAME'", etp.ModelError, padding="same_"),
    wrong("padding is .+ for 1 spatial axis", etp.ModelError, padding=((1, 1), (1, 1))),
    wrong("padding is 1.5", etp.ModelError, padding=1.5),
    wrong("not defined for an input with lhs_dilation", etp.ModelError, lhs_dilation=2),
    wrong("dimension_numbers is 'NWC'", etp.ModelError, dimension_numbers="NWC"),
    wrong("do not name the same", etp.ModelError, dimension_numbers=("NWC", "HIO", "NWC")),
    wrong("N in front or nowhere", etp.ModelError, dimension_numbers=("WNC", "WIO", "WNC")),
    wrong("do not name the same", etp.ModelError, dimension_numbers=("NWC", "WIO", "WC")),
    wrong("do not name the same", etp.ModelError, dimension_numbers=("NC", "IO", "NC")),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "text"), WRONG)
def test_what_does_not_fit_is_refused_with_the_line(options, error, text):
    shapes = {k: options.pop(k) for k in ("x", "kernel", "bias") if k in options}
    arrays = [normal(*shape) for shape in shapes.values()]

    def call(*given: Any) -> Any:
        return etp.conv(**dict(zip(shapes, given, strict=True)), **options)

    for attempt in (lambda: call(*arrays), lambda: traced(call, *arrays)):
        with pytest.raises(error, match=text) as caught:
            attempt()
        assert "test_conv.py" in str(caught.value)


def test_layers_refuse_what_does_not_fit():
    for function, text in [
        (lambda: nn.Conv2d(3, 4, 3, groups=2, rng=0), "divides both"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3), rng=0), "kernel_size is"),
        (lambda: nn.ConvTranspose1d(3, 4, 3, stride=0, rng=0), "stride is 0"),
    ]:
        with pytest.raises(etp.ModelError, match=text):
            function()
    with pytest.raises(etp.ShapeError, match="a mask of shape"):
        nn.Conv1d(3, 4, 3, rng=0, w_mask=np.ones((2, 3, 4)))
