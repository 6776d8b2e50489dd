"""What is given to layers by mistake is refused, and options mean one thing everywhere."""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import Any

import numpy as np
import pytest

import etp
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


# -- names and documentation ---------------------------------------------------------------
SIBLINGS = [
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.LIFCell, nn.ALIFCell,
]  # fmt: skip


@pytest.mark.parametrize("layer", SIBLINGS)
def test_every_layer_stands_for_itself(layer: Any) -> None:
    name = layer.__name__
    with pytest.raises(TypeError, match=rf"^{name}\.__init__\(\) missing"):
        layer()
    required = {
        p.name: 2 for p in inspect.signature(layer).parameters.values() if p.default is p.empty
    }
    with pytest.raises(TypeError, match=rf"^{name}\.__init__\(\) .* 'knd'"):
        layer(**required, knd=1)
    for option in list(inspect.signature(layer).parameters):
        listed = re.findall(r"^ *([a-z][\w, ]+)$", layer.__doc__, re.M)
        assert option in {o.strip() for line in listed for o in line.split(",")}


def test_documentation_points_to_what_there_is() -> None:
    for name in nn.__all__:
        known = {*nn.__all__, "Param"}
        for there in re.findall(r"(?<!`)`([A-Za-z]\w*)`(?!`)", getattr(nn, name).__doc__ or ""):
            assert there in known, f"{name} points to {there}"


def test_subclasses_of_users_keep_their_constructors() -> None:
    class Mine(nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(2, 3, 1, rng=0)

    class Mixed(dict, nn.MaxPool2d):  # type: ignore[type-arg]
        pass

    assert Mine()(np.ones((2, 2, 2), np.float32)).shape == (2, 2, 3)
    assert Mixed(a=1) == {"a": 1}


# -- small layers and text -----------------------------------------------------------------
def test_flatten() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(nn.Flatten()(x), x.ravel())
    np.testing.assert_array_equal(nn.Flatten(1)(x), x.reshape(2, 12))
    np.testing.assert_array_equal(nn.Flatten(-2)(x), x.reshape(2, 12))
    refused(ShapeError, lambda: nn.Flatten(3)(x), "axis 3")
    net = nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.Flatten(), nn.GRUCell(18, 3, rng=1))
    example = np.zeros((3, 3, 1), np.float32), np.zeros(3, np.float32)
    learner = etp.compile(net, loss="mse", example=example, backend="numpy")
    grads, _ = learner.grad(np.ones((2, 1, 3, 3, 1)), np.ones((2, 1, 3)))
    assert all(np.abs(g).max() > 0 for g in grads.values())


def test_a_module_is_shown_as_a_tree() -> None:
    inner = nn.Linear(3, 2, rng=0, bias=False)
    net = nn.Sequential(nn.Conv1d(1, 3, 3, rng=0), nn.BatchNorm1d(3), {"a": inner}.__getitem__)
    net.more = {"a": inner, "again": inner, "rnn": [nn.IndRNNCell(2, 2, rng=0)]}
    net.more["rnn"][0].w.trainable = False
    assert (
        repr(net)
        == """\
Sequential
  layers.0: Conv1d  weight (3, 1, 3), bias (3,)
  layers.1: BatchNorm1d  weight (3,), bias (3,), buffer mean (3,), buffer variance (3,)
  more.a: Linear  weight (3, 2)
  more.rnn.0: IndRNNCell  w (2, 2) frozen, u (2,), b (2,), state h (2,)"""
    )
    net.more["self"] = net
    assert "self" not in repr(net)


# -- weights of other libraries ------------------------------------------------------------
def torch_like(*layers: int, prefix: str = "") -> dict[str, np.ndarray]:
    """Return what the state dict of a gated recurrent unit of PyTorch looks like."""
    rng = np.random.default_rng(0)
    return {
        f"{prefix}{name}_l{n}": rng.normal(size=shape)
        for n in layers
        for name, shape in (("weight_ih", (12, 4)), ("weight_hh", (12, 4)),
                            ("bias_ih", (12,)), ("bias_hh", (12,)))
    }  # fmt: skip


def test_weights_that_are_not_those_of_one_cell() -> None:
    read = nn.GRUCell.from_torch_state_dict

    class GRU:
        def state_dict(self) -> dict[str, np.ndarray]:
            return torch_like(0)

    module: Any = GRU()
    refused(ModelError, lambda: read(module), "got GRU", "give module.state_dict()")
    inside = torch_like(0, prefix="net.rnn.")
    refused(ModelError, lambda: read(inside), "give prefix='net.rnn.'")
    refused(ModelError, lambda: read(inside, prefix="rnn."), "give prefix='net.rnn.'")
    two = torch_like(0, 1)
    refused(ModelError, lambda: read(two), "2 layers", "layer=0 up to layer=1")
    refused(ModelError, lambda: read(two, layer=2), "no layer=2", "layer=1")
    for cell, state, name in (
        (read(inside, prefix="net.rnn."), inside, "net.rnn.weight_ih_l0"),
        (read(two, layer=0), two, "weight_ih_l0"),
        (read(two, layer=1), two, "weight_ih_l1"),
        (read(torch_like(1)), torch_like(1), "weight_ih_l1"),
    ):
        np.testing.assert_array_equal(cell.r.w_in.value, state[name][:4].T)
