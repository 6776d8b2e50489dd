"""What is given to layers by mistake is refused, and options mean one thing everywhere."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from etp import init, nn
from etp_ir import ModelError, ShapeError


def refused(error: type[Exception], make: Any, *parts: str) -> None:
    """Check that an error says parts, this file, and how to mend it in a last line."""
    with pytest.raises(error) as caught:
        make()
    text = str(caught.value)
    for part in (*parts, "test_mistakes_of_layers.py"):
        assert part in text
    assert len(text.splitlines()) >= 3


# -- bias ----------------------------------------------------------------------------------
BIASED = [
    lambda b: nn.Linear(2, 3, rng=0, bias=b).bias,
    lambda b: nn.Gate(2, 3, rng=0, bias=b).b,
    lambda b: nn.VanillaRNNCell(2, 3, rng=0, bias=b).gate.b,
    lambda b: nn.CTRNNCell(2, 3, rng=0, bias=b).gate.b,
    lambda b: nn.LIFCell(2, 3, rng=0, bias=b).synapse.b,
    lambda b: nn.ALIFCell(2, 3, rng=0, bias=b).synapse.b,
    lambda b: nn.Conv2d(2, 3, 3, rng=0, bias=b).bias,
    lambda b: nn.SparseLinear((4, 3, 0.5), rng=0, bias=b).bias,
    lambda b: nn.SignedWLinear(2, 3, rng=0, bias=b).bias,
    lambda b: nn.LeakyRateReadout(2, 3, rng=0, bias=b).bias,
]


@pytest.mark.parametrize("bias_of", BIASED)
def test_a_bias_is_asked_for_in_one_way(bias_of: Any) -> None:
    assert bias_of(False) is None
    assert bias_of(np.bool_(False)) is None
    assert bias_of(None) is None
    for given, start in ((True, 0.0), (0.0, 0.0), (0.5, 0.5)):
        np.testing.assert_array_equal(bias_of(given).value, np.full(3, start, np.float32))


# -- initialisers --------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(init.INITIALIZERS))
def test_every_initialiser_fits_a_layer_by_name_too(name: str) -> None:
    make = init.INITIALIZERS[name]
    weight = nn.Linear(6, 4, rng=1, w_init=make).weight.value
    assert weight.shape == (6, 4)
    np.testing.assert_array_equal(weight, nn.Linear(6, 4, rng=1, w_init=name).weight.value)
    cell = nn.VanillaRNNCell(6, 4, rng=1, w_in_init=name, w_rec_init="zeros")
    assert not cell.gate.w_rec.value.any()


def test_constants_are_made_with_and_without_a_generator() -> None:
    rng = np.random.default_rng(0)
    for array in (init.ones((2, 3)), init.ones(rng, (2, 3)), init.ones(0, shape=(2, 3)),
                  init.constant((2, 3), 1.0), init.constant(rng, (2, 3), 1.0),
                  init.constant((2, 3), number=1.0)):  # fmt: skip
        np.testing.assert_array_equal(array, np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(init.zeros((3,)), init.zeros(rng, (3,)))
    half = nn.Linear(2, 3, rng=0, w_init=partial(init.constant, number=0.5))
    np.testing.assert_array_equal(half.weight.value, np.full((2, 3), 0.5))
    refused(ModelError, lambda: nn.Linear(2, 3, rng=0, w_init=init.constant), "partial")


def test_an_initialiser_that_does_not_fit() -> None:
    refused(ModelError, lambda: nn.Linear(2, 3, rng=0, w_init="ortogonal"), "'orthogonal'")
    given: Any = np.ones((2, 3))
    refused(ModelError, lambda: nn.Linear(2, 3, rng=0, w_init=given), "lambda rng, shape")
    refused(ShapeError, lambda: nn.Linear(2, 3, rng=0, w_init=lambda r, s: given.T), "(3, 2)")


@pytest.mark.parametrize("make", [init.zeros, init.glorot, init.he, init.orthogonal, "he"])
def test_initialisers_of_matrices_are_not_for_sparse_ones(make: Any) -> None:
    refused(ModelError, lambda: nn.SparseLinear((4, 3, 0.5), rng=0, w_init=make), "p.nnz")


def test_an_initialiser_of_nonzeros() -> None:
    layer = nn.SparseLinear((4, 3, 0.5), rng=0, w_init=lambda r, p: init.ones((p.nnz,)))
    np.testing.assert_array_equal(layer.weight.value, np.ones(6))


# -- layers around layers ------------------------------------------------------------------
@pytest.mark.parametrize("wrap", [nn.WeightNorm, partial(nn.LoRA, rank=1, rng=0)])
def test_what_a_weight_keeps_is_not_broken(wrap: Any) -> None:
    sparse, signed = nn.SparseLinear((4, 3, 0.5), rng=0), nn.SignedWLinear(4, 3, rng=0)
    masked = nn.ScaledWSLinear(4, 3, rng=0, mask=np.eye(4, 3))
    refused(ModelError, lambda: wrap(sparse), "SparseLinear", "inputs and outputs")
    refused(ModelError, lambda: wrap(signed), "SignedWLinear", "sign", "etp.nn.Linear")
    refused(ModelError, lambda: wrap(masked), "mask")
    x = np.ones(4, np.float32)
    free = nn.ScaledWSLinear(4, 3, rng=0)
    np.testing.assert_allclose(wrap(free)(x), free(x), atol=1e-6)


def test_a_rank_is_at_most_that_of_the_weight() -> None:
    layer = nn.Linear(4, 3, rng=0)
    assert nn.LoRA(layer, 3, rng=0)(np.ones(4, np.float32)).shape == (3,)
    refused(ModelError, lambda: nn.LoRA(layer, 4, rng=0), "rank 4", "up to 3")
    refused(ModelError, lambda: nn.LoRA((4, 3), 5, rng=0), "rank 5", "up to 3")


# -- windows -------------------------------------------------------------------------------
def test_a_window_that_does_not_fit() -> None:
    image = np.ones((3, 3, 2), np.float32)
    conv = nn.Conv2d(2, 4, 5, padding="VALID", rng=0)
    refused(ShapeError, lambda: conv(image), "5 taps", "3 positions", "SAME")
    wide = nn.Conv2d(2, 4, 2, padding="VALID", dilation=3, rng=0)
    refused(ShapeError, lambda: wide(image), "4 wide")
    assert nn.Conv2d(2, 4, 3, padding="VALID", rng=0)(image).shape == (1, 1, 4)
    cropped = nn.ConvTranspose2d(2, 4, 2, padding=-2, rng=0)
    refused(ShapeError, lambda: cropped(image), "2 taps")
    for pool in (nn.MaxPool2d(5), nn.AvgPool2d(5)):
        refused(ShapeError, lambda p=pool: p(image), "window of 5", "3 positions", "smaller")


@pytest.mark.parametrize(
    "make",
    [
        lambda p: nn.Conv2d(2, 4, 3, padding=p, rng=0),
        lambda p: nn.ConvTranspose2d(2, 4, 3, padding=p, rng=0),
        lambda p: nn.MaxPool2d(2, padding=p),
        lambda p: nn.AvgPool2d(2, padding=p),
    ],
)
def test_padding_is_checked_when_the_layer_is_made(make: Any) -> None:
    refused(ModelError, lambda: make("SAM"), "did you mean 'SAME'?")
    refused(ModelError, lambda: make((1, 2, 3)), "2 spatial axes")
    for good in ("same", "VALID", 1, (1, (0, 1))):
        make(good)
