"""Any learning rule hears any signal, and is written as it can be typed."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import numpy as np
import pytest

import etp
from etp import rules, signals
from etp.compiler.step_view import ModelView
from etp.rules import TraceRule
from etp.signals.words import snake, words
from tests.models import build
from tests.rules.test_truncated import Early

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")

DRAWN = np.random.default_rng(3)
X, Y = DRAWN.normal(size=(6, 2, 3)), DRAWN.normal(size=(6, 2, 2))
WEIGHT = "layers.0.synapse.w_in"
NAMES = {**vars(signals), **{kind.__name__: kind for kind in rules.registered().values()}}
# Those that hear any signal, and heard, as published, the derivative of the loss.
TRUE = [
    n for n, kind in rules.registered().items()
    if "feedback" in {f.alias for f in attrs.fields(kind)} and kind().signal.symmetric
]  # fmt: skip


def learner(rule: Any, **options: Any) -> etp.Learner:
    rng = np.random.default_rng(0)
    model = etp.nn.Sequential(etp.nn.LIFCell(3, 8, rng=rng), etp.nn.Linear(8, 2, rng=rng))
    return etp.compile(
        model, rule, "mse", backend="numpy", dtype="float64", length=6, batch_size=2,
        example=(X[0, 0], Y[0, 0]), **options,
    )  # fmt: skip


def gradient(rule: Any, **options: Any) -> np.ndarray:
    return np.asarray(learner(rule, **options).grad(X, Y)[0][WEIGHT])


# -- words ----------------------------------------------------------------------------------
def test_every_signal_has_its_name_as_a_word() -> None:
    kinds = [
        x for n in signals.__all__
        if isinstance(x := getattr(signals, n), type) and issubclass(x, signals.Signal)
        and x is not signals.Signal
    ]  # fmt: skip
    assert len(kinds) >= 14
    assert {words()[snake(kind)] for kind in kinds} == set(kinds) == set(words().values())


@pytest.mark.parametrize(("word", "signal"), [
    ("sign_matched", signals.SignMatched()), ("sign", signals.SignMatched()),
    ("direct_random", signals.DirectRandom()), ("direct", signals.DirectRandom()),
    ("direct-target", signals.DirectTarget()), ("local readout", signals.LocalReadout()),
    ("TD", signals.TD()), ("van_rossum", signals.VanRossum()),
    ("feedback_alignment", signals.Random()), ("cell_types", signals.CellTypes()),
])  # fmt: skip
def test_words(word: str, signal: Any) -> None:
    assert signals.as_signal(word) == signal
    assert type(etp.D_RTRL(feedback=word).signal) is type(signal)


def test_a_bootstrapped_signal_has_two_words() -> None:
    for word in ("bootstrapped", "synthetic_gradient"):
        assert isinstance(signals.as_signal(word), signals.SyntheticGradient)


@pytest.mark.parametrize(("given", "text"), [
    ("mean_slopes", r"needs leak[\s\S]*etp.signals.MeanSlopes\(...\)"),
    ("van_rosum", "did you mean 'van_rossum'"),
    (signals.Random, r"a class of signals[\s\S]*Random\(...\)"),
    (3, "no learning signal"),
])  # fmt: skip
def test_mistakes(given: Any, text: str) -> None:
    with pytest.raises(etp.ETPError, match=text):
        signals.as_signal(given)


# -- any rule, any signal -------------------------------------------------------------------
@pytest.mark.parametrize("name", TRUE)
def test_a_rule_hears_the_signal_it_is_given(name: str) -> None:
    kind: Any = rules.registered()[name]
    rule = kind(feedback="random")
    assert rule.signal == signals.Random()
    assert rule.default_window == 0
    assert kind() == rules.resolve(name) != rule
    heard, true = gradient(rule), gradient(name, window=0)
    assert np.abs(heard).max() > 1e-4
    assert np.abs(heard - true).max() > 1e-4
    if rule.point is not None:
        np.testing.assert_allclose(heard, gradient(rule.config()), rtol=1e-12)


def test_a_signal_of_its_own_is_heard_by_default() -> None:
    class Own(TraceRule):
        name = "own"
        signal = signals.Random()

        def advance(self, rel: Any, e: Any) -> Any:
            return {"e": rel.D @ e["e"] + rel.u * rel.x}

    np.testing.assert_allclose(gradient(Own()), gradient(etp.D_RTRL(feedback="random")))
    assert repr(Own()).startswith("<")


# -- rules on the whole step, against those on its relations ----------------------------------
RANDOM = rules.RTRL(feedback="random")
XS, YS = DRAWN.normal(size=(7, 2, 2)), DRAWN.normal(size=(7, 2, 2))


def whole(
    model: str, rule: Any, length: int = 7, size: int = 2
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the gradients of the weights that reach a state, of a model without spikes."""
    net = Early(np.random.default_rng(0)) if model == "early" else build(model)
    made = etp.compile(
        net, rule, "mse", backend="numpy", dtype="float64", length=length, window=0,
        example=(XS[0, 0], YS[0, 0]),
    )  # fmt: skip
    reached = ModelView(made.engine.last()[0].structure).params
    found = made.grad(XS[:length, :size], YS[:length, :size])[0]
    return {n: np.asarray(found[n]) for n in reached}


@pytest.mark.parametrize("model", ["gru", "early"])
@pytest.mark.parametrize("rule", [
    rules.TBPTT(1, 7, feedback="random"), rules.TBPTT(3, 9, feedback="random"),
    rules.FBPTT(7, feedback="random"),
])  # fmt: skip
def test_what_goes_back_far_enough_hears_what_rtrl_hears(model: str, rule: Any) -> None:
    same(whole(model, rule), whole(model, RANDOM), whole(model, "rtrl"))


def test_a_forward_gradient_is_what_rtrl_hears_along_its_direction() -> None:
    """(G . v) v of the true G tells v but for its sign, and (R . v) v is the same for both."""
    of = {rule: flat(whole("gru", rule, size=1)) for rule in ("forward_gradient", "rtrl", RANDOM)}
    v = of["forward_gradient"] / np.sqrt(of["rtrl"] @ of["forward_gradient"])
    got = flat(whole("gru", rules.ForwardGradient(feedback="random"), size=1))
    np.testing.assert_allclose(got, (of[RANDOM] @ v) * v, rtol=1e-9, atol=1e-11)
    assert np.abs(got - of["forward_gradient"]).max() > 1e-2


def test_a_kernel_that_does_not_learn_is_a_leak() -> None:
    """Its matrix is the identity then, and the rule RFLO with its own leak."""
    kernel = rules.KeRNL(rate=0.0, alpha=0.3, feedback="random")
    same(whole("rnn", kernel), whole("rnn", rules.RFLO(leak=0.7)), whole("rnn", "rtrl"))


def test_cells_that_are_types_of_their_own_hear_all_of_the_step_before() -> None:
    rule = rules.ModProp(types=None, taps=1, feedback="random")
    same(whole("rnn", rule, 2), whole("rnn", RANDOM, 2), whole("rnn", "rtrl", 2))


def same(got: Any, want: Any, other: Any) -> None:
    for n, x in want.items():
        np.testing.assert_allclose(got[n], x, rtol=1e-9, atol=1e-11)
        assert np.abs(x - other[n]).max() > 1e-4


def flat(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([x.ravel() for x in arrays.values()])


# -- as they are written --------------------------------------------------------------------
@pytest.mark.parametrize("name", rules.registered())
def test_what_is_printed_can_be_typed(name: str) -> None:
    kind: Any = rules.registered()[name]
    given = [kind()]
    if "feedback" in {f.alias for f in attrs.fields(kind)}:
        given.append(kind(feedback="sign_matched"))
    for rule in given:
        again = eval(repr(rule), dict(NAMES))
        assert type(again) is kind
        if not isinstance(rule.signal, signals.SyntheticGradient):  # arrays make no two equal
            assert again == rule
    assert repr(etp.D_RTRL()) == "DRTRL()"
    assert repr(etp.D_RTRL(feedback="random")) == "DRTRL(feedback=Random(seed=0, scale=None))"


# -- what was assumed -----------------------------------------------------------------------
@pytest.mark.parametrize("kind", [rules.OTTT, partial(rules.OTPE, leaky_readout=True)])
def test_a_leak_is_told(kind: Any) -> None:
    def told(rule: Any) -> str:
        return learner(rule).report().parameters[WEIGHT].reason

    assumed, given = told(kind()), told(kind(leak=0.9))
    assert "0.5 (assumed" in assumed
    assert "leak= sets it" in assumed
    assert "0.9 as given" in given
    assert "assumed" not in given
    np.testing.assert_array_equal(gradient(kind()), gradient(kind(leak=0.5)))


def test_noise_too_small_for_spikes_is_told() -> None:
    assert "makes them flip" in learner("node_perturbation").report().parameters[WEIGHT].reason
    assert np.abs(gradient("node_perturbation(sigma=0.3)")).max() > 1e-4


def test_a_chunk_of_random_products_says_how_it_ran() -> None:
    for storage in ("kronecker", "rank_one"):
        rule = etp.RuleConfig(storage=storage, schedule="chunk(4)")
        why = learner(rule).report().why
        assert "step by step" in why
        np.testing.assert_allclose(
            gradient(rule), gradient(etp.RuleConfig(storage=storage, schedule="step")), rtol=1e-9
        )
