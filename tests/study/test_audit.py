"""Audits: credit in words, and against gradients taken by hand."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from attrs import evolve

import etp
from etp.study.alignment import alignment
from etp.study.audit import audit
from etp.study.audit_words import in_words, percent
from tests.models import build, data

LENGTH, BATCH = 6, 3


def test_an_audit_holds_what_learners_say() -> None:
    x, y = data(LENGTH, BATCH)
    model = build("gru")
    found = audit(model, "pp_prop", "mse", x, y, options={"window": 0}, title="gru")
    (last,) = found.checkpoints
    grads = [
        etp.compile(model, rule, "mse", backend="numpy", dtype="float64", **given).grad(x, y)[0]
        for rule, given in (("pp_prop", {"window": 0}), ("bptt", {}))
    ]
    for name, a in last.parameters.items():
        want = alignment(grads[0][name], grads[1][name])
        assert a.deviation == pytest.approx(want.deviation, rel=1e-9, abs=1e-12)
    p = found.parameters["cell.n.w_rec"]
    g, r = (np.ravel(grad["cell.n.w_rec"]) for grad in grads)
    assert p.credit == pytest.approx(float(g @ r / (r @ r)))
    assert p.status == "approximate"
    assert found.ok
    assert found.setting == "window 0, scope diagonal, update per sequence"
    assert "gru  pp_prop" in str(found)


def test_a_contradiction_is_told() -> None:
    found = audit(build("gru"), "d_rtrl", "mse", *data(LENGTH, BATCH), lag_examples=0)
    name = "cell.n.w_rec"
    lie = evolve(found.parameters[name], status="exact")
    bad = evolve(found, parameters={**found.parameters, name: lie})
    assert bad.contradictions == (name,)
    assert not bad.ok
    assert f"contradicts {name} is called exact and is not" in str(bad)


def test_the_number_of_checkpoints_does_not_matter() -> None:
    x, y = data(LENGTH, BATCH)
    model = build("rnn")
    start = {n: np.array(p.value) for n, p in model.named_params().items()}
    moved = {n: p * 1.5 for n, p in start.items()}
    both = audit(model, "d_rtrl", "mse", x, y, checkpoints={0: start, 3: moved})
    alone = audit(model, "d_rtrl", "mse", x, y, checkpoints={3: moved})
    assert [c.epoch for c in both.checkpoints] == [0, 3]
    assert both.checkpoints[1].overall == alone.checkpoints[0].overall
    assert both.checkpoints[0].overall != both.checkpoints[1].overall


def one(ratio: float, cosine: float, reference: float = 1.0):
    """Return how an array of a given length and direction stands to a unit vector."""
    r = np.array([reference, 0.0])
    g = ratio * reference * np.array([cosine, np.sqrt(1 - cosine**2)])
    return alignment(g, r)


def test_words() -> None:
    why = "a path is not followed"
    assert in_words("exact", "all is followed", one(1, 1), 1, {}) == "exact: all is followed"
    assert in_words("unreachable", "no path", one(0, 1, 0), 1, {}) == "no gradient: no path"
    assert in_words("direct-only", why, one(0, 1), 1, {}).startswith(f"no credit: {why}")
    text = in_words("approximate", why, one(0.12, 0.3), 1, {})
    assert text == f"little credit: 12% of BPTT's norm, cosine 0.30, because {why}"
    assert in_words("approximate", why, one(6.7, -0.1), 1, {}).startswith("misdirected: 670% of")
    assert in_words("approximate", why, one(1.1, 0.9), 1, {}).startswith("approximate: 110% of")
    assert "off by 50.0%" in in_words("exact", "so", one(0.5, 1), 1, {})
    assert "nothing either" in in_words("approximate", why, one(0, 1, 0), 1, {})
    assert "BPTT gives it little, too: 0.5%" in in_words("approximate", why, one(1, 0.9), 200, {})


def test_how_far_back_credit_reaches_in_words() -> None:
    def reach(*credit: float) -> str:
        lags = {k: one(1, c) for k, c in enumerate(credit)}
        return in_words("approximate", "so", one(0.5, 0.9), 1, lags).partition("; ")[2]

    assert reach(1, 1, 0.5, 0.01, 0.0) == "whole up to one step back, nothing from 3 steps back on"
    assert reach(1, 0.5, 0.4) == "whole for a use in the step of the loss, 40% of the credit " \
                                 "2 steps back"  # fmt: skip
    assert reach(0.9, 0.2) == "20% of the credit one step back"
    assert reach(0.01, 0.0) == "of a loss at the last step nothing"
    assert reach(1, 1) == "of a loss at the last step all is there"


def test_percent() -> None:
    assert [percent(x) for x in (1.0, 0.123, 0.0123, 1e-5)] == ["100%", "12%", "1.2%", "1e-05"]


def test_what_bptt_gives_nothing_has_no_credit() -> None:
    class Still(etp.Module):
        def __init__(self) -> None:
            self.w = etp.Param(np.zeros((2, 3)))
            self.v = etp.Param(np.ones((3, 2)))
            self.h = etp.State((3,))

        def __call__(self, x):
            self.h.value = 0.5 * self.h.value + etp.matmul(x, self.w)
            return etp.xp.matmul(self.h.value, self.v) + etp.xp.sum(x)

    found = audit(Still(), "d_rtrl", "mse", *data(LENGTH, BATCH))
    assert isnan(found.parameters["v"].credit)
    assert "gives it nothing either" in found.parameters["v"].words


def test_a_rule_that_draws_is_audited_in_the_mean() -> None:
    x, y = data(LENGTH, BATCH)
    found = audit(build("leaky"), "uoro", "mse", x, y, lag_examples=0)
    assert "mean of 16 draws" in found.setting
    assert found.parameters["cell.w"].status == "unbiased"
    assert found.parameters["cell.w"].words.startswith(("unbiased: ", "little credit: "))
    one = etp.compile(build("leaky"), "uoro", "mse", backend="numpy", dtype="float64")
    exact = etp.compile(build("leaky"), "bptt", "mse", backend="numpy", dtype="float64")
    alone = alignment(one.grad(x, y)[0]["cell.w"], exact.grad(x, y)[0]["cell.w"])
    assert found.checkpoints[0].parameters["cell.w"].deviation < alone.deviation


def test_modulators_are_those_that_are_given() -> None:
    x, y = data(LENGTH, BATCH)
    m = np.random.default_rng(0).normal(size=(LENGTH, BATCH))
    found = audit(build("leaky"), "three_factor", "mse", x, y, modulator=m, lag_examples=2)
    learner = etp.compile(build("leaky"), "three_factor", "mse", backend="numpy", dtype="float64")
    exact = etp.compile(build("leaky"), "bptt", "mse", backend="numpy", dtype="float64")
    want = alignment(learner.grad(x, y, modulator=m)[0]["cell.w"], exact.grad(x, y)[0]["cell.w"])
    (last,) = found.checkpoints
    assert last.parameters["cell.w"].cosine == pytest.approx(want.cosine, rel=1e-9)
    assert last.lags is not None
    assert "a modulator takes the place" in found.parameters["cell.w"].words
    with pytest.raises(etp.ETPError, match="modulator"):
        audit(build("leaky"), "three_factor", "mse", x, y)


def test_an_interrupt_keeps_what_was_measured() -> None:
    x, y = data(LENGTH, BATCH)
    start = {n: np.array(p.value) for n, p in build("leaky").named_params().items()}

    def heard(what: str) -> None:
        if what == "after 2 epochs":
            raise KeyboardInterrupt

    points = {0: start, 1: start, 2: start}
    found = audit(build("leaky"), "d_rtrl", "mse", x, y, checkpoints=points, lag_examples=0,
                  heard=heard)  # fmt: skip
    assert found.interrupted
    assert [c.epoch for c in found.checkpoints] == [0, 1]
    assert "interrupted: what was measured until then" in str(found)
    with pytest.raises(KeyboardInterrupt):
        audit(build("leaky"), "d_rtrl", "mse", x, y, checkpoints={2: start}, heard=heard)
