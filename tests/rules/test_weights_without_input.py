"""Element-wise weights that nothing is multiplied with, used by several products of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from tests.models import data


class SharedBias(etp.Module):
    """One bias for two leaky states, one of which reads the other."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w, self.bias = etp.Param(rng.normal(size=(2, 3))), etp.Param(rng.normal(size=3))
        self.out = etp.Param(rng.normal(size=(3, 2)))
        self.h, self.g = etp.State((3,)), etp.State((3,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.7 * self.h.value + etp.matmul(x, self.w) + etp.element_wise(self.bias)
        drive = etp.element_wise(self.bias) * xp.sin(x[0]) + xp.tanh(self.h.value)
        self.g.value = 0.7 * self.g.value + drive
        return etp.matmul(self.g.value + self.h.value, self.out)


def gradient(rule: str, length: int) -> np.ndarray[Any, Any]:
    made = etp.compile(SharedBias(), rule, "mse", backend="numpy", dtype="float64")
    return np.asarray(made.grad(*data(length, 2))[0]["bias"])


@pytest.mark.parametrize("rule", ["ottt", "s_tllr", "otpe(0.5, True)", "pp_prop"])
def test_traces_of_inputs_have_nothing_to_follow(rule: str) -> None:
    want = gradient("bptt", 1)
    assert np.abs(want).max() > 1e-2
    np.testing.assert_allclose(gradient(rule, 1), want, rtol=1e-10)


def test_a_presynaptic_trace_of_no_input_is_that_of_ones() -> None:
    """With a leak of 0 nothing of the past is left, and OTTT is SLTT."""
    np.testing.assert_allclose(gradient("ottt(0.0)", 4), gradient("sltt", 4), rtol=1e-10)
