"""A task's modulator: the loss less that of who knows nothing, taken by hand."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp.recipes import recipe
from etp.study.modulators import supplied
from etp.tasks import load


@pytest.mark.parametrize(("rule", "sign"), [("three_factor", 1), ("r_stdp", -1)])
def test_it_is_the_loss_of_each_step(rule: str, sign: int) -> None:
    task = load("digits")
    xs, ys = task.test.batch(3)

    def learner(rule: object) -> etp.Learner:
        model = recipe("lif").build(task.n_in, 4, task.n_out, task.length, 0)
        return etp.compile(model, rule, task.loss, backend="numpy", dtype="float64", batch_size=3)

    given = learner(rule)
    out = given.predict(xs)
    loss = np.log(np.exp(out).sum(-1)) - np.take_along_axis(out, ys[..., None], -1)[..., 0]
    want = given.grad(xs, ys, modulator=sign * (loss - task.chance["loss"]))[0]
    got = learner(supplied(etp.rules.resolve(rule), task)).grad(xs, ys)[0]
    assert np.abs(want["cell.synapse.w_in"]).max() > 1e-3
    for name, g in want.items():
        np.testing.assert_allclose(got[name], g, rtol=1e-12, atol=1e-14)
