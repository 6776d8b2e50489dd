"""A product taken apart into two with one weight: every rule gives what it gave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from tests.models import data

RULES = ["eprop(rate=0.1)", "eprop(0.5, rate=0.1, target_rate=0.2)", "eprop(0.5)", "stdp", "s_tllr",
         "otpe(0.8, True)", "superspike"]  # fmt: skip


class Recurrent(etp.Module):
    """Spiking units; each weight is used once, or twice with parts of the same input."""

    def __init__(self, share: float) -> None:
        rng = np.random.default_rng(0)
        self.w, self.u = etp.Param(rng.normal(size=(2, 3))), etp.Param(rng.normal(size=(3, 3)))
        self.out, self.v, self.share = etp.Param(rng.normal(size=(3, 2))), etp.State((3,)), share

    def twice(self, x: Any, w: Any) -> Any:
        s = self.share
        return etp.matmul(s * x, w) + etp.matmul((1 - s) * x, w) if s else etp.matmul(x, w)

    def __call__(self, x: Any) -> Any:
        z = etp.spike(self.v.value - 0.4, "fast_sigmoid")
        drive = self.twice(x, self.w) + self.twice(z, self.u)
        self.v.value = 0.8 * self.v.value + drive - 0.4 * etp.stop_gradient(z)
        return etp.matmul(etp.spike(self.v.value - 0.4, "fast_sigmoid"), self.out)


@pytest.mark.parametrize("rule", RULES)
def test_a_weight_used_twice_learns_as_if_used_once(rule: str) -> None:
    once, twice = (
        etp.compile(Recurrent(share), rule, "mse", backend="numpy", dtype="float64").grad(
            *data(5, 2)
        )[0]
        for share in (0.0, 0.3)
    )
    assert all(np.abs(g).max() > 1e-3 for g in once.values())
    for name, want in once.items():
        np.testing.assert_allclose(twice[name], want, rtol=1e-9, atol=1e-12)
