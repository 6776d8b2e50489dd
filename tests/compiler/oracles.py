"""Comparison of compiled gradients with back-propagation through the unrolled step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

import etp
from etp.oracle import unrolled_gradient
from etp_ir.backend import Backend, Executable
from etp_ir.core import Program
from etp_ir.interpreter import evaluate
from tests.rules.test_battery import square

Grads = Mapping[str, np.ndarray]


class Interpreted(Executable):
    """A program run by the reference semantics."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        return evaluate(self.program, arrays)


class Interpreter(Backend):
    """Compiles nothing: for models that are run once."""

    name = "interpreter"

    def compile(self, program: Program, *, donate: Any = ()) -> Executable:
        return Interpreted(program)

    def asarray(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def to_numpy(self, array: Any) -> np.ndarray:
        return np.asarray(array)


@frozen
class Probe:
    """A model with data, and its exact gradients."""

    model: etp.Module
    x: np.ndarray
    y: np.ndarray

    def learner(self, rule: str, **options: Any) -> etp.Learner:
        """Return the model compiled for a rule, in double precision."""
        fixed = {"backend": Interpreter(), "dtype": "float64"}
        return etp.compile(
            self.model, rule, square, example=(self.x[0, 0], self.y[0, 0]), length=len(self.x),
            **{**fixed, **options},
        )  # fmt: skip

    def gradient(self, learner: etp.Learner, steps: int | None = None) -> dict[str, np.ndarray]:
        """Return a learner's gradient of the loss of the first steps only."""
        return learner.grad(self.x, self.y, self.mask(steps), reduction="sum")[0]

    def exact(self, learner: etp.Learner, steps: int | None = None) -> dict[str, np.ndarray]:
        """Return the true gradient of the same loss."""
        c = learner.engine.last()[0]
        given = {**c.step.params, **c.step.states, **c.loss.constants}
        mask = self.mask(steps)
        last = len(self.x) if steps is None else steps
        names = [p.name for p in c.loss.program.inputs_of("input", "target")]
        data = dict(zip(names, (self.x[:last], self.y[:last]), strict=True))
        weights = np.repeat(mask[:last, None], self.x.shape[1], axis=1)
        return unrolled_gradient(c.loss.program, given, data, weights)

    def mask(self, steps: int | None) -> np.ndarray:
        """Return the weights of the steps: those after the first ``steps`` do not count."""
        return (np.arange(len(self.x)) < (steps or len(self.x))).astype(np.float64)


def deviations(got: Grads, want: Grads) -> dict[str, float]:
    """Return the largest difference of each gradient, relative to the largest of all numbers."""
    assert set(got) == set(want)
    assert all(np.isfinite(g).all() for g in got.values())
    scale = max((float(np.abs(g).max()) for g in want.values()), default=0.0) or 1.0
    return {n: float(np.abs(got[n] - want[n]).max()) / scale for n in want}


def check_equal(got: Grads, want: Grads, tolerance: float, what: str) -> None:
    """Assert that two gradients are equal up to rounding."""
    found = deviations(got, want)
    wrong = {n: d for n, d in found.items() if not d < tolerance}
    assert not wrong, f"{what}: {wrong}"


def check_statuses(learner: etp.Learner, got: Grads, want: Grads, what: str) -> dict[str, float]:
    """Assert that what is called exact equals the true gradient, and zero where unreachable."""
    found = deviations(got, want)
    compiled, length, _ = learner.engine.last()
    for name, p in compiled.statuses(length, length).items():
        told = f"{what}: {name} is called {p.status} ({p.reason}), off by {found[name]:.2e}"
        if p.status == "exact":
            assert found[name] < 1e-8, told
        if p.status == "unreachable":
            assert not want[name].any(), told
    return found
