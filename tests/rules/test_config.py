"""Points of the rule language: those with a name, those without, and those that are refused."""

from __future__ import annotations

import pickle
import re
import warnings
from functools import cache
from math import exp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etp
from etp import RuleConfig, rules
from etp.rules.axes import KINDS, as_recursion, choices
from etp.rules.laws import LAWS, broken
from etp.rules.points import Leak, PerWeight
from tests.models import build, data
from tests.rules.against import OUT, Case, M, check
from tests.rules.against import data as single
from tests.rules.homes import learner, near
from tests.rules.kernels import gradients
from tests.rules.twins import diagonal, influence, leaky_tanh

REWARD = etp.signals.Modulatory(lambda output, target: etp.xp.sum((output - target) ** 2))
NAMED: dict[str, tuple[Any, RuleConfig]] = {
    "d_rtrl": ("d_rtrl", RuleConfig()),
    "d_rtrl, one exact hop": (etp.D_RTRL(), RuleConfig(window=1)),
    "rtrl": ("rtrl", RuleConfig(scope="full")),
    "snap": ("snap(2)", RuleConfig(scope="sparse_n(2)")),
    "ostl": ("ostl_recurrent", RuleConfig(scope="group")),
    "pp_prop": (
        "pp_prop(0.8)",
        RuleConfig(storage="factorised", recursion="jacobian(0.8, average=True)", pre="trace(0.8)"),
    ),
    "rflo": (rules.RFLO(0.8), RuleConfig(recursion=0.8, signal="random")),
    "eprop": (
        etp.EProp(0.7, feedback="random"), RuleConfig(post="kappa(0.7)", signal="random")
    ),
    "cet": (rules.CET(2, 5.0), RuleConfig(outer=f"cascade(2, {exp(-2 / 5)})")),
    "ottt": (
        etp.OTTT(0.7), RuleConfig(storage="factorised", recursion="none", pre="trace(0.7)")
    ),
    "sltt": ("sltt", RuleConfig(storage="factorised", recursion="none")),
    "s_tllr": ("s_tllr", RuleConfig(recursion="none", pre="stdp_pair(0.8, 0.5, 1.0, -0.2)")),
    "osttp": ("osttp", RuleConfig(scope="group", signal="target")),
    "three_factor": (rules.ThreeFactor(REWARD), RuleConfig(signal=REWARD)),
    "uoro": ("uoro", RuleConfig(storage="rank_one")),
    "kf_rtrl": ("kf_rtrl", RuleConfig(storage="kronecker")),
    "uoro, random feedback": (
        etp.UORO(feedback="random"), RuleConfig(storage="rank_one", signal="random")
    ),
}  # fmt: skip


def square(output: Any, target: Any) -> Any:
    d = output - target
    return etp.xp.sum(d * d * d * 0.2 + d * d)


def compiled(model: str, rule: Any, **options: Any) -> etp.Learner:
    return etp.compile(
        build(model), rule, square, backend="numpy", dtype="float64", **options
    )  # fmt: skip


def gradient(model: str, rule: Any, length: int = 6, **options: Any) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        made = compiled(model, rule, **options)
        asked = rules.resolve(rule).modulated
        m = {"modulator": np.linspace(-1, 2, length)} if asked else {}
        return made.grad(*data(length, 2), reduction="sum", **m)[0]


def close(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    scale = max(np.abs(g).max() for g in want.values())
    assert np.isfinite(scale)
    assert scale > 1e-4, "nothing is compared"
    for name in want:
        assert np.abs(got[name] - want[name]).max() <= tolerance * scale, name


# -- points with a name ---------------------------------------------------------------------
@pytest.mark.parametrize("model", [
    "coupled", "alif", *(pytest.param(m, marks=pytest.mark.slow) for m in (
        "rnn", "two_layers", "masked", "lstm", "gru"
    )),
])  # fmt: skip
@pytest.mark.parametrize("name", NAMED)
def test_named_points(name: str, model: str) -> None:
    rule, config = NAMED[name]
    close(gradient(model, config), gradient(model, rule, window=config.window))


def net() -> leaky_tanh.Net:
    return leaky_tanh.Net.drawn(4, M, OUT, 0.6, seed=1)


@pytest.mark.parametrize("case", [
    Case(RuleConfig(), lambda _: diagonal.DRTRL(), net, {"e": "e.w.h"}),
    Case(RuleConfig(scope="coupled"), lambda _: influence.SnAp1(), net, {"e": "e.w.h"}),
    Case(NAMED["pp_prop"][1], lambda _: diagonal.PPProp(0.8, 0.8), net,
         {"x": "e_x.w.x", "f": "e_e.w.h"}),
], ids=["d_rtrl", "coupled", "pp_prop"])  # fmt: skip
def test_twins(case: Case) -> None:
    check(case)


POINTS = [
    *(n for n, r in rules.registered().items() if r().point is not None),
    "eprop(kappa=0.6)", "eprop(reward=0.8, kappa=0.6)", "rflo(0.7)", "pp_prop(3)",
]  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_a_named_rule_says_its_point(name: str) -> None:
    rule = rules.resolve(name)
    config = rule.config()
    assert config.window == rule.default_window
    assert config.signal == rule.signal
    assert config.config() is config
    close(gradient("coupled", config), gradient("coupled", rule))


def test_a_rule_that_is_no_point() -> None:
    with pytest.raises(etp.NotSupportedError, match="bptt is no point"):
        rules.resolve("bptt").config()
    assert {"d_rtrl", "eprop", "ottt", "uoro"} < set(POINTS)


# -- points without -------------------------------------------------------------------------
# Signals that ask something of the output, the loss or the structure of a model.
ASKING = (
    etp.signals.CellTypes, etp.signals.SyntheticGradient, etp.signals.TD, etp.signals.VanRossum,
)  # fmt: skip


def anywhere(axis: str) -> list[Any]:
    """Return the values of an axis that go with every model here."""
    return [x for x in choices()[axis] if not isinstance(x, ASKING)]


def some(axis: str, *more: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((*anywhere(axis), *more))


AXES = {
    "storage": st.sampled_from(("per_weight", "factorised")),
    "recursion": some("recursion", "jacobian(0.7, average=True)", "leak(0.6, average=True)", 0.8),
    "pre": some("pre", "kappa(0.3)", "stdp_pair(0.4, 0.7, 0.5, -0.3)"),
    "post": some("post", "kappa(0.7)"),
    "outer": some("outer", "cascade(1, 0.7)"),
    "signal": st.sampled_from(("symmetric", "random")),
}


def against_kernels(point: dict[str, Any]) -> None:
    if point["storage"] == "factorised" and "stdp" in str(point["pre"]).lower():
        return
    config, home, (xs, ys) = RuleConfig(**point), net(), single(length=6)
    made = learner(home, config, xs, ys)
    got, modulator = [], np.linspace(-1, 2, len(xs))
    for x, y, m in zip(xs, ys, modulator, strict=True):
        made.step(x[None], y[None], **({"modulator": m} if config.modulated else {}))
        got.append(made.gradients["w"])
    arrays = made.rule_arrays
    feedback = arrays["feedback.w_out"] if point["signal"] == "random" else None
    want = gradients(config, home, xs, ys, feedback, modulator)
    assert near(np.array(got), want, 1e-12, repr(config)) > 1e-6


@settings(max_examples=20)
@given(st.fixed_dictionaries(AXES))
def test_points_are_sums_over_the_past(point: dict[str, Any]) -> None:
    against_kernels(point)


@pytest.mark.slow
@settings(max_examples=400)
@given(st.fixed_dictionaries(AXES))
def test_many_points_are_sums_over_the_past(point: dict[str, Any]) -> None:
    against_kernels(point)


# -- the whole product ----------------------------------------------------------------------
WHOLE = {axis: st.sampled_from(anywhere(axis)) for axis in choices()}
MODELS = st.sampled_from(("rnn", "alif", "coupled", "masked", "two_layers"))


@st.composite
def points(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a point; most of the illegal ones are moved along an axis of the law they break."""
    point = draw(st.fixed_dictionaries(WHOLE))
    mended = draw(st.integers(0, 4)) > 0
    while mended and (law := broken(SimpleNamespace(**point))):
        axis = draw(st.sampled_from(law.axes))
        legal = [x for x in anywhere(axis) if law.holds(SimpleNamespace(**{**point, axis: x}))]
        point[axis] = draw(st.sampled_from(legal)) if legal else point[axis]
    return point


@cache
def directly(model: str) -> dict[str, np.ndarray]:
    return gradient(model, "d_rtrl")


def walk(model: str, point: dict[str, Any]) -> None:
    """A point is refused with a way out, or compiles, is alive, and has one gradient."""
    try:
        config = RuleConfig(**point)
    except etp.NotSupportedError as error:
        what, _, how = str(error).partition("\n")
        law = next(law for law in LAWS if law.reason in what)
        assert all(axis in what for axis in law.axes)
        assert "choose" in how
        return
    step = gradient(model, config, schedule="step")
    assert set(step) == set(directly(model))
    alive = {n for n, g in directly(model).items() if np.abs(g).max() > 1e-9}
    assert all(np.isfinite(g).all() for g in step.values())
    live = [n for n in alive if np.abs(step[n]).max() > 1e-12]
    assert [n for n in live if "readout" not in n], f"no weight of the cell learns: {config}"
    close(gradient(model, config, schedule=4), step, 1e-10)


@settings(max_examples=6)
@given(MODELS, points())
def test_the_product(model: str, point: dict[str, Any]) -> None:
    walk(model, point)


@pytest.mark.slow
@settings(max_examples=60)
@given(MODELS, points())
def test_more_of_the_product(model: str, point: dict[str, Any]) -> None:
    walk(model, point)


# -- what is refused ------------------------------------------------------------------------
REFUSED = [
    {"scope": "full", "recursion": 0.9},
    {"storage": "rank_one", "scope": "diagonal"},
    {"storage": "kronecker", "recursion": "none"},
    {"storage": "rank_one", "recursion": "jacobian(0.9)"},
    *({"storage": "rank_one", axis: KINDS[axis][0](*(2, 0.5)[-n:])}
      for axis, n in (("pre", 1), ("post", 1), ("outer", 2))),
    {"storage": "factorised", "pre": "stdp_pair(0.5, 0.5)", "recursion": "none"},
    {"signal": "random", "window": 1},
    {"outer": "gamma_lambda(0.9, 0.9)", "signal": "modulatory"},
    {"outer": "gamma_lambda(0.9, 0.9)", "window": 2},
]  # fmt: skip


@pytest.mark.parametrize("point", REFUSED, ids=str)
def test_refused_points_name_what_is_legal(point: dict[str, Any]) -> None:
    with pytest.raises(etp.NotSupportedError) as caught:
        RuleConfig(**point)
    text = str(caught.value)
    assert re.search(r"at .*test_config\.py:\d+", text)
    how = text.splitlines()[-1]
    offered = re.findall(r"(storage|scope|recursion|pre|post|outer|window) ('\w+|\d)", how)
    assert offered, how
    words = {"jacobian": "jacobian", "none": "none", "per_weight": "per_weight", "full": "full",
             "diagonal": "diagonal", "0": 0}  # fmt: skip
    for axis, word in offered:
        value = words.get(word.strip("'"))
        if value is not None:
            RuleConfig(**{**point, axis: value})


def test_every_law_is_broken_by_some_point() -> None:
    seen = set()
    for point in REFUSED:
        try:
            RuleConfig(**point)
        except etp.NotSupportedError as error:
            seen |= {k for k, law in enumerate(LAWS) if law.reason in str(error)}
    assert seen == set(range(len(LAWS)))


@pytest.mark.parametrize(("point", "text"), [
    ({"recursion": "jacobain"}, "did you mean 'jacobian'"),
    ({"recursion": 1.5}, r"a decay is a number in \[0, 1\)"),
    ({"post": "kappa(2)"}, r"a decay is a number in \[0, 1\)"),
    ({"post": "kappa()"}, "kappa"),
    ({"outer": "kappa(0.5)"}, "'cascade"),
    ({"storage": None}, "'per_weight', 'factorised', 'kronecker', 'rank_one'"),
    ({"scope": "nowhere"}, "'diagonal'"),
    ({"signal": "telepathic"}, "'symmetric'"),
    ({"schedule": "later"}, "'chunk'"),
    ({"step_size": "adamant"}, "did you mean 'adam'"),
    ({"step_size": -1.0}, "learning rate"),
    ({"window": -1}, "whole number"),
    ({"recursion": "jacobian(1.0, True)"}, "no average"),
    ({"recursion": "cascade(1.5, 0.5)"}, "whole number"),
])  # fmt: skip
def test_mistakes(point: dict[str, Any], text: str) -> None:
    with pytest.raises(etp.ETPError, match=text):
        RuleConfig(**point)


# -- as an object ---------------------------------------------------------------------------
def test_words_are_objects() -> None:
    words = RuleConfig(
        recursion="leak(0.9)", pre="double_exponential(0.2, 0.8)", post="kappa(0.5)",
        outer="gamma_lambda(0.99, 0.9)", signal="random", storage="per_weight",
    )  # fmt: skip
    objects = RuleConfig(
        recursion=Leak(0.9), pre=etp.DoubleExponential(0.2, 0.8),
        post=etp.KappaFilter(0.5), outer=etp.filters.GammaLambda(0.99, 0.9),
        signal=etp.signals.Random(), storage=PerWeight(),
    )  # fmt: skip
    assert words == objects
    assert hash(words) == hash(objects)
    assert pickle.loads(pickle.dumps(words)) == words
    assert isinstance(words, rules.LearningRule)
    assert as_recursion(0.9) == Leak(0.9)
    assert words != RuleConfig()
    assert "DoubleExponential(rise=0.2, decay=0.8)" in repr(words)
    assert repr(RuleConfig()) == "RuleConfig()"


def test_filters_that_were_used_are_the_same_parameters() -> None:
    kappa = etp.KappaFilter(0.5)
    kappa.update(1.0)
    assert RuleConfig(post=kappa) == RuleConfig(post="kappa(0.5)")


def test_step_size_and_schedule_are_defaults() -> None:
    config = RuleConfig(step_size=0.1, schedule="step")
    made = compiled("rnn", config)
    start = {n: np.array(p) for n, p in made.params.items()}
    x, y = data(4, 2)
    made.fit([(x, y)], update="sequence")
    assert made.optimizer == etp.optim.sgd(0.1)
    assert made.report().schedule == "step"
    other = compiled("rnn", RuleConfig())
    grads = other.grad(x, y)[0]
    for name, p in start.items():
        np.testing.assert_allclose(made.params[name], p - 0.1 * grads[name], rtol=1e-12)
    assert any(np.abs(g).max() > 1e-3 for g in grads.values())


def test_the_helper_of_feedback_is_the_signal() -> None:
    helper = etp.FixedRandomFeedback(2, 3, seed=4)
    assert RuleConfig(signal=helper).signal == etp.signals.Random(4)


def test_laws_are_about_axes() -> None:
    assert broken(RuleConfig()) is None
    known = {f.name for f in RuleConfig.__attrs_attrs__}
    assert all(set(law.axes) <= known for law in LAWS)
