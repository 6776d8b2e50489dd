"""Random models: what is called exact is exact, and nothing crashes.

A failure prints the recipe of the smallest model found; put it into `FOUND` to keep it.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import etp
from tests.compiler.generate import recipes
from tests.compiler.oracles import Probe, check_equal, check_statuses, deviations
from tests.compiler.recipes import Layer, Product, Recipe, Update, build
from tests.models import data

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")

LENGTH, BATCH = 4, 2
X, Y = data(LENGTH, BATCH, seed=5)
SCOPES = ("coupled", "sparse_n(2)", "layered", "full")
# Of a longer search: ETP_DRAWS=210 pytest -m slow, with this file.
BLOCKS, DRAWS = 6, int(os.environ.get("ETP_DRAWS", "20"))
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

# Windows and pairs of schedules that a draw is held against.
WAYS = [(0, "auto", "step"), (1, "step", 3), (2, "auto", "step"), (1, "auto", 2)]
# Models that once had a wrong status or gradient: a weight made by the state; a state that keeps
# nothing; a product that reaches two groups within a step; no relation at all, with a window.
ONE = ("zero",)
FOUND = (
    Recipe((Layer(3, ONE, (Update(0, products=(Product("x", "fast", bias=True),)),)),)),
    Recipe((Layer(3, ONE, (Update(0, None, products=(Product("x"),)),)),)),
    Recipe((
        Layer(3, ONE, (Update(0, products=(Product("x"),)),)),
        Layer(2, ONE, (Update(0, links=("below",)),)),
    )),
    Recipe((Layer(2, ONE, (Update(0, products=(Product("below", "fast"),), squash=False),)),)),
)  # fmt: skip


def probe(recipe: Recipe) -> Probe:
    return Probe(build(recipe), X, Y)


def check(recipe: Recipe, way: int) -> None:
    """Assert what holds for every rule on every model."""
    window, schedule, other = WAYS[way % len(WAYS)]
    p = probe(recipe)
    jobs = [
        ("d_rtrl", window, schedule),
        [("d_rtrl", window, other), ("pp_prop", window % 2, "auto"), ("rtrl", 0, "auto")][way % 3],
    ]
    want: Any = None
    got: dict[tuple[str, int], Any] = {}
    for rule, k, how in jobs:
        what = f"{rule}, window {k}, schedule {how}"
        lr = p.learner(rule, window=k, schedule=how)
        if want is None:
            want, first = p.exact(lr), p.exact(lr, 1)
        grads = p.gradient(lr)
        check_statuses(lr, grads, want, what)
        check_equal(p.gradient(lr, 1), first, 1e-9, f"{what}, one step")
        if (rule, k) in got:
            check_equal(grads, got[rule, k], 1e-9, f"{what} against {schedule}")
        if rule == "rtrl":
            check_equal(grads, want, 1e-8, what)
        got[rule, k] = grads


def block(number: int, draws: int, strategy: Any, test: Any) -> None:
    """Run a property on models drawn from one seed."""
    run = seed(number)(
        settings(
            max_examples=draws, deadline=None, database=None, print_blob=False,
            suppress_health_check=QUIET, phases=[Phase.generate, Phase.shrink],
        )(given(*strategy)(test))
    )  # fmt: skip
    run()


# -- every rule ----------------------------------------------------------------------------
@pytest.mark.parametrize("recipe", FOUND, ids=["fast weight", "no memory", "two groups", "window"])
@pytest.mark.parametrize("way", [0, 4, 5, 7])
def test_models_found_before(recipe: Recipe, way: int) -> None:
    check(recipe, way)


def test_generated_models() -> None:
    block(0, 25, (recipes(), st.integers(0, 11)), check)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, BLOCKS + 1))
def test_many_generated_models(number: int) -> None:
    block(number, DRAWS, (recipes(), st.integers(0, 11)), check)


def test_generated_models_tell_rules_apart() -> None:
    """The models are alive, and of several statuses: nothing above is true by default."""
    statuses: dict[str, int] = {}
    alive, drawn = 0, []

    def collect(recipe: Recipe) -> None:
        drawn.append(recipe)
        lr = probe(recipe).learner("d_rtrl")
        for s in lr.engine.last()[0].statuses(LENGTH, LENGTH).values():
            statuses[s.status] = statuses.get(s.status, 0) + 1

    block(3, 30, (recipes(),), collect)
    for recipe in drawn[:6]:
        p = probe(recipe)
        want = p.exact(p.learner("bptt"))
        alive += max(np.abs(g).max() for g in want.values()) > 1e-3
    assert alive >= 4
    assert min(statuses.get(s, 0) for s in ("exact", "approximate", "direct-only")) > 5, statuses


# -- scopes and tails ----------------------------------------------------------------------
def check_scope(recipe: Recipe, scope: str, tail: str, window: int) -> None:
    """Assert that statuses are true under a scope, and that ``full`` is exact."""
    p = probe(recipe)
    what = f"scope {scope}, tail {tail}, window {window}"
    lr = p.learner("d_rtrl", scope=scope, tail=tail, window=window)
    want = p.exact(lr)
    grads = p.gradient(lr)
    check_statuses(lr, grads, want, what)
    check_equal(p.gradient(lr, 1), p.exact(lr, 1), 1e-9, f"{what}, one step")
    if scope == "full":
        check_equal(grads, want, 1e-8, what)
        called = {s.status for s in lr.engine.last()[0].statuses(LENGTH, LENGTH).values()}
        assert called <= {"exact", "unreachable"}, called


SCOPED = (
    recipes(), st.sampled_from(SCOPES), st.sampled_from(["diagonal", "exact"]), st.integers(0, 1),
)  # fmt: skip


def test_generated_models_under_scopes() -> None:
    block(0, 20, SCOPED, check_scope)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, BLOCKS + 1))
def test_many_generated_models_under_scopes(number: int) -> None:
    block(number, DRAWS, SCOPED, check_scope)


class Stacked(etp.Module):
    """Two recurrent layers without feedback."""

    def __init__(self, kind: Any) -> None:
        rng = np.random.default_rng(0)
        self.first, self.second = kind(2, 3, rng=rng), kind(3, 3, rng=rng)
        self.readout = etp.nn.Linear(3, 2, rng=rng)

    def __call__(self, x: Any) -> Any:
        return self.readout(self.second(self.first(x)))


@pytest.mark.parametrize("kind", [etp.nn.GRUCell, etp.nn.VanillaRNNCell])
@pytest.mark.parametrize("window", [0, 1])
def test_layered_brings_stacked_layers_to_bptt(kind: Any, window: int) -> None:
    """Credit of the first layer for later states of the second; without it, it is lost."""
    p = Probe(Stacked(kind), *data(6, BATCH))
    layered = p.learner("d_rtrl", scope="layered", window=window)
    want = p.exact(layered)
    check_equal(p.gradient(layered), want, 1e-8, "layered")
    status = layered.engine.last()[0].statuses(6, 6)
    assert {s.status for s in status.values()} == {"exact"}
    diagonal = deviations(p.gradient(p.learner("d_rtrl", window=window)), want)
    assert max(d for n, d in diagonal.items() if n.startswith("first")) > 1e-3


TAILED = [
    Recipe((Layer(3, ("zero",), (Update(0, "vector", (), (Product("x", tail=tail),)),)),))
    for tail in ("layer_norm", "softmax", "product", "mean", "gather", "broadcast")
]


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("recipe", TAILED, ids=lambda r: r.layers[0].updates[0].products[0].tail)
def test_an_exact_tail_is_exact(recipe: Recipe, window: int) -> None:
    """A leaky layer whose drive is mixed on its way: exact once every position is followed."""
    p = probe(recipe)
    lr = p.learner("d_rtrl", tail="exact", window=window)
    want = p.exact(lr)
    check_equal(p.gradient(lr), want, 1e-8, "exact tail")
    assert {s.status for s in lr.engine.last()[0].statuses(LENGTH, LENGTH).values()} == {"exact"}
    tail = recipe.layers[0].updates[0].products[0].tail
    if tail in ("layer_norm", "softmax", "product"):
        lost = deviations(p.gradient(p.learner("d_rtrl", window=window)), want)
        assert max(lost.values()) > 1e-4
