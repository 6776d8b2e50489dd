"""What every task promises, and that each of the drawn ones asks what it says."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import etp
from etp import tasks
from etp.recipes import recipe

DRAWN = ["copy_memory", "delayed_match", "evidence", "sines"]


@pytest.mark.parametrize("name", tasks.available())
def test_a_task_says_what_it_is(name):
    task = tasks.load(name)
    assert task.name == name
    for split in (task.train, task.test):
        xs, ys = split.batch()
        assert xs.shape == (task.length, len(split), task.n_in)
        assert ys.shape[:2] == xs.shape[:2]
        assert np.isfinite(xs).all()
        judged = ys[-task.judged :]
        if task.classes:
            assert set(np.unique(judged)) == set(range(task.n_out))
        else:
            assert judged.shape[2:] == (task.n_out,)
    assert task.mask().sum() == task.judged
    loss, floor = task.chance["loss"], 0.9 * np.log(task.n_out) if task.classes else 0.99
    assert loss > floor
    assert ("accuracy" in task.chance) == task.classes


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_draws_the_same_task(name):
    one, same, other = (tasks.load(name, seed=s) for s in (3, 3, 4))
    assert np.array_equal(one.train.xs, same.train.xs)
    assert np.array_equal(one.train.ys, same.train.ys)
    assert not np.array_equal(one.train.xs, other.train.xs)
    assert not np.array_equal(one.train.xs[:, :64], one.test.xs[:, :64])
    fewer = tasks.load(name, seed=3, train=40)
    assert np.array_equal(one.test.xs, fewer.test.xs)
    assert len(fewer.train) == 40


def test_copy_memory_asks_for_what_was_shown():
    task = tasks.copy_memory(symbols=4, items=3, delay=2)
    xs, ys = task.train.batch()
    assert (task.length, task.n_in) == (8, 5)
    assert np.array_equal(ys[-3:], xs[:3].argmax(axis=2))
    assert (xs[:3].sum(axis=2) == 1).all()
    assert not xs[3:5].any()
    assert (ys[:-3] == -1).all()
    assert np.array_equal(xs[..., -1].any(axis=1), [False] * 5 + [True] * 3)


def test_delayed_match_cannot_be_told_from_one_stimulus():
    task = tasks.delayed_match(stimuli=3, shown=1, delay=2, answer=1, train=6000)
    xs, ys = task.train.batch()
    sample, second = xs[0].argmax(axis=1), xs[3].argmax(axis=1)
    assert np.array_equal(ys[-1] == 1, sample == second)
    assert ys[-1].mean() == 0.5
    for stimulus in (sample, second):
        for k in range(3):
            assert abs(ys[-1][stimulus == k].mean() - 0.5) < 0.04


def test_evidence_asks_for_the_richer_side():
    task = tasks.evidence(cues=7, gap=0, delay=1, answer=1)
    xs, ys = task.train.batch()
    left, right = xs[:7, :, 0].sum(axis=0), xs[:7, :, 1].sum(axis=0)
    assert (left + right == 7).all()
    assert np.array_equal(ys[-1] == 1, right > left)
    assert (np.abs(right - left) < 7).mean() > 0.5, "one cue would do"


def test_sines_are_sines():
    task = tasks.sines(length=40)
    curve = task.train.ys[:, 0]
    assert np.array_equal(task.train.ys[:, 1], curve)
    power = np.abs(np.fft.rfft(curve, axis=0)) ** 2
    kept = [1, 2, 3, 5]
    assert power[kept].sum() == pytest.approx(power.sum(), rel=1e-6)
    np.testing.assert_allclose(curve.std(axis=0), 1, rtol=1e-5)
    assert task.chance["loss"] == pytest.approx(1)
    assert task.chance.keys() == {"loss"}


def test_chance_is_the_best_constant_answer():
    task = tasks.evidence()
    right = float((task.test.ys[-1] == 1).mean())
    want = -(right * np.log(right) + (1 - right) * np.log(1 - right))
    assert task.chance["loss"] == pytest.approx(want)
    assert task.chance["accuracy"] == pytest.approx(max(right, 1 - right))


def test_a_sequence_is_judged_by_its_last_steps():
    task = tasks.copy_memory()
    right = 50.0 * np.eye(3)[np.maximum(task.test.ys, 0)]
    right[: -task.judged] = 0
    assert task.score(right) == pytest.approx({"loss": 0, "accuracy": 1}, abs=1e-12)
    right[-1] = -right[-1]
    assert task.score(right)["accuracy"] == pytest.approx(0.5)


@pytest.mark.parametrize("name", [*DRAWN, "digits"])
def test_a_small_network_learns_it(name):
    """Twice as good as knowing nothing, in a second or two, by back-propagation."""
    task, own = tasks.load(name), recipe("leaky_rnn")
    model = own.build(task.n_in, 32, task.n_out, task.length, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        learner = etp.compile(model, "bptt", task.loss, backend="numpy", batch_size=32)
        for epoch in range(max(6, 200 * 32 // len(task.train))):
            batches = tasks.Batches(task.train, task.mask(own.loss_steps(task)), 32, 0, epoch)
            learner.fit(batches, etp.optim.adam(5e-3), update="sequence", progress=False)
    assert task.score(learner.predict(task.test.xs))["loss"] < 0.5 * task.chance["loss"]


def test_names_and_settings():
    assert tasks.load("Copy-Memory").name == "copy_memory"
    assert tasks.load("digits", "pixel").title == "digits by pixel"
    assert tasks.load("sines").title == "sines"


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("sine",), {}, "did you mean 'sines'"),
        (("sines", "row"), {}, "sines is read in one way only"),
        (("sines",), {"lenght": 9}, "sines has no setting 'lenght'; did you mean 'length'"),
        (("sines",), {"length": 9}, "sines: length is 9; give at least 10"),
        (("evidence",), {"cues": 4}, "remainder of cues divided by 2 is 0; give at least 1"),
        (("copy_memory",), {"test": 0}, "copy_memory: test is 0; give at least 1"),
        (("delayed_match",), {"stimuli": 1}, "stimuli is 1; give at least 2"),
    ],
)
def test_mistakes(arguments, settings, message):
    with pytest.raises(tasks.TaskError, match=message):
        tasks.load(*arguments, **settings)


def test_steps_without_a_target_cannot_carry_the_loss():
    with pytest.raises(tasks.TaskError, match="3 steps cannot carry the loss; give 1 to 2"):
        tasks.load("copy_memory").mask(3)
