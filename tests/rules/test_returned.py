"""Mistakes in one's own rule: what was declared, what was returned, where, and how to mend it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp.rules import PER_INPUT, PER_RESULT, PER_WEIGHT, TraceRule
from etp.rules.returned import RuleError
from etp.study.certificate_models import Leaky


def rule(returned: Any, name: str | None = "mine", **traces: Any) -> TraceRule:
    """Return a rule whose traces become what a function of the relation and traces says."""

    class Mine(TraceRule):
        def advance(self, rel: Any, e: Any) -> Any:
            return returned(rel, e)

        def gradient(self, rel: Any, e: Any, ell: Any) -> Any:
            return ell @ e[next(iter(self.traces))]

    Mine.traces = traces or {"e": PER_WEIGHT}
    if name is not None:
        Mine.name = name
    return Mine()


def gradient(rule: TraceRule) -> Any:
    """Return the gradient of a small model."""
    model = Leaky(3, np.random.default_rng(0))
    learner = etp.compile(model, rule, "mse", backend="numpy", dtype="float64")
    return learner.grad(np.ones((3, 1, 4)), np.zeros((3, 1, 3)), reduction="sum")[0]


def test_a_rule_as_it_should_be() -> None:
    good = gradient(rule(lambda rel, e: {"e": rel.D @ e["e"] + rel.u * rel.x}))
    model = Leaky(3, np.random.default_rng(0))
    learner = etp.compile(model, "d_rtrl", "mse", backend="numpy", dtype="float64")
    want = learner.grad(np.ones((3, 1, 4)), np.zeros((3, 1, 3)), reduction="sum")[0]
    np.testing.assert_allclose(good["w"], want["w"], rtol=1e-12)
    assert abs(np.asarray(want["w"])).max() > 1e-3


@pytest.mark.parametrize(
    ("returned", "traces", "told"),
    [
        (lambda rel, e: {"q": rel.u * rel.x}, {}, "returns q; traces declares e"),
        (lambda rel, e: {}, {}, "returns nothing; traces declares e"),
        (lambda rel, e: {"e": rel.u * rel.x, "f": rel.u}, {}, "declare f in traces"),
        (
            lambda rel, e: {"e": rel.u * rel.x},
            {"e": PER_WEIGHT, "f": PER_RESULT},
            "return f as well",
        ),
        (lambda rel, e: rel.u, {}, "returns a Vec, and not traces by name"),
        (lambda rel, e: None, {}, "returns None"),
        (lambda rel, e: {"e": 3.0}, {}, "returns a float for the trace 'e'"),
        (lambda rel, e: {"e": rel.u}, {}, "PER_WEIGHT, and advance returns one number for each re"),
        (lambda rel, e: {"e": rel.pre}, {"e": PER_RESULT}, "it lacks the axes of the result"),
        (lambda rel, e: {"e": rel.u}, {"e": PER_INPUT}, "one array for each state"),
        (lambda rel, e: {"e": rel.D @ e["ee"]}, {}, "asks for the trace 'ee', and traces decl"),
        (lambda rel, e: {"e": rel.u * rel.x}, {"e": "per_weight"}, "is declared as 'per_weight'"),
    ],
)
def test_mistakes_say_what_and_where(returned: Any, traces: Any, told: str) -> None:
    with pytest.raises(RuleError) as caught:
        gradient(rule(returned, **traces))
    assert told in str(caught.value)
    assert f"at {__file__}:" in str(caught.value)
    assert isinstance(caught.value, etp.ModelError)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda e, ell: ell * e["e"], "returns one array for each state"),
        (lambda e, ell: 1.0, "returns a float"),
        (lambda e, ell: ell @ e["f"], "asks for the trace 'f'"),
    ],
)
def test_mistakes_of_what_is_read(read: Any, told: str) -> None:
    mine = rule(lambda rel, e: {"e": rel.D @ e["e"] + rel.u * rel.x})
    type(mine).gradient = lambda self, rel, e, ell: read(e, ell)  # type: ignore[method-assign]
    with pytest.raises(RuleError) as caught:
        gradient(mine)
    assert told in str(caught.value)
    assert f"at {__file__}:" in str(caught.value)


def test_a_rule_without_a_name() -> None:
    nameless = rule(lambda rel, e: {"e": rel.u * rel.x}, name=None)
    with pytest.raises(RuleError, match="Mine has no name") as caught:
        gradient(nameless)
    assert "name = 'mine'" in str(caught.value)
    for use in (etp.rules.register, etp.rules.resolve):
        with pytest.raises(RuleError, match="Mine has no name"):
            use(type(nameless))
