"""Every scenario of the catalogue: it compiles, as expected, to true gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import etp
from tests.compiler import (  # noqa: F401  (each enters its models)
    catalogue_compiler,
    catalogue_control,
    catalogue_gradient,
    catalogue_spiking,
    catalogue_weights,
)  # fmt: skip
from tests.compiler.catalogue import CATALOGUE
from tests.compiler.oracles import Probe, check_equal, check_statuses
from tests.models import data

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")

BATCH = 2
JOBS = [("d_rtrl", 0), ("d_rtrl", 1), ("pp_prop", 0), ("pp_prop", 1)]
ACCEPTED = {n: s for n, s in CATALOGUE.items() if not s.refused}
REFUSED = [n for n, s in CATALOGUE.items() if s.refused]


def each(keep: Any = lambda entry: True) -> Any:
    """Return the parametrisation over all models; those not kept are slow."""
    return pytest.mark.parametrize("name", [
        pytest.param(n, marks=pytest.mark.slow if s.slow or not keep(s) else ())
        for n, s in ACCEPTED.items()
    ])  # fmt: skip


every, some = each(), each(lambda entry: entry.quick)


def probe(name: str) -> Probe:
    entry = CATALOGUE[name]
    if entry.missing:
        pytest.skip(f"needs etp.{', etp.'.join(entry.missing)}")
    return _probe(name)


@cache
def _probe(name: str) -> Probe:
    entry = CATALOGUE[name]
    return Probe(entry.build(), *data(entry.length, BATCH, seed=entry.seed + 1))


@cache
def learner(name: str, rule: str, window: int) -> Any:
    return _probe(name).learner(rule, window=window)


@cache
def truth(name: str, steps: int | None = None) -> dict[str, np.ndarray]:
    return _probe(name).exact(learner(name, "d_rtrl", 1), steps)


@every
def test_structure_is_as_stated(name: str) -> None:
    probe(name)
    entry, lr = CATALOGUE[name], learner(name, "d_rtrl", 1)
    groups = [" ".join(g.states) for g in lr.graph.groups]
    assert sorted(groups) == sorted(entry.groups)
    found: dict[str, list[str]] = {}
    for relation in lr.graph.relations:
        found.setdefault(relation.name, []).append(" ".join(relation.group.states))
    assert {n: tuple(g) for n, g in found.items()} == dict(entry.relations)
    assert {n: p.status for n, p in lr.report().parameters.items()} == dict(entry.status)


@every
def test_the_model_is_alive(name: str) -> None:
    p, entry = probe(name), CATALOGUE[name]
    for parameter, g in truth(name).items():
        dead = entry.status[parameter] == "unreachable"
        assert (np.abs(g).max() > 1e-6) != dead, parameter
    if entry.spikes is None:
        return
    state, threshold = entry.spikes
    above = []
    for example in range(BATCH):
        p.model.reset_states()
        for x in p.x[:, example]:
            p.model(x)
            above.append(p.model.named_states()[state].value > threshold)
    assert 0.05 < np.mean(above) < 0.95


@every
def test_one_step_equals_bptt(name: str) -> None:
    p = probe(name)
    for rule, window in JOBS:
        got = p.gradient(learner(name, rule, window), 1)
        check_equal(got, truth(name, 1), 1e-9, f"{rule}, window {window}")


@every
def test_exact_means_equal_to_bptt(name: str) -> None:
    """And a parameter whose gradient differs is not called exact."""
    p = probe(name)
    for rule, window in JOBS:
        lr = learner(name, rule, window)
        check_statuses(lr, p.gradient(lr), truth(name), f"{rule}, window {window}")


@every
def test_what_is_not_exact_differs(name: str) -> None:
    """Statuses are no more pessimistic than the gradient is wrong."""
    p, entry = probe(name), CATALOGUE[name]
    lr = learner(name, "d_rtrl", 1)
    found = check_statuses(lr, p.gradient(lr), truth(name), "d_rtrl")
    for parameter, status in entry.status.items():
        if status in ("approximate", "direct-only"):
            assert found[parameter] > 1e-7, f"{parameter} is {status}, and yet exact"


@some
def test_full_rtrl_equals_bptt(name: str) -> None:
    p = probe(name)
    check_equal(p.gradient(p.learner("rtrl")), truth(name), 1e-8, "rtrl")


@some
def test_everything_followed_equals_bptt(name: str) -> None:
    """The widest scope of a trace rule: exact for every parameter, and called so."""
    p = probe(name)
    lr = p.learner("d_rtrl", scope="full")
    check_equal(p.gradient(lr), truth(name), 1e-8, "scope full")
    assert {s.status for s in lr.report().parameters.values()} <= {"exact", "unreachable"}


@some
def test_the_numpy_backend_agrees(name: str) -> None:
    p = probe(name)
    want = p.gradient(learner(name, "d_rtrl", 1))
    check_equal(p.gradient(p.learner("d_rtrl", window=1, backend="numpy")), want, 1e-11, "numpy")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told(name: str) -> None:
    with pytest.raises(etp.NotSupportedError, match=CATALOGUE[name].refused):
        probe(name).learner("d_rtrl")


@pytest.mark.parametrize("name", ["tanh_rnn", "LifExpCu", "never_assigned", "fused_gates"])
def test_examples_do_not_see_each_other(name: str) -> None:
    """Moving one example leaves the gradient of another, alone in the loss, as it was."""
    p, lr = probe(name), learner(name, "d_rtrl", 1)
    mask = np.zeros((len(p.x), BATCH))
    mask[:, 1] = 1.0
    before = lr.grad(p.x, p.y, mask, reduction="sum")[0]
    moved = p.x.copy()
    moved[:, 0] += 1.0
    after = lr.grad(moved, p.y, mask, reduction="sum")[0]
    assert any(np.abs(g).max() > 1e-3 for g in before.values())
    for parameter, g in before.items():
        np.testing.assert_array_equal(g, after[parameter])
