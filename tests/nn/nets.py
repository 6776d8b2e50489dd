"""A small network around a layer, and its gradients against back-propagation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import etp
from etp import xp
from etp.compiler import CompilationWarning
from etp.oracle.unrolled import unrolled_gradient

BACKENDS = ("numpy", "jax")


class Net(etp.Module):
    """A layer that drives a leaky state, and a readout."""

    def __init__(self, layer: Any, n: int = 3, n_in: int = 2) -> None:
        self.layer = layer
        self.h = etp.State((n,))
        self.readout = etp.nn.Linear(n, 2, rng=1)
        self.n_in = n_in

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.5 * self.h.value + xp.tanh(self.layer(x))
        return self.readout(self.h.value)


def randomise(module: Any, seed: int = 3) -> Any:
    """Return the module, its parameters moved by random numbers, in double precision."""
    rng = np.random.default_rng(seed)
    for param in module.named_params().values():
        param._array = param.value + 0.3 * rng.normal(size=param.shape)
    return module


def compiled(net: Any, rule: str = "d_rtrl", **options: Any) -> etp.Learner:
    """Return a learner in double precision."""
    given = {"backend": "numpy", "dtype": "float64", **options}
    return etp.compile(net, rule, "mse", **given)


def sequence(net: Any, length: int, batch: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    xs = rng.normal(size=(length, batch, net.n_in)) + 0.3
    return xs, rng.normal(size=(length, batch, 2))


def check_gradients(net: Any, backend: str, **options: Any) -> dict[str, str]:
    """Hold gradients against unrolled differentiation, and return their statuses.

    After one step all are equal; after four those that are called exact, and no others.
    """
    randomise(net)
    for length in (1, 4):
        learner = compiled(net, backend=backend, **options)
        xs, ys = sequence(net, length)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CompilationWarning)
            found, _ = learner.grad(xs, ys, reduction="sum")
        step = learner.engine.last()[0]
        arrays = {**learner.params, **step.loss.constants, **step.step.states}
        given = dict(zip((p.name for p in step.loss.program.inputs_of("input", "target")),
                         (xs, ys), strict=True))  # fmt: skip
        arrays = {n: np.asarray(x) for n, x in arrays.items()}
        exact = unrolled_gradient(step.loss.program, arrays, given, np.ones(xs.shape[:2]))
        statuses = {n: row.status for n, row in learner.report().parameters.items()}
        for name, wanted in exact.items():
            assert np.abs(wanted).max() > 1e-6, name
            got = np.asarray(found[name])
            if length == 1 or statuses[name] == "exact":
                np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-11, err_msg=name)
            else:
                assert np.abs(got - wanted).max() > 1e-6, name
    return statuses
