"""The way from a weight to a state: rearrangements are followed, mixing is cut or kept exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from etp.oracle import unrolled_gradient
from tests.models import data
from tests.rules.test_battery import check_close, deviation, square

N_IN, N, LENGTH, BATCH = 2, 4, 5, 2


class Tailed(etp.Module):
    """A leaky state driven by a product through a tail, and a readout."""

    def __init__(self, tail: Callable[[Any, Any], Any], width: int = N) -> None:
        rng = np.random.default_rng(3)
        self.w = etp.Param(rng.normal(size=(N_IN, width)))
        self.v = etp.Param(rng.normal(size=(N, N)))
        self.out = etp.Param(rng.normal(size=(N, 2)))
        self.h = etp.State((N,))
        self.tail = tail

    def __call__(self, x: Any) -> Any:
        y = etp.matmul(x, self.w)
        self.h.value = 0.7 * self.h.value + xp.tanh(self.tail(y, self))
        return etp.matmul(self.h.value, self.out) + 0.0 * xp.sum(self.v)


REARRANGED: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "slice": (lambda y, m: y[1:-1], N + 2),
    "split": (lambda y, m: xp.sigmoid(xp.split(y, 2)[0]) * xp.split(y, 2)[1], 2 * N),
    "concat": (lambda y, m: xp.concat([y[2:], y[:2]]), N),
    "reshape": (lambda y, m: xp.reshape(xp.reshape(y, (2, 2)), (N,)), N),
    "permute": (lambda y, m: xp.reshape(xp.permute_dims(xp.reshape(y, (2, 2)), (1, 0)), (N,)), N),
    "roll": (lambda y, m: xp.roll(y, 1), N),
    "flip": (lambda y, m: xp.flip(y), N),
    "gather": (lambda y, m: xp.take(y, np.array([3, 0, 2, 1])), N),
    "gather_some": (lambda y, m: xp.take(y, np.array([5, 1, 0, 3])), N + 2),
}
MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "layer_norm": lambda y, m: (y - xp.mean(y)) / xp.sqrt(xp.mean((y - xp.mean(y)) ** 2) + 0.1),
    "softmax": lambda y, m: 3 * xp.exp(y) / xp.sum(xp.exp(y)),
    "pooling": lambda y, m: y + xp.mean(y),
    "product": lambda y, m: etp.matmul(xp.tanh(y), m.v),
    "gather_twice": lambda y, m: xp.take(y, np.array([0, 0, 1, 3])),
    "broadcast": lambda y, m: y[0] + 0.5 * y,
}


def compiled(model: etp.Module, rule: str = "d_rtrl", **options: Any) -> etp.Learner:
    x, y = data(1, 1)
    return etp.compile(
        model, rule, square, backend="numpy", dtype="float64", example=(x[0, 0], y[0, 0]),
        length=LENGTH, **options,
    )  # fmt: skip


def both(
    model: etp.Module, length: int = LENGTH, **options: Any
) -> tuple[etp.Learner, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return a learner, its gradient, and that of unrolled back-propagation."""
    lr = compiled(model, **options)
    x, y = data(length, BATCH)
    found = lr.engine.last()[0]
    arrays = {**found.step.params, **found.step.states, **found.loss.constants}
    want = unrolled_gradient(
        found.loss.program, arrays, {"x": x, "target": y}, np.ones((length, BATCH))
    )
    return lr, lr.grad(x, y, reduction="sum")[0], want


@pytest.mark.parametrize("name", REARRANGED)
def test_rearrangements_are_followed(name: str) -> None:
    tail, width = REARRANGED[name]
    lr, got, want = both(Tailed(tail, width))
    assert lr.report().parameters["w"].status == "exact"
    assert np.abs(want["w"]).max() > 1e-2
    check_close(got, want, 1e-9)


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("name", MIXED)
def test_mixing_is_cut_and_said_or_kept_exactly(name: str, window: int) -> None:
    lr, got, want = both(Tailed(MIXED[name]), window=window)
    assert lr.report().parameters["w"].status in ("approximate", "direct-only")
    assert deviation(got, want)["w"] > 1e-3
    for schedule in ("step", "auto", 2):
        lr, got, want = both(Tailed(MIXED[name]), window=window, tail="exact", schedule=schedule)
        assert lr.report().parameters["w"].status == "exact"
        check_close(got, want, 1e-9)


@pytest.mark.parametrize("name", [*REARRANGED, *MIXED])
@pytest.mark.parametrize("tail", ["diagonal", "exact"])
def test_one_step_is_exact_with_any_tail(name: str, tail: str) -> None:
    made, width = REARRANGED.get(name) or (MIXED[name], N)
    for rule in ("d_rtrl", "pp_prop"):
        for window in (0, 1):
            _, got, want = both(Tailed(made, width), 1, rule=rule, window=window, tail=tail)
            check_close(got, want, 1e-9)


class Scalar(etp.Module):
    """A trained scalar that acts on every unit: its mark stands before the broadcast."""

    def __init__(self, expression: Callable[[Any], Any]) -> None:
        rng = np.random.default_rng(3)
        self.w = etp.Param(rng.normal(size=(N_IN, 2)))
        self.a = etp.Param(np.array(0.3))
        self.h = etp.State((2,))
        self.expression = expression

    def __call__(self, x: Any) -> Any:
        self.h.value = self.expression(self.a) * self.h.value + xp.tanh(etp.matmul(x, self.w))
        return self.h.value


@pytest.mark.parametrize(
    "expression",
    [
        etp.element_wise, lambda a: xp.sigmoid(etp.element_wise(a)),
        lambda a: etp.element_wise(a, xp.sigmoid),
        lambda a: etp.element_wise(xp.broadcast_to(a, (2,))) * 0.5,
    ],
)  # fmt: skip
def test_a_trained_scalar_acts_on_all_units(expression: Callable[[Any], Any]) -> None:
    lr, got, want = both(Scalar(expression))
    assert lr.report().parameters["a"].status == "exact"
    assert abs(float(want["a"])) > 1e-2
    check_close(got, want, 1e-9)


class Moving(etp.Module):
    """A state whose positions move from step to step."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.w = etp.Param(rng.normal(size=(N_IN, N)))
        self.out = etp.Param(rng.normal(size=(N, 2)))
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.9 * xp.roll(self.h.value, 1) + xp.tanh(etp.matmul(x, self.w))
        return etp.matmul(self.h.value, self.out)


class Fast(etp.Module):
    """A weight that depends on the state."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.w = etp.Param(rng.normal(size=(N_IN, 2)))
        self.u = etp.Param(rng.normal(size=(N_IN, 2)))
        self.h = etp.State((2,))

    def __call__(self, x: Any) -> Any:
        fast = self.u * xp.tanh(self.h.value[0])
        self.h.value = 0.5 * self.h.value + xp.tanh(etp.matmul(x, self.w) + etp.matmul(x, fast))
        return self.h.value


@pytest.mark.parametrize("make", [Moving, Fast])
def test_what_does_not_stay_in_place_is_never_called_exact(make: Callable[[], etp.Module]) -> None:
    lr, got, want = both(make())
    worst = deviation(got, want)
    assert worst["w"] > 1e-4
    assert lr.report().parameters["w"].status == "approximate"
    for scope in ("layered", "full", "sparse_n(6)"):
        lr, got, want = both(make(), scope=scope)
        if scope != "sparse_n(6)" or make is Moving:
            assert lr.report().parameters["w"].status == "exact"
            check_close(got, want, 1e-9)


class Expressed(etp.Module):
    """A weight that is an expression of a parameter."""

    def __init__(self, expression: Callable[[Any], Any]) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(N_IN, 2)))
        self.h = etp.State((2,))
        self.expression = expression

    def __call__(self, x: Any) -> Any:
        weight = self.expression(self.w)
        self.h.value = 0.7 * self.h.value + xp.tanh(etp.matmul(x, weight))
        return self.h.value


def _leaky(u: Any) -> Any:
    return xp.where(u > 0, u, 0.1 * u)


@pytest.mark.parametrize(
    "expression",
    [
        _leaky, lambda w: _leaky(etp.element_wise(w)), lambda w: w * xp.sign(w),
        lambda w: w * xp.round(w), lambda w: w - etp.stop_gradient(xp.mean(w)),
        lambda w: etp.stop_gradient(w) * 2 + w, lambda w: xp.abs(w) * xp.astype(w > 0, w.dtype),
        lambda w: etp.cond(xp.sum(w) > 0, lambda: 2 * w, lambda: w * w),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["diagonal", "layered", "full"])
def test_parts_of_a_weight_without_derivative(scope: str, expression: Any) -> None:
    lr, got, want = both(Expressed(expression), scope=scope)
    assert lr.report().parameters["w"].status == "exact"
    check_close(got, want, 1e-12)
    _, got, want = both(Expressed(expression), 1, rule="pp_prop", window=0, scope=scope)
    check_close(got, want, 1e-12)


class Constant(etp.Module):
    """Products without data: of a constant, of two parameters, and of one that is a weight."""

    def __init__(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(N_IN, 2)))
        self.a = etp.Param(rng.normal(size=(N_IN, N_IN)))
        self.ones = np.ones(N_IN)
        self.h = etp.State((2,))
        self.kind = kind

    def __call__(self, x: Any) -> Any:
        if self.kind == "constant":
            drive = etp.matmul(self.ones, self.w) * x[0] + xp.sum(etp.matmul(x, self.a))
        elif self.kind == "both":
            drive = etp.matmul(self.a[0], self.w) * x[0]
        else:
            drive = etp.matmul(x, etp.matmul(self.a, self.w))
        self.h.value = 0.7 * self.h.value + xp.tanh(drive)
        return self.h.value


@pytest.mark.parametrize("scope", ["diagonal", "layered", "full"])
@pytest.mark.parametrize("kind", ["constant", "both", "weight"])
def test_products_without_data_count_once(kind: str, scope: str) -> None:
    for schedule in ("step", "auto", 2):
        lr, got, want = both(Constant(kind), scope=scope, schedule=schedule)
        assert lr.report().parameters["w"].status == "exact"
        assert np.abs(want["w"]).max() > 1e-2
        assert deviation(got, want)["w"] < 1e-12
        if scope == "full":
            check_close(got, want, 1e-12)


class Line(etp.Module):
    """A delay line: it acts on a state that the step computes before it, and nothing feeds back."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(N_IN, 2)))
        self.h = etp.State((2,))
        self.kept = etp.State((3, 2))

    def __call__(self, x: Any) -> Any:
        kept = self.kept.value
        self.h.value = 0.6 * self.h.value + xp.sin(kept[-1])
        new = xp.reshape(xp.tanh(etp.matmul(x, self.w)), (1, 2))
        self.kept.value = xp.concat([new, kept[:-1]], axis=0)
        return self.h.value


class Neighbours(etp.Module):
    """A leak, and a little of the neighbour."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(N_IN, N)))
        self.out = etp.Param(rng.normal(size=(N, 2)))
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        h = xp.tanh(self.h.value)
        self.h.value = 0.9 * h + 0.1 * xp.roll(h, 1) + etp.matmul(x, self.w)
        return etp.matmul(self.h.value, self.out)


def test_layered_keeps_what_does_not_feed_back() -> None:
    lr, got, want = both(Line(), scope="layered")
    assert lr.report().parameters["w"].status == "exact"
    check_close(got, want, 1e-12)


def test_a_leak_stays_beside_a_rearrangement() -> None:
    lr, got, want = both(Neighbours())
    assert lr.report().parameters["w"].status == "approximate"
    kept = deviation(got, want)["w"]
    assert 1e-3 < kept < 0.2
    (relation,) = (r for r in lr.graph.relations if r.name == "w")
    assert relation.edges == {("h", "h"): "wise"}


class Delays(etp.Module):
    """States that keep an old value, and states that leave the step twice."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(N_IN, 2)))
        self.a = etp.Param(rng.normal(size=2))
        self.before = etp.State((2,))
        self.twin = etp.State((2,))
        self.h = etp.State((2,))

    def __call__(self, x: Any) -> Any:
        self.before.value = self.h.value
        both = self.before.value * self.twin.value
        decay = etp.element_wise(self.a, xp.sigmoid)
        self.h.value = decay * self.h.value + xp.tanh(etp.matmul(x, self.w)) + 0.3 * both
        self.twin.value = self.h.value
        return self.h.value + 0.7 * self.before.value + xp.tanh(self.twin.value)


@pytest.mark.parametrize("scope", ["diagonal", "coupled", "full"])
@pytest.mark.parametrize("window", [0, 1, 2])
def test_values_that_enter_or_leave_twice_count_once(window: int, scope: str) -> None:
    for schedule in ("step", "auto", 2):
        lr, got, want = both(Delays(), window=window, scope=scope, schedule=schedule)
        assert {p.status for p in lr.report().parameters.values()} == {"exact"}
        check_close(got, want, 1e-12)


class Ring(etp.Module):
    """Recurrent weights of a sparse mask: a ring."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.w = etp.Param(rng.normal(size=(N_IN, 5)))
        self.r = etp.Param(rng.normal(size=(5, 5)))
        self.mask = np.roll(np.eye(5), 1, axis=1) + np.eye(5)
        self.out = etp.Param(rng.normal(size=(5, 2)))
        self.h = etp.State((5,))

    def __call__(self, x: Any) -> Any:
        drive = etp.matmul(x, self.w) + etp.matmul(self.h.value, self.mask * self.r)
        self.h.value = 0.5 * self.h.value + xp.tanh(drive)
        return etp.matmul(self.h.value, self.out)


def test_hops_along_a_ring() -> None:
    """More hops come closer, and as many as the ring has neurons are all there is."""
    found = []
    for n in (1, 2, 3, 4, 5):
        lr, got, want = both(Ring(), scope=f"sparse_n({n})", window=0)
        found.append(deviation(got, want)["r"])
        report = lr.report()
        assert report.parameters["r"].status == ("exact" if n == 5 else "approximate")
        (place,) = lr.graph.relations[0].places.values()
        assert place.width == n
    assert found == sorted(found, reverse=True)
    assert found[0] > 10 * found[2] > 0
    assert found[-1] < 1e-12
