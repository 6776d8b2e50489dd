"""A state held in another shape than it is read in: every rule gives what it gave."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from tests.models import data

# What states hold of the units of the first layer, and back: the units from what states hold.
WAYS: dict[str, Any] = {
    "as they are": (lambda n: [n], lambda h: h),
    "turned": (
        lambda n: [xp.permute_dims(xp.reshape(n, (2, 3)), (1, 0))],
        lambda h: xp.reshape(xp.permute_dims(h, (1, 0)), (6,)),
    ),
    "in two": (lambda n: [n[:2], n[2:]], lambda a, b: xp.concat([a, b])),
    "backwards in two": (
        lambda n: [xp.flip(n)[:4], xp.reshape(xp.flip(n)[4:], (1, 2))],
        lambda a, b: xp.flip(xp.concat([a, xp.reshape(b, (2,))])),
    ),
    "by turns": (
        lambda n: [n[::2], n[1::2]],
        lambda a, b: xp.reshape(xp.stack([a, b], axis=1), (6,)),
    ),
    "overlapping": (lambda n: [n[:4], n[2:]], lambda a, b: xp.concat([a, b[2:]])),
}


class Held(etp.Module):
    """Leaky units in two layers; those of the first are held in one way or another."""

    def __init__(self, way: str) -> None:
        rng = np.random.default_rng(0)
        self.w, self.u, self.v, self.out = (
            etp.Param(rng.normal(size=shape)) for shape in ((2, 6), (6, 6), (6, 3), (3, 2))
        )
        self.parts, self.whole = WAYS[way]
        self.held = [etp.State(p.shape) for p in self.parts(np.zeros(6))]
        self.g = etp.State((3,))

    def __call__(self, x: Any) -> Any:
        h = self.whole(*(s.value for s in self.held))
        new = 0.5 * h + xp.tanh(etp.matmul(x, self.w) + 0.3 * etp.matmul(h, self.u))
        for state, part in zip(self.held, self.parts(new), strict=True):
            state.value = part
        self.g.value = 0.8 * self.g.value + etp.matmul(new, self.v)
        return etp.matmul(xp.tanh(self.g.value), self.out)


class Joined(etp.Module):
    """Two layers that one state holds, read as they are computed or from the state."""

    def __init__(self, read: bool) -> None:
        rng = np.random.default_rng(0)
        self.w, self.u, self.v, self.out = (
            etp.Param(rng.normal(size=shape)) for shape in ((2, 3), (6, 3), (2, 3), (6, 2))
        )
        self.h, self.read = etp.State((6,)), read

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        p = 0.5 * h[:3] + etp.matmul(x, self.w)
        if not self.read:
            p_read = xp.tanh(p)
        q = 0.8 * h[3:] + etp.matmul(xp.tanh(h), self.u) + etp.matmul(x, self.v)
        self.h.value = xp.concat([p, q])
        if self.read:
            p_read, q = xp.tanh(self.h.value[:3]), self.h.value[3:]
        return etp.matmul(xp.concat([p_read, xp.tanh(q)]), self.out)


@cache
def gradient(kind: Any, way: Any, rule: str) -> dict[str, np.ndarray]:
    made = etp.compile(kind(way), rule, "mse", backend="numpy", dtype="float64")
    given = {"modulator": np.linspace(0.5, 1, 5)} if made.options.rule.modulated else {}
    found: dict[str, np.ndarray] = made.grad(*data(5, 2), **given)[0]
    assert all(np.abs(g).max() > 1e-3 for g in found.values())
    return found


def same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-9, atol=1e-12)


TURNED = [("turned", rule) for rule in ("eprop(0.5)", "ottt(0.5)", "three_factor", "snap(1)")]
PARTS = [(way, rule) for way in list(WAYS)[2:] for rule in ("ottt(0.5)", "eprop(0.5)")]


@pytest.mark.parametrize(("way", "rule"), [*TURNED, ("turned", "osttp"), *PARTS])
def test_signals_arrive_at_states_in_whatever_shape_they_are_held(way: str, rule: str) -> None:
    same(gradient(Held, way, rule), gradient(Held, "as they are", rule))


@pytest.mark.parametrize("rule", ["eprop(0.5)", "ottt(0.5)"])
def test_signals_arrive_at_units_that_one_state_holds_together(rule: str) -> None:
    same(gradient(Joined, True, rule), gradient(Joined, False, rule))


class Recorded(Held):
    """The units of the first layer are written down besides, where nothing reads them."""

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.parts, parts = (lambda n: [xp.reshape(n, (3, 2)), *parts(n)]), self.parts
        self.whole, whole = (lambda _, *held: whole(*held)), self.whole
        self.held = [etp.State((3, 2)), *self.held]


@pytest.mark.parametrize("rule", ["eprop(0.5)", "ottt(0.5)"])
def test_signals_do_not_arrive_at_what_is_only_written_down(rule: str) -> None:
    same(gradient(Recorded, "turned", rule), gradient(Held, "as they are", rule))


class HeardByTwo(etp.Module):
    """One product drives two layers, and the first drives the second within the step."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w, self.v, self.out = (
            etp.Param(rng.normal(size=shape)) for shape in ((2, 4), (4, 4), (4, 2))
        )
        self.a, self.b = etp.State((4,)), etp.State((4,))

    def __call__(self, x: Any) -> Any:
        y = etp.matmul(x, self.w)
        self.a.value = 0.9 * self.a.value + xp.tanh(y)
        self.b.value = 0.8 * self.b.value + xp.tanh(y + etp.matmul(self.a.value, self.v))
        return etp.matmul(self.b.value, self.out)


def test_layers_that_hear_one_product_are_two_layers() -> None:
    """What the first owes to the second is not lost because one product leads to both."""
    x, y = data(6, 2, seed=1)

    def gradient(rule: str, **options: Any) -> np.ndarray:
        lr = etp.compile(
            HeardByTwo(), rule, "mse", backend="numpy", dtype="float64", batch_size=2, **options
        )
        return np.asarray(lr.grad(x, y)[0]["w"])

    found, exact = gradient("d_rtrl", window=1), gradient("bptt")
    assert np.abs(found - exact).max() > 1e-2
    np.testing.assert_allclose(gradient("d_rtrl", window=0), found, rtol=1e-9)
    np.testing.assert_allclose(gradient("d_rtrl", window=0, scope="layered"), exact, rtol=1e-9)
