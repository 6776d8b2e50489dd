"""A state held in another shape than it is read in: every rule gives what it gave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from tests.models import data


class Held(etp.Module):
    """Leaky units in two layers; the state of the first is held flat, or turned, as 3 by 2."""

    def __init__(self, turned: bool) -> None:
        rng = np.random.default_rng(0)
        self.w, self.u, self.v, self.out = (
            etp.Param(rng.normal(size=shape)) for shape in ((2, 6), (6, 6), (6, 3), (3, 2))
        )
        self.h, self.g = etp.State((3, 2) if turned else (6,)), etp.State((3,))
        self.turned = turned

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        if self.turned:
            h = xp.reshape(xp.permute_dims(h, (1, 0)), (6,))
        new = 0.5 * h + xp.tanh(etp.matmul(x, self.w) + 0.3 * etp.matmul(h, self.u))
        self.h.value = xp.permute_dims(xp.reshape(new, (2, 3)), (1, 0)) if self.turned else new
        self.g.value = 0.8 * self.g.value + etp.matmul(new, self.v)
        return etp.matmul(xp.tanh(self.g.value), self.out)


@pytest.mark.parametrize("rule", ["eprop(0.5)", "ottt(0.5)", "three_factor", "snap(1)", "osttp"])
def test_signals_arrive_at_states_in_whatever_shape_they_are_held(rule: str) -> None:
    found = []
    for turned in (False, True):
        made = etp.compile(Held(turned), rule, "mse", backend="numpy", dtype="float64")
        given = {"modulator": np.linspace(0.5, 1, 5)} if made.options.rule.modulated else {}
        found.append(made.grad(*data(5, 2), **given)[0])
    assert all(np.abs(g).max() > 1e-3 for g in found[0].values())
    for name, want in found[0].items():
        np.testing.assert_allclose(found[1][name], want, rtol=1e-9, atol=1e-12)
