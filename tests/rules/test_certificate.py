"""Every registered rule is certified: the checks of `etp check`, on the models of `etp check`."""

from __future__ import annotations

import itertools
from functools import cache

import pytest

import etp
from etp.study.certificate import trials
from etp.study.certificate_checks import CHECKS, CONTRADICTS, deviation
from etp.study.certificate_subject import subject
from etp.study.certificate_trial import Trial

RULES = sorted({etp.rules.resolve(name).name for name in etp.rules.available()})
# On this model, by these checks, every rule is certified in the fast set; all else is slow.
QUICK_MODEL = "leaky"
# Of each kind one, for the whole certificate; `etp check` has all.
WHOLE_MODELS = ("lif", "two_layers", "image", "masked")
QUICK_CHECKS = ("alive", "one_step", "batch_is_a_sum", "no_cross_talk", "round_trip")


@cache
def certified(rule: str) -> dict[str, Trial]:
    """Return the trials of a rule, which share one process that compiles again."""
    return {t.sample.name: t for t in trials(subject(rule), None, {})}


def look(rule: str, model: str, checks: tuple[str, ...]) -> None:
    trial = certified(rule)[model]
    if trial.refused is not None:
        assert "\n" not in trial.refused.splitlines()[0]
        pytest.skip(f"{rule} refuses {model}: {trial.refused.splitlines()[0]}")
    found = [f for name in checks for f in CHECKS[name](trial)]
    assert len({f.check for f in found}) == len(checks)
    contradictions = [f for f in found if f.verdict == CONTRADICTS]
    assert not contradictions


@pytest.mark.parametrize("rule", RULES)
def test_the_core_of_the_certificate(rule: str) -> None:
    look(rule, QUICK_MODEL, QUICK_CHECKS)


# The sketch cuts what the present step owes to later layers: its docstring says so.
@pytest.mark.slow
@pytest.mark.parametrize("model", WHOLE_MODELS)
@pytest.mark.parametrize("rule", RULES)
def test_the_whole_certificate(rule: str, model: str) -> None:
    left_out = {"one_step"} if (rule, model) == ("sk_rtrl", "two_layers") else set()
    look(rule, model, tuple(c for c in CHECKS if c not in left_out))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_be_used_on_some_model(rule: str) -> None:
    assert any(t.refused is None for t in certified(rule).values())


# Rules that are one at their defaults, and why.
ALIKE = {
    frozenset({"eprop", "ostl_feedforward"}): "with kappa 0 e-prop is the diagonal trace, read "
    "with the symmetric signal",
    frozenset({"f_bptt", "tbptt"}): "with fixed weights it is the same whether credit of four "
    "steps is handed back at once or as it comes",
}


@pytest.mark.slow
def test_different_rules_are_measurably_different() -> None:
    models = ("gru", "lif", "two_layers")
    grads, exact = {}, set()
    for rule in RULES:
        mine = [certified(rule)[m] for m in models]
        if any(t.refused is not None for t in mine):
            continue
        grads[rule] = [t.found for t in mine]
        if all(p.status == "exact" for t in mine for p in t.report.parameters.values()):
            exact.add(rule)
    assert len(exact) >= 3
    for a, b in itertools.combinations(grads, 2):
        off = max(deviation(x, y) for x, y in zip(grads[a], grads[b], strict=True))
        if {a, b} <= exact or frozenset({a, b}) in ALIKE:
            assert off < 1e-10, (a, b, off)
        else:
            assert off > 1e-4, (a, b, off)
