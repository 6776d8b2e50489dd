"""Rules side by side: the numbers of a comparison against trainings done by hand."""

from __future__ import annotations

import json
import re
from itertools import islice
from math import nan

import numpy as np
import pytest

import etp
from etp import tasks
from etp.recipes import recipe
from etp.study import align
from etp.study.compare import Contender, compare, split_rules
from etp.study.compare_result import Mean

SMALL = {"seeds": 2, "updates": 30, "points": 3, "hidden": 8, "batch_size": 16}


@pytest.fixture(scope="module")
def found():
    return compare(["bptt", "rtrl", "d_rtrl", "pp_prop"], "leaky_rnn", "delayed_match", **SMALL)


def test_rules_start_alike_and_learn(found):
    assert len({rule.metric("loss", 0) for rule in found.rules}) == 1
    assert found.updates == [0, 15, 30]
    for rule in found.rules:
        assert rule.refused is None
        assert [run.seed for run in rule.runs] == [0, 1]
        assert all(len(run.losses) == 30 for run in rule.runs)
        assert rule.final().mean < rule.metric("loss", 0).mean
        assert rule.final().count == 2
        assert rule.final().spread > 0
    assert found.chance["loss"] == pytest.approx(np.log(2))


def test_exact_rules_have_the_exact_gradient_and_others_not(found):
    bptt, rtrl, diagonal, product = found.rules
    for rule in (bptt, rtrl):
        assert rule.aligned("deviation").mean < 1e-5
        assert rule.aligned("cosine").mean == pytest.approx(1, abs=1e-6)
    for rule in (diagonal, product):
        assert 0.05 < rule.aligned("deviation").mean < 1
        assert 0 < rule.aligned("cosine").mean < 0.999
        assert rule.aligned("deviation", parameter="readout.weight").mean < 1e-5
    assert bptt.final().mean == pytest.approx(rtrl.final().mean, rel=1e-3)
    assert diagonal.final().mean != pytest.approx(product.final().mean, rel=1e-3)


def test_the_numbers_are_those_of_a_training_by_hand(found):
    """The second seed of D-RTRL, trained and measured again with nothing but learners."""
    task, own = tasks.load("delayed_match"), recipe("leaky_rnn")
    mask = task.mask()

    def learner(rule):
        model = own.build(task.n_in, 8, task.n_out, task.length, 1)
        return etp.compile(model, rule, task.loss, backend="numpy", batch_size=16, seed=1,
                           example=task.example)  # fmt: skip

    rate = own.rate(task.length)
    optimizer = etp.optim.adam(etp.optim.cosine(rate, 30, rate / 10), clip_norm=1.0)
    online, offline = learner("d_rtrl"), learner("bptt")
    batches = tasks.Batches(task.train, mask, 16, 1, 0)
    history = online.fit(
        list(islice(batches, 30)), optimizer, update="sequence", progress=False
    )  # fmt: skip
    run = found.rules[2].runs[1]
    np.testing.assert_allclose(run.losses, history.loss, rtol=1e-5)
    offline.params = online.params
    probe = (*task.test.batch(16), mask)
    want = align(online.grad(*probe)[0], offline.grad(*probe)[0])
    last = run.points[-1]
    assert last.alignment.overall.norm > 1e-4, "nothing to compare"
    assert last.alignment.overall.cosine == pytest.approx(want.overall.cosine, rel=1e-4)
    assert last.alignment.overall.ratio == pytest.approx(want.overall.ratio, rel=1e-4)
    w = "cell.gate.w_rec"
    assert last.alignment.parameters[w].ratio == pytest.approx(want.parameters[w].ratio, rel=1e-4)
    assert last.metrics == pytest.approx(task.score(online.predict(task.test.xs)), rel=1e-4)


class Noisy(etp.Module):
    """A network with dropout and running statistics, both of which `grad` moves on."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.cell = etp.nn.GRUCell(5, 8, rng=rng)
        self.norm = etp.nn.BatchNorm1d(8)
        self.drop = etp.nn.Dropout(0.5)
        self.readout = etp.nn.Linear(8, 2, rng=rng)

    def __call__(self, x):
        return self.readout(self.drop(self.norm(self.cell(x))))


def test_looking_at_a_network_does_not_change_it():
    few, many = (
        compare(["d_rtrl"], Noisy, "sines", **{**SMALL, "updates": 6, "points": points})
        for points in (2, 7)
    )
    assert many.updates == [0, 1, 2, 3, 4, 5, 6]
    for one, other in zip(few.rules[0].runs, many.rules[0].runs, strict=True):
        assert one.losses == other.losses
        assert one.points[-1].metrics == other.points[-1].metrics
    bptt = compare(["bptt"], Noisy, "sines", **{**SMALL, "updates": 4})
    assert bptt.rules[0].aligned("deviation").mean < 1e-5, "the two drew different dropout"


def test_costs_are_those_of_the_report(found):
    diagonal, product = found.rules[2:]
    model = recipe("leaky_rnn").build(2, 8, 2, 10, 0)
    learner = etp.compile(model, "d_rtrl", backend="numpy", batch_size=16,
                          example=tasks.load("delayed_match").example)  # fmt: skip
    report = learner.report()
    assert diagonal.cost.flops == report.flops_per_step
    assert diagonal.cost.trace_bytes == sum(p.trace_bytes for p in report.parameters.values())
    assert 0 < product.cost.trace_bytes < diagonal.cost.trace_bytes
    assert 1e-6 < diagonal.cost.seconds < 1e-1


def test_a_rule_that_refuses_is_a_row_with_its_reason():
    odd = Contender("odd", "bptt", {"scope": "diagonal"})
    found = compare([odd, "d_rtrl"], "lif", "evidence", **{**SMALL, "seeds": 1})
    assert "keeps no traces" in found.rules[0].refused
    assert not found.rules[0].runs
    assert found.rules[1].final().count == 1
    table = found.table()
    assert re.search(r"^odd +refused +-", table, re.M)
    assert "odd: bptt keeps no traces" in table
    assert "odd" in found.to_latex()


def test_a_training_that_diverges_says_so():
    found = compare(["d_rtrl"], "leaky_rnn", "sines", **{**SMALL, "lr": 1e30})
    assert "2 of 2 runs: " in found.rules[0].stopped
    assert len(found.rules[0].runs[0].points) >= 1
    assert "became nan or infinite" in found.table()


@pytest.mark.parametrize("by_keyboard", [False, True])
def test_what_was_measured_before_a_stop_is_kept(by_keyboard):
    def watch(label, seed, done, loss):
        if (label, seed, done) == ("pp_prop", 0, 20):
            if by_keyboard:
                raise KeyboardInterrupt
            return True
        return False

    found = compare(["d_rtrl", "pp_prop", "rtrl"], "leaky_rnn", "evidence", watch=watch, **SMALL)
    assert found.interrupted
    first, second, third = found.rules
    assert len(first.runs[0].losses) == 30
    assert [p.update for p in second.runs[0].points] == [0, 15]
    assert second.final().count == 1
    assert not third.runs
    assert "interrupted: what was measured until then" in found.table()


def test_json_is_whole_and_strict(found):
    data = json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert data["rules"][2]["label"] == "d_rtrl"
    point = data["rules"][2]["runs"][0]["points"][1]
    assert point["alignment"]["parameters"]["cell.gate.w_rec"]["cosine"] == pytest.approx(
        found.rules[2].runs[0].points[1].alignment.parameters["cell.gate.w_rec"].cosine
    )
    assert data["setting"]["updates"] == 30
    assert data["parameters"] == list(found.parameters)


def test_tables_and_picture(found, tmp_path):
    table = found.table()
    assert "leaky_rnn on delayed_match, 2 seeds" in table
    assert re.search(r"^cell.gate.w_rec +d_rtrl +[\d.-]+ x[\d.]+", table, re.M)
    assert not re.search(r"^readout.weight", table, re.M)
    assert max(map(len, table.splitlines())) <= 118
    latex = [line for line in found.to_latex().splitlines() if line.endswith(r"\\")]
    assert len(latex) == 5
    assert {line.count("&") - line.count(r"\&") for line in latex} == {7}
    found.plot(tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_means_leave_out_what_is_no_number():
    assert Mean.of([1.0, nan, 3.0]) == Mean(2.0, pytest.approx(np.sqrt(2)), 2)
    assert Mean.of([5.0]) == Mean(5.0, 0.0, 1)
    assert Mean.of([nan]).count == 0


def test_commas_within_parentheses_part_no_names():
    assert split_rules("a, tbptt(1,10),b") == ["a", "tbptt(1,10)", "b"]
    assert split_rules(" ,") == []


@pytest.mark.parametrize(
    ("rules", "changed", "message"),
    [
        ([], {}, "there are no rules to compare"),
        (["d_rtlr"], {}, "did you mean 'd_rtrl'"),
        (["d_rtrl", "d_rtrl"], {}, "two rules are called 'd_rtrl'"),
        (["d_rtrl"], {"seed": 3}, "no setting 'seed'; did you mean 'seeds'"),
        (["d_rtrl"], {"updates": 0}, "updates 0 is not a whole number of at least 1"),
        (["d_rtrl"], {"points": 1}, "points 1 is not a whole number of at least 2"),
        (["d_rtrl"], {"batch_size": 9999}, "give a batch size from 1 to 1024"),
        (["d_rtrl"], {"loss_steps": 99}, "99 steps cannot carry the loss"),
        (["d_rtrl"], {"update": "stp"}, "update 'stp' is neither"),
    ],
)
def test_mistakes(rules, changed, message):
    with pytest.raises(etp.ETPError, match=re.escape(message)):
        compare(rules, "leaky_rnn", "evidence", **{**SMALL, **changed})


def test_a_function_that_makes_no_model_is_named():
    with pytest.raises(etp.ModelError, match="the model of seed 0 is no etp.Module"):
        compare(["d_rtrl"], lambda seed: seed, "evidence", **SMALL)
