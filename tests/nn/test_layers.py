"""Linear layers of special weights, and what layers are put together with."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import nn, xp
from tests.nn.nets import BACKENDS, Net, check_gradients, compiled, randomise, sequence

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
MASK = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1.0]])
SIGN = np.array([1, -1, 1])


# -- values --------------------------------------------------------------------------------
def test_weight_norm_starts_as_the_layer_and_leaves_it_alone() -> None:
    layer = randomise(nn.Linear(3, 4, rng=0))
    before = layer.weight
    normed = nn.WeightNorm(layer)
    np.testing.assert_allclose(normed(X), layer(X), rtol=1e-12)
    assert layer.weight is before
    assert list(normed.named_params()) == ["layer.weight.g", "layer.weight.v", "layer.bias"]
    w = normed.layer.weight
    assert w.shape == (3, 4)
    w.v.value = 5 * w.v.value  # only the direction counts
    np.testing.assert_allclose(normed(X), layer(X), rtol=1e-12)
    w.g.value = 2 * w.g.value
    np.testing.assert_allclose(normed(X), layer(X) * 2 - layer.bias.value, rtol=1e-12)
    lengths = nn.WeightNorm(layer, axis=0).layer.weight.g.value
    np.testing.assert_allclose(lengths[:, 0], np.linalg.norm(before.value, axis=1), rtol=1e-12)


def test_weight_norm_goes_around_any_layer_with_a_weight() -> None:
    normed = nn.WeightNorm(nn.LeakyRateReadout(3, 4, rng=0))
    assert "layer.weight.v" in normed.named_params()
    assert list(normed.named_states()) == ["layer.y"]
    statuses = check_gradients(Net(nn.WeightNorm(nn.ScaledWSLinear(2, 3, rng=0))), "numpy")
    assert set(statuses.values()) == {"exact"}


def test_signed_weights_keep_their_signs() -> None:
    layer = randomise(nn.SignedWLinear(3, 4, SIGN, rng=0))
    w = np.abs(layer.weight.magnitude.value) * SIGN[:, None]
    np.testing.assert_allclose(layer(X), X @ w + layer.bias.value, rtol=1e-12)
    each = np.sign(RNG.normal(size=(3, 4)))
    np.testing.assert_array_equal(np.sign(nn.SignedWLinear(3, 4, each, rng=0).weight.value), each)
    assert (nn.SignedWLinear(3, 4, rng=0).weight.value > 0).all()


def test_signs_are_kept_during_training() -> None:
    """Targets that ask for the other sign take magnitudes to zero, and through it, not signs."""
    net = Net(nn.SignedWLinear(2, 3, [1, -1], rng=0))
    learner = compiled(net)
    rng = np.random.default_rng(0)
    xs = np.abs(rng.normal(size=(6, 8, 2)))
    ys = -20 * xs @ np.array([[1.0, 1.0], [-1.0, -1.0]])
    start = np.array(learner.params["layer.weight.magnitude"])
    losses = learner.fit([(xs, ys)] * 60, etp.optim.adam(0.05), update="step").loss
    assert losses[-1] < losses[0]
    after = np.array(learner.params["layer.weight.magnitude"])
    assert np.abs(after - start).max() > 0.3
    net.layer.weight.magnitude.value = after
    effective = np.asarray(net.layer.weight)
    assert (effective[0] >= 0).all()
    assert (effective[1] <= 0).all()


def test_standardised_weights_equal_their_equation() -> None:
    layer = randomise(nn.ScaledWSLinear(3, 4, mask=MASK, rng=0))
    w, gain = layer.weight.w.value, layer.weight.gain.value
    wanted = (w - w.mean(0)) / np.sqrt(3 * w.var(0)) * gain * MASK
    np.testing.assert_allclose(layer.weight.value, wanted, rtol=1e-9)
    np.testing.assert_allclose(layer(X), X @ wanted + layer.bias.value, rtol=1e-9)
    plain = nn.ScaledWSLinear(3, 4, gain=False, bias=False, rng=0)
    assert list(plain.named_params()) == ["weight.w"]
    np.testing.assert_allclose(plain.weight.value.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose((plain.weight.value**2).sum(0), 1, rtol=1e-5)
    small = randomise(nn.ScaledWSLinear(3, 4, rng=0))
    small.weight.w.value = 1e-6 * small.weight.w.value  # below eps it is not blown up
    assert np.abs(small.weight.value).max() < 1e-3


def test_grouped_maps_are_block_diagonal() -> None:
    layer = randomise(nn.GroupedLinear(6, 4, 2, rng=0))
    x, w = RNG.normal(size=(5, 6)), layer.weight.value
    wanted = np.concatenate([x[:, :3] @ w[0], x[:, 3:] @ w[1]], axis=1)
    np.testing.assert_allclose(layer(x), wanted + layer.bias.value.ravel(), rtol=1e-12)
    assert np.abs(w[0] - w[1]).max() > 0.1
    np.testing.assert_allclose(layer(x[0]), layer(x)[0])


def test_lora_starts_as_the_layer_and_trains_its_factors() -> None:
    base = randomise(nn.Linear(3, 4, rng=0))
    layer = nn.LoRA(base, 2, alpha=0.5, rng=1)
    np.testing.assert_allclose(layer(X), base(X), rtol=1e-12)
    params = layer.named_params()
    assert [n for n, p in params.items() if p.trainable] == ["layer.weight.b", "layer.weight.a"]
    assert all(p.trainable for p in base.named_params().values())
    randomise(layer.layer.weight)
    b, a = params["layer.weight.b"].value, params["layer.weight.a"].value
    frozen = params["layer.weight.base"].value
    wanted = X @ (frozen + 0.5 * b @ a) + base.bias.value
    np.testing.assert_allclose(layer(X), wanted, rtol=1e-12)
    shared = nn.LoRA(base, 2, freeze=False, rng=1)
    assert shared.layer.bias is base.bias
    assert all(p.trainable for p in shared.named_params().values())
    alone = randomise(nn.LoRA((3, 4), 2, alpha=2.0, rng=1))
    np.testing.assert_allclose(alone(X), 2 * X @ alone.b.value @ alone.a.value, rtol=1e-12)


def test_lora_goes_around_any_layer_with_a_weight() -> None:
    conv = nn.Conv1d(2, 3, 3, rng=0)
    layer = nn.LoRA(conv, 1, rng=1)
    x = RNG.normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_allclose(layer(x), conv(x), rtol=1e-6)
    assert layer.layer.weight.b.shape == (6, 1)
    readout = nn.LoRA(nn.LeakyRateReadout(3, 4, rng=0), 2, rng=1)
    assert list(readout.named_states()) == ["layer.y"]


def test_residual_adds_a_shortcut() -> None:
    body, skip = nn.Linear(3, 4, rng=0), nn.Linear(3, 4, rng=1)
    np.testing.assert_allclose(nn.Residual(body, skip)(X), body(X) + skip(X))
    np.testing.assert_allclose(nn.Residual(xp.tanh)(X), X + np.tanh(X))
    with pytest.raises(etp.ShapeError, match=r"shortcut is of shape \(4, 3\), the body(.|\n)*4, 4"):
        nn.Residual(body)(X)


def test_sequential_takes_functions_and_modules_and_acts_as_a_list() -> None:
    first, last = nn.Linear(3, 4, rng=0), nn.Linear(4, 2, rng=1)
    net = nn.Sequential(first, xp.tanh, lambda x: 2 * x, last)
    np.testing.assert_allclose(net(X), last(2 * np.tanh(first(X))), rtol=1e-6)
    assert len(net) == 4
    assert net[0] is first
    assert net[-1] is last
    assert list(net) == [first, xp.tanh, net[2], last]
    assert isinstance(net[1:], nn.Sequential)
    assert net[1:].named_params().keys() == {"layers.2.weight", "layers.2.bias"}
    with pytest.raises(IndexError):
        net[4]
    with pytest.raises(etp.ModelError, match=r"layer 1 of a Sequential is 3(.|\n)*test_layers"):
        nn.Sequential(first, 3)
    with pytest.raises(etp.ModelError, match="layer 0 of a Sequential is \\[") as caught:
        nn.Sequential([first, last])
    assert "Sequential(*layers)" in str(caught.value)
    with pytest.raises(etp.ModelError, match="layer 0 of a Sequential is <class"):
        nn.Sequential(nn.Linear)


def test_bidirectional_is_refused_with_the_reason() -> None:
    with pytest.raises(etp.NotSupportedError) as caught:
        nn.Bidirectional(nn.GRUCell(2, 3, rng=0))
    for part in ("needs the inputs after it", "test_layers.py", "delay the targets"):
        assert part in str(caught.value)


# -- gradients -----------------------------------------------------------------------------
LAYERS: dict[str, Callable[[], Any]] = {
    "weight norm": lambda: nn.WeightNorm(nn.Linear(3, 4, rng=0)),
    "weight norm of rows": lambda: nn.WeightNorm(nn.Linear(3, 4, rng=0), axis=0),
    "signed": lambda: nn.SignedWLinear(3, 4, SIGN, rng=0),
    "standardised": lambda: nn.ScaledWSLinear(3, 4, mask=MASK, rng=0),
    "grouped": lambda: nn.Sequential(nn.Linear(3, 6, rng=1), nn.GroupedLinear(6, 4, 2, rng=0)),
    "lora": lambda: nn.LoRA(nn.Linear(3, 4, rng=0), 2, alpha=0.5, rng=1),
    "lora of both": lambda: nn.LoRA(nn.ScaledWSLinear(3, 4, rng=0), 2, freeze=False, rng=1),
    "lora alone": lambda: nn.LoRA((3, 4), 2, rng=1),
    "residual": lambda: nn.Residual(nn.Linear(3, 4, rng=0), nn.Linear(3, 4, rng=1)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", list(LAYERS))
def test_gradients(name: str, backend: str) -> None:
    statuses = check_gradients(Net(LAYERS[name](), n=4, n_in=3), backend)
    first = {"layer.layers.0.weight", "layer.layers.0.bias"}  # before another product
    assert {n for n, s in statuses.items() if s != "exact"} == (
        first if name == "grouped" else set()
    )


@pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
def test_a_weight_used_twice_is_computed_once() -> None:
    class Tied(etp.Module):
        def __init__(self) -> None:
            self.layer = nn.WeightNorm(nn.Linear(3, 3, rng=0))

        def __call__(self, x: Any) -> Any:
            return self.layer(xp.tanh(self.layer(x)))

    net = Net(Tied(), n_in=3)
    check_gradients(net, "numpy")
    learner = compiled(net)
    learner.specialise(*(a[0, 0] for a in sequence(net, 1)))
    assert str(learner.program.traced).count("sqrt") == 1


# -- mistakes ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: nn.WeightNorm(nn.GRUCell(2, 3, rng=0)), etp.ModelError, "GRUCell has none"),
        (lambda: nn.WeightNorm(xp.tanh), etp.ModelError, "function has none"),
        (lambda: nn.SignedWLinear(3, 4, [1, -1], rng=0), etp.ShapeError, r"signs of shape \(2,\)"),
        (lambda: nn.SignedWLinear(2, 4, [1, 0], rng=0), etp.ModelError, "signs are 1 and -1"),
        (lambda: nn.LoRA(nn.GRUCell(2, 3, rng=0), 1, rng=0), etp.ModelError, "GRUCell has none"),
        (lambda: nn.LoRA((2, 3), 0, rng=0), etp.ModelError, "rank 0"),
        (lambda: nn.LoRA((2,), 1, rng=0), etp.ModelError, r"a weight of shape \(2,\)"),
        (lambda: nn.GroupedLinear(4, 6, 3, rng=0), etp.ModelError, "3 groups of 4 inputs"),
        (lambda: nn.GroupedLinear(4, 6, 2, rng=0)(np.ones(3)), etp.ShapeError, "of 4 features"),
        (lambda: nn.ScaledWSLinear(2, 4, mask=[1, 0], rng=0), etp.ShapeError, "mask of shape"),
    ],
)
def test_mistakes_are_named_with_the_line(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        make()
    assert "test_layers.py" in str(caught.value)


def test_layers_copy_and_pickle() -> None:
    net = nn.Sequential(nn.WeightNorm(nn.Linear(3, 4, rng=0)), nn.SignedWLinear(4, 2, rng=1))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin(X), net(X))
