"""What random states never meet is met all the same before a gradient is called exact."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from etp.rules import PER_WEIGHT, TraceRule
from etp.schedules import probe
from tests.models import data

LEAKS = np.array([0.5, 0.5, 0.5, 0.9])


class Switched(etp.Module):
    """A leaky layer whose leak is 0.5, and now and then another."""

    def __init__(self, leak: Callable[[Any, Any], Any]) -> None:
        rng = np.random.default_rng(0)
        self.w, self.out = etp.Param(rng.normal(size=(2, 3))), etp.Param(rng.normal(size=(3, 2)))
        self.h, self.clock, self.leak = etp.State((3,)), etp.State(()), leak

    def __call__(self, x: Any) -> Any:
        self.clock.value = self.clock.value + 1.0
        leak = self.leak(self.clock.value, x)
        self.h.value = leak * self.h.value + etp.matmul(x, self.w)
        return etp.matmul(self.h.value, self.out)


def status(leak: Any, kind: type[etp.Module] = Switched) -> str:
    x, y = data(1, 1)
    made = etp.compile(kind(leak), "ottt(0.5)", "mse", backend="numpy", dtype="float64",
                       example=(x[0, 0], y[0, 0]))  # fmt: skip
    return made.report().parameters["w"].status


@pytest.mark.parametrize("leak", [
    lambda clock, x: xp.where(xp.equal(x[1], 1.0), 0.0, 0.5),
    lambda clock, x: xp.where(xp.equal(xp.remainder(clock, 3.0), 0.0), 0.0, 0.5),
    lambda clock, x: xp.where(clock > 1e4, 0.0, 0.5),
    lambda clock, x: etp.cond(xp.equal(x[1], 1.0), lambda: 0.0, lambda: 0.5),
    lambda clock, x: xp.take(xp.asarray(LEAKS), xp.astype(xp.abs(xp.sin(clock)) * 4, xp.int32)),
], ids=["an input of 1", "every third step", "late", "a choice", "a row of a table"])  # fmt: skip
def test_a_leak_that_changes_rarely_is_not_shared(leak: Any) -> None:
    assert status(leak) == "approximate"


class Clipped(Switched):
    """The layer, what it holds bent where random data never is."""

    def __call__(self, x: Any) -> Any:
        self.h.value = self.leak(0.5 * self.h.value) + etp.matmul(x, self.w)
        return etp.matmul(self.h.value, self.out)


BENT = {
    "clip": lambda h: xp.clip(h, -200.0, 200.0),
    "maximum": lambda h: xp.maximum(h, -1e4),
    "of all": lambda h: xp.max(xp.stack([h, xp.full((3,), -1e4)]), axis=0),
    "relu": lambda h: xp.maximum(h + 1e4, 0.0) - 1e4,
    "absolute": lambda h: xp.abs(h + 1e4) - 1e4,
    "sign": lambda h: h * xp.sign(h + 1e4),
}


@pytest.mark.parametrize("bend", BENT)
def test_kinks_that_no_random_state_comes_to_are_met(bend: str) -> None:
    assert status(BENT[bend], Clipped) == "approximate"
    assert status(lambda h: h, Clipped) == "exact"


def test_comparisons_beside_the_transition_change_no_status() -> None:
    assert status(lambda clock, x: 0.5) == "exact"
    assert status(lambda clock, x: xp.where(xp.equal(x[1], 1.0), 0.5, 0.5 + 0.0 * x[1])) == "exact"
    assert status(lambda clock, x: 0.5 + 0.0 * xp.maximum(x[1], 0.0)) == "exact"


def test_what_a_probe_found_is_kept_without_the_arrays_of_the_model() -> None:
    x, y = data(1, 1)
    made = etp.compile(Clipped(lambda h: 0.9 * h), "ottt(0.45)", "mse", example=(x[0, 0], y[0, 0]))
    compiled = made.engine.last()[0]
    params = {n: np.array(p) for n, p in made.params.items()}
    held = [weakref.ref(p) for p in params.values()]

    def found() -> Any:
        return probe.coinciding(
            compiled.structure, made.options.rule, 0, compiled.loss.constants, params
        )

    first, size = found(), len(probe._ANSWERS)
    assert first == {"w", "out"}
    assert found() is first
    assert len(probe._ANSWERS) == size
    params.clear()
    assert not any(p() is not None for p in held)


class Slowed(TraceRule):
    """A rule without attrs, whose factor can be set."""

    name = "slowed"
    default_window = 0
    traces = {"e": PER_WEIGHT}

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def advance(self, rel: Any, e: Any) -> Any:
        return {"e": self.factor * (rel.D @ e["e"]) + rel.u * rel.x}

    def gradient(self, rel: Any, e: Any, ell: Any) -> Any:
        return ell @ e["e"]


def test_a_rule_that_is_changed_is_tried_again() -> None:
    x, y = data(1, 1)
    rule = Slowed(1.0)

    def status() -> str:
        made = etp.compile(Clipped(lambda h: h), rule, "mse", example=(x[0, 0], y[0, 0]))
        return made.report().parameters["w"].status

    assert status() == "exact"
    rule.factor = 0.5
    assert status() == "approximate"
