"""Normalisations and activations: values, gradients, statuses, and the mistakes they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import etp
from etp import nn, xp
from etp.nn import activation
from tests.nn.nets import BACKENDS, Net, check_gradients, randomise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6)) * 2 + 0.7


def standardise(x: np.ndarray, axes: tuple[int, ...], eps: float = 1e-5) -> np.ndarray:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


# -- values --------------------------------------------------------------------------------
def test_layer_norm_equals_its_equation() -> None:
    layer = randomise(nn.LayerNorm(6))
    g, b = layer.weight.value, layer.bias.value
    np.testing.assert_allclose(layer(X), standardise(X, (1,)) * g + b, rtol=1e-12)
    both = randomise(nn.LayerNorm((4, 6)))
    wanted = standardise(X, (0, 1)) * both.weight.value + both.bias.value
    np.testing.assert_allclose(both(X), wanted, rtol=1e-12)
    bare = nn.LayerNorm(6, scale=False, bias=False)
    np.testing.assert_allclose(bare(X).std(1), 1, rtol=1e-4)
    assert not bare.named_params()


def test_rms_norm_equals_its_equation() -> None:
    layer = randomise(nn.RMSNorm(6))
    wanted = X / np.sqrt((X**2).mean(1, keepdims=True) + 1e-6) * layer.weight.value
    np.testing.assert_allclose(layer(X), wanted, rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_equals_its_equation_on_every_axis(axis: int, groups: int) -> None:
    x = RNG.normal(size=(5, 3, 6)) + 1
    layer = randomise(nn.GroupNorm(groups, 6, channel_axis=axis))
    split = standardise(x.reshape(5, 3, groups, 6 // groups), (0, 1, 3)).reshape(x.shape)
    wanted = split * layer.weight.value + layer.bias.value
    got = layer(np.moveaxis(x, -1, axis))
    np.testing.assert_allclose(np.moveaxis(got, axis, -1), wanted, rtol=1e-11)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * special.ndtr(x)


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "leaky_relu": (activation.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
    "relu6": (activation.relu6, lambda x: np.clip(x, 0, 6)),
    "elu": (activation.elu, elu),
    "celu": (lambda x: activation.celu(x, 2.0),
             lambda x: np.maximum(x, 0) + np.minimum(2 * np.expm1(x / 2), 0)),
    "selu": (activation.selu, lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    "gelu": (activation.gelu, gelu),
    "mish": (activation.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "log_sigmoid": (activation.log_sigmoid, special.log_expit),
    "softsign": (activation.softsign, lambda x: x / (1 + np.abs(x))),
    "tanh_shrink": (activation.tanh_shrink, lambda x: x - np.tanh(x)),
    "hard_tanh": (activation.hard_tanh, lambda x: np.clip(x, -1, 1)),
    "hard_sigmoid": (activation.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "hard_swish": (activation.hard_swish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_activations_equal_their_equations(name: str) -> None:
    function, wanted = FUNCTIONS[name]
    x = RNG.normal(size=50) * 4
    np.testing.assert_allclose(function(x), wanted(x), rtol=1e-9, atol=1e-12)


def test_the_two_formulas_of_gelu_agree_and_glu_halves() -> None:
    x = np.linspace(-4, 4, 33)
    apart = np.abs(activation.gelu(x, approximate=True) - gelu(x))
    assert 1e-6 < apart.max() < 5e-4
    y = RNG.normal(size=(3, 8))
    np.testing.assert_allclose(activation.glu(y), y[:, :4] * special.expit(y[:, 4:]), rtol=1e-9)
    np.testing.assert_allclose(activation.glu(y.T, axis=0), activation.glu(y).T, rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name", sorted(set(activation.__all__) - {"PReLU", "glu", "softmax", "log_softmax"})
)
def test_activations_and_their_derivatives_never_overflow(name: str) -> None:
    function = getattr(activation, name)
    model = Net(nn.Sequential(nn.Linear(2, 3, rng=0), function))
    x = np.array([[[1e4, 1e4]], [[-1e4, 3.0]], [[0.0, 0.0]]])
    for dtype in ("float32", "float64"):
        learner = etp.compile(model, "d_rtrl", "mse", backend="numpy", dtype=dtype)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            grads, _ = learner.grad(x, np.ones((3, 1, 2)))
        assert all(np.isfinite(g).all() for g in grads.values())


# -- gradients -----------------------------------------------------------------------------
LAYERS: dict[str, Callable[[], Any]] = {
    "layer": lambda: nn.LayerNorm(4),
    "rms": lambda: nn.RMSNorm(4),
    "group": lambda: nn.GroupNorm(2, 4),
    "channels first": lambda: nn.Sequential(
        lambda x: xp.reshape(x, (2, 2)), nn.GroupNorm(1, 2, channel_axis=0),
        lambda x: xp.reshape(x, (4,)),
    ),
    "prelu": lambda: nn.PReLU(),
    "prelu each": lambda: nn.PReLU(4),
    "gelu": lambda: nn.gelu,
    "elu": lambda: nn.elu,
}  # fmt: skip
POSITIONWISE = ("prelu", "prelu each", "gelu", "elu")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", list(LAYERS))
def test_gradients(name: str, backend: str) -> None:
    """One step equals back-propagation; so does every step for what is called exact."""
    net = Net(nn.Sequential(nn.Linear(3, 4, rng=0), LAYERS[name]()), n=4, n_in=3)
    statuses = check_gradients(net, backend)
    approximate = {n for n, s in statuses.items() if s != "exact"}
    wise = name in POSITIONWISE
    assert approximate == (set() if wise else {"layer.layers.0.weight", "layer.layers.0.bias"})


@pytest.mark.parametrize("name", list(LAYERS))
def test_exact_tails_follow_what_mixes(name: str) -> None:
    net = Net(nn.Sequential(nn.Linear(3, 4, rng=0), LAYERS[name]()), n=4, n_in=3)
    statuses = check_gradients(net, "numpy", tail="exact")
    assert set(statuses.values()) == {"exact"}


# -- mistakes ------------------------------------------------------------------------------
def test_wrong_shapes_are_named_with_the_line() -> None:
    with pytest.raises(etp.ShapeError, match=r"LayerNorm over \(5,\) got an input of \(4, 6\)"):
        nn.LayerNorm(5)(X)
    with pytest.raises(etp.ShapeError, match=r"RMSNorm over \(4, 5, 6\)(.|\n)*test_norms"):
        nn.RMSNorm((4, 5, 6))(X)
    with pytest.raises(etp.ShapeError, match="GroupNorm of 4 channels on axis -1"):
        nn.GroupNorm(2, 4)(X)
    with pytest.raises(etp.ModelError, match="6 channels cannot be divided into 4 groups"):
        nn.GroupNorm(4, 6)
