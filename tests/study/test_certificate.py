"""Certificates themselves: what they tell, and that they notice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from attrs import evolve, frozen

import etp
from etp.study.certificate import certify
from etp.study.certificate_checks import CHECKS, CONTRADICTS, HOLDS, NOT_ASKED
from etp.study.certificate_subject import subject
from etp.study.latex import tex

FADED = '''
"""D-RTRL with a faster fading past."""

from attrs import frozen

import etp


@frozen
class Faded(etp.rules.TraceRule):
    """Forgets twice as fast."""

    name = "faded"
    factor: float = 0.5

    def advance(self, rel, e):
        return {"e": self.factor * (rel.D @ e["e"]) + rel.u * rel.x}


class Stranger:
    """No rule."""


ALSO = 3
'''


@pytest.fixture
def faded(tmp_path: Path) -> Path:
    path = tmp_path / "faded_rule.py"
    path.write_text(FADED)
    return path


def test_a_certificate_is_complete() -> None:
    c = certify("d_rtrl", models=["leaky", "gru"], with_costs=False)
    assert c.ok
    assert {f.check for f in c.findings} == set(CHECKS)
    assert {f.verdict for f in c.findings} <= {HOLDS, NOT_ASKED}
    leaky, gru = c.models
    assert leaky.count("exact") == len(leaky.parameters) == 4
    assert leaky.overall.deviation < 1e-10
    assert gru.count("exact") == 2
    assert 1e-3 < gru.overall.deviation < 1
    assert gru.parameters["cell.n.w_rec"].status == "approximate"
    assert [s.lag for s in gru.lags.shares] == list(range(8))
    assert gru.lags.shares[1].overall.deviation < 1e-10 < gru.lags.shares[2].overall.deviation
    assert leaky.moments is None


def test_costs_are_measured_as_the_formula_says() -> None:
    c = certify("rtrl", models=["leaky"], checks=[]).costs
    assert c.model == "dense tanh network"
    assert [r.units for r in c.rows] == [8, 16, 32, 64]
    assert all(r.trace_bytes == r.measured_bytes > 0 for r in c.rows)
    assert all(r.seconds > 0 and r.seconds_by_step > 0 for r in c.rows)
    # A state of n units times n (n + m + 1) weights.
    assert [r.trace_bytes for r in c.rows] == [4 * 4 * n * n * (n + 5) for n in (8, 16, 32, 64)]
    assert 2.5 < c.powers["trace_bytes"] < 3


def test_the_json_is_the_certificate() -> None:
    c = certify("pp_prop", models=["rnn"], checks=["alive"], with_costs=False)
    plain = json.loads(c.to_json())
    assert plain["ok"] is True
    assert plain["rule"] == "pp_prop"
    assert plain["models"][0]["overall"]["cosine"] == c.models[0].overall.cosine
    assert plain["models"][0]["lags"]["shares"][2]["overall"]["deviation"] > 1e-3
    assert plain["findings"][0]["verdict"] == "holds"
    # Where the reference is zero there is no cosine, and JSON has no nan.
    assert "NaN" not in c.to_json()


@pytest.mark.parametrize("rule", ["eprop(kappa=0.8)", "eprop(rate=1.0)"])
def test_what_is_no_gradient_of_one_step_is_not_asked(rule: str) -> None:
    c = certify(rule, models=["leaky"], checks=["one_step"], with_costs=False)
    assert c.ok
    assert {f.verdict for f in c.findings} == {"holds", "not asked"}


def test_a_contradiction_says_what_to_look_for() -> None:
    class Half(etp.rules.TraceRule):
        """D-RTRL that says less than it should."""

        name = "half"
        default_window = 0

        def advance(self, rel, e):
            return {"e": rel.D @ e["e"] + 0.5 * (rel.u * rel.x)}

    c = certify(Half, models=["leaky"], checks=["one_step"], with_costs=False)
    assert not c.ok
    assert "one_step: look for a factor" in str(c)
    assert "delayed = True" in str(c)


def test_the_latex_is_a_table() -> None:
    c = certify("pp_prop", models=["leaky", "gru"], checks=[], with_costs=False)
    lines = c.to_latex().splitlines()
    assert lines[0] == r"\begin{table}"
    assert lines[-1] == r"\end{table}"
    assert r"\texttt{pp\_prop}" in c.to_latex()
    rows = [line for line in lines if re.search(r"\\\\(\[-2pt\])?$", line)]
    columns = len(re.search(r"tabular\}\{@\{\}(\w+)@", c.to_latex())[1])
    # The heading, and two lines for each model.
    assert len(rows) == 5
    assert {line.count("&") for line in rows} == {columns - 1}
    assert tex("50 % of a_b & {c}") == r"50 \% of a\_b \& \{c\}"


def test_the_text_says_what_was_found() -> None:
    text = str(certify("d_rtrl", models=["leaky", "rnn"], checks=["alive"], with_costs=False))
    assert re.search(r"element-wise leaky units +4 of 4 +1.000 +equal +equal", text)
    assert re.search(r"dense tanh network +2 of 5 .* none +none", text)
    assert "nothing contradicts (2 findings)" in text


# -- finding the rule -----------------------------------------------------------------------
def test_a_rule_of_a_file_is_certified(faded: Path) -> None:
    c = certify(f"{faded}:Faded", models=["leaky"], with_costs=False)
    assert c.rule == "faded"
    assert c.ok
    assert c.models[0].parameters["cell.w"].status == "approximate"
    again = [f for f in c.findings if f.check == "same_elsewhere"]
    assert [f.verdict for f in again] == [HOLDS]
    # The only rule of a file need not be named.
    assert repr(subject(str(faded)).rule) == "Faded(factor=0.5)"


def test_a_class_or_an_object_is_certified_too(faded: Path) -> None:
    rule = subject(str(faded)).rule
    for given in (rule, type(rule), etp.rules.PPProp(0.5)):
        c = certify(given, models=["leaky"], checks=["same_elsewhere", "alive"], with_costs=False)
        assert [f.verdict for f in c.findings] == [NOT_ASKED, HOLDS]
    assert "decay=0.5" in c.settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.py:Rule", "there is no file nowhere.py"),
        ("{}:Fadde", "has no class 'Fadde'; it defines Faded.*did you mean 'Faded'"),
        ("{}:Stranger", "is a class, and no learning rule; it defines Faded"),
        ("{}:ALSO", "is a int, and no learning rule"),
        ("no.module:Rule", "there is no module 'no.module'"),
        ("d_rtl", "no learning rule 'd_rtl'.*did you mean 'd_rtrl'"),
    ],
)
def test_what_is_no_rule_is_told(faded: Path, given: str, message: str) -> None:
    with pytest.raises(etp.ETPError, match=f"(?s){message}"):
        subject(given.format(faded))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import etp\nx = 1 / 0\n", "ZeroDivisionError.*bad.py:2"),
        ("def f(:\n", "SyntaxError.*bad.py:1"),
        ("x = 1\n", "bad.py does not say which rule: it defines no learning rule"),
        (
            "import etp\nclass A(etp.rules.LearningRule):\n    name = 'a'\n"
            "class B(etp.rules.LearningRule):\n    name = 'b'\n",
            "it defines A, B",
        ),
        (
            "import etp\nfrom attrs import frozen\n@frozen\nclass A(etp.rules.LearningRule):\n"
            "    name = 'a'\n    k: float\n",
            "cannot be made without arguments",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, code: str, message: str
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(code)
    with pytest.raises(etp.ETPError, match=f"(?s){message}"):
        subject(str(path))


def test_an_unknown_model_is_told() -> None:
    with pytest.raises(etp.ETPError, match="no model 'gruu'.*did you mean 'gru'"):
        certify("d_rtrl", models=["gruu"])


def test_a_cell_of_the_library_is_a_model() -> None:
    c = certify("d_rtrl", models=["mgu"], checks=["verdict"], with_costs=False)
    assert c.ok
    assert c.models[0].name == "MGUCell"


def test_contradictions_are_told() -> None:
    found = certify("d_rtrl", models=["gru"], checks=["alive"], with_costs=False)
    lie = evolve(found.findings[0], verdict=CONTRADICTS, text="it is not")
    bad = evolve(found, findings=(lie,))
    assert not bad.ok
    assert "contradicts alive on gru: it is not" in str(bad)
    assert "1 of 1 findings contradict" in str(bad)


# -- noticing -------------------------------------------------------------------------------
def contradicted(rule: etp.rules.LearningRule, model: str = "leaky", **given: object) -> set[str]:
    c = certify(rule, models=[model], with_costs=False, **given)
    assert not c.ok
    return {f.check for f in c.contradictions}


@frozen
class Scaled(etp.rules.TraceRule):
    """D-RTRL, some times over; with a factor of 1 every sentence holds."""

    name = "scaled"
    default_window = 0
    approximation = "the gradient is scaled"
    factor: float = 1.0

    def advance(self, rel, e):
        return {"e": rel.D @ e["e"] + rel.u * rel.x}

    def gradient(self, rel, e, ell):
        return (ell @ e["e"]) * self.factor


def test_a_factor_of_two_is_noticed() -> None:
    assert contradicted(Scaled(2.0)) == {"one_step"}


def test_a_rule_that_is_exact_by_its_numbers_is_called_so() -> None:
    assert certify(Scaled(1.0), models=["leaky"], with_costs=False).ok


def test_a_rule_that_gives_nothing_is_noticed() -> None:
    assert "one_step" in contradicted(Scaled(0.0))


@frozen
class Shifted(etp.rules.TraceRule):
    """D-RTRL with noise of no mean, and some of it too much; without shift it is unbiased."""

    name = "shifted"
    default_window = 0
    unbiased = True
    draws = True
    traces = {"e": etp.rules.PER_WEIGHT, "s": etp.rules.PER_WEIGHT}
    shift: float = 0.0

    def advance(self, rel, e):
        source = rel.u * rel.x
        return {
            "e": rel.D @ e["e"] + source,
            "s": rel.D @ e["s"] + source * rel.signs("").array,
        }

    def gradient(self, rel, e, ell):
        return ell @ e["e"] * (1 + self.shift) + ell @ e["s"]


def test_bias_is_noticed() -> None:
    assert contradicted(Shifted(0.2), checks=["unbiased"]) == {"unbiased"}
    fair = certify(Shifted(0.0), models=["leaky"], checks=["unbiased"], with_costs=False)
    assert fair.ok
    assert fair.models[0].moments.variance > 0.01


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ("e['f']", "asks for the trace 'f'.*broken.py:10"),
        ("rel.D @ e['e'] + rel.u * rel.signs(rel.axes.y)", "leaky: an array over the letters"),
        ("1 / 0", "leaky: ZeroDivisionError.*broken.py:11"),
        ("rel.nothing", "nothing.*broken.py:11"),
    ],
)
def test_an_error_in_a_rule_is_told_with_its_line(tmp_path: Path, trace: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(
        "import etp\nfrom attrs import frozen\n\n@frozen\nclass Broken(etp.rules.TraceRule):\n"
        '    """Breaks."""\n    name = "broken"\n    draws = True\n\n'
        "    def advance(self, rel, e):\n"
        f"        return {{'e': {trace}}}\n"
    )
    told = rf"(?s)Broken.*{message}"
    with pytest.raises(etp.ETPError, match=told):
        certify(str(path))


def test_a_stochastic_rule_is_tested_over_draws() -> None:
    c = certify("uoro", models=["leaky"], checks=["unbiased", "one_step"], with_costs=False)
    (m,) = c.models
    assert c.ok
    assert m.count("unbiased") == 2
    assert m.moments.draws == 1920
    assert m.moments.variance > 0.1
    assert m.moments.score < 5
    assert m.moments.bias < 0.2
    assert "2 of 4, 2 unbiased" in str(c)


@frozen
class Twice(etp.rules.TraceRule):
    """D-RTRL that counts the present step twice, in a trace of the same name."""

    name = "twice"
    default_window = 0

    def advance(self, rel, e):
        return {"e": rel.D @ e["e"] + 2 * (rel.u * rel.x)}


@pytest.mark.parametrize("window", [0, 1])
def test_an_altered_source_is_never_called_exact(window: int) -> None:
    c = certify(Twice(), models=["leaky"], checks=["verdict"], options={"window": window},
                with_costs=False)  # fmt: skip
    assert c.models[0].parameters["cell.w"].status == "approximate"
    assert c.ok
