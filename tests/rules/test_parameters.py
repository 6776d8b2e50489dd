"""Parameters of rules, signals and filters: what is taken, and what is said of what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import rules, signals

NAN, INF = float("nan"), float("inf")
DECAYS = (-0.1, 1, 2.0, NAN, INF, "a", None, True, [0.5])
WHOLE = (-1, 2.5, "a", NAN, True, [1])

WRONG: list[tuple[Callable[[Any], Any], str, tuple[Any, ...], str]] = [
    (
        lambda x: rules.OTTT(leak=x), "leak of OTTT", tuple(x for x in DECAYS if x is not None),
        "exp(-dt / tau)",
    ),
    (lambda x: rules.RFLO(leak=x), "leak of RFLO", (1, NAN, "a"), "exp(-dt / tau)"),
    (lambda x: rules.EProp(kappa=x), "kappa of EProp", DECAYS, "exp(-dt / tau)"),
    (lambda x: rules.EProp(reward=x), "reward of EProp", (1, 2, "a"), "exp(-dt / tau)"),
    (lambda x: rules.EProp(rate=x), "rate of EProp", (-1, INF, NAN, "a"), "give 0 or more"),
    (lambda x: rules.EProp(target_rate=x), "target_rate of EProp", (INF, NAN, "a"), "finite"),
    (rules.PPProp, "decay of PPProp", (-1, 1.0, NAN, INF, "a", None), "give a decay"),
    (lambda x: rules.OTTT(mode=x), "mode of OTTT", ("B", 3, None, ["A"]), "'O' (online)"),
    (lambda x: rules.OTPE(factorised=x), "factorised of OTPE", (2, "x", None), "True or False"),
    (rules.SnAp, "n of SnAp", (0, *WHOLE), "from 1 on"),
    (lambda x: rules.STLLR(warmup=x), "warmup of STLLR", WHOLE, "at least 0"),
    (lambda x: rules.CET(delay=x), "delay of CET", (0, -1, INF, NAN, "a"), "above 0"),
    (lambda x: signals.Random(seed=x), "seed of Random", WHOLE, "from 0 on"),
    (lambda x: signals.Random(scale=x), "scale of Random", (-1, INF, "a", [1]), "give 0 or more"),
    (lambda x: signals.LocalReadout(scale=x), "scale of LocalReadout", (-1, [1]), "give 0"),
    (lambda x: signals.Adaptive(decay=x), "decay of Adaptive", DECAYS, "exp(-dt / tau)"),
    (lambda x: signals.TD(gamma=x), "gamma of TD", (-1, 2, NAN, "a"), "0 and 1 included"),
    (lambda x: signals.TD(value=x), "value of TD", (3, "a"), "can be called"),
    (lambda x: signals.VanRossum(rise=x), "rise of VanRossum", DECAYS, "exp(-dt / tau)"),
    (signals.MeanSlopes, "leak of MeanSlopes", DECAYS, "exp(-dt / tau)"),
    (signals.Modulatory, "function of Modulatory", (3, "a"), "can be called"),
    (lambda x: signals.Modulatory(per_group=x), "per_group of Modulatory", ("yes", 1), "True"),
    (signals.Function, "function of Function", (3, None), "can be called"),
    (lambda x: signals.SyntheticGradient(every=x), "every of Synth", (0, 1.5, "a"), "from 1 on"),
    (etp.KappaFilter, "kappa of KappaFilter", DECAYS, "exp(-dt / tau)"),
    (lambda x: etp.FixedRandomFeedback(2, x), "n_layer of Fixed", (0, "a"), "from 1 on"),
    (lambda x: etp.RuleConfig(window=x), "window of RuleConfig", WHOLE, "at least 0"),
]  # fmt: skip
EACH = [
    pytest.param(make, named, value, how, id=f"{named}={value!r}")
    for make, named, values, how in WRONG for value in values
]  # fmt: skip


@pytest.mark.parametrize(("make", "named", "value", "how"), EACH)
def test_wrong(make: Callable[[Any], Any], named: str, value: Any, how: str) -> None:
    with pytest.raises(etp.ETPError) as caught:
        make(value)
    text = str(caught.value)
    assert named in text
    assert f"got {value!r}" in text
    assert "test_parameters.py" in text
    assert how in text
    assert "Attribute(" not in text
    assert "<class" not in text


@pytest.mark.parametrize(("made", "plain"), [
    (lambda: rules.OTTT(np.float32(0.5)), rules.OTTT(0.5)),
    (lambda: rules.SnAp(np.int64(2)), rules.SnAp(2)),
    (lambda: rules.PPProp(np.int64(4)), rules.PPProp(4)),
    (lambda: rules.PPProp(4, np.float64(0.25)), rules.PPProp(4, 0.25)),
    (lambda: rules.OTPE(0.5, np.True_), rules.OTPE(0.5, True)),
    (lambda: rules.EProp(np.float64(0.5), rate=np.int32(1)), rules.EProp(0.5, rate=1)),
    (lambda: signals.Random(np.uint8(3), np.float16(0.5)), signals.Random(3, 0.5)),
    (lambda: etp.KappaFilter(np.float32(0.5)), etp.KappaFilter(0.5)),
])  # fmt: skip
def test_numbers_of_numpy_are_numbers(made: Callable[[], Any], plain: Any) -> None:
    found = made()
    assert found == plain
    assert repr(found) == repr(plain)
    assert hash(found) == hash(plain)


def test_ranks_of_pp_prop() -> None:
    assert rules.PPProp(4).decay == rules.PPProp(4).decay_f == 0.6
    assert rules.PPProp(1).decay == 0.0
    assert rules.PPProp(0.5, 3).decay_f == 0.5


def test_words_are_signals() -> None:
    assert signals.VanRossum(feedback="random").feedback == signals.Random()
    with pytest.raises(etp.ETPError, match=r"(?s)'randm' is no learning signal.*did you mean "
                       r"'random'.*test_parameters\.py"):  # fmt: skip
        signals.VanRossum(feedback="randm")


class Own(rules.TraceRule):
    name = "own"

    def __init__(self, leak: float) -> None:
        self.leak = leak

    def advance(self, rel: Any, e: Any) -> Any:
        return {"e": self.leak * e["e"] + rel.u * rel.x}


@pytest.mark.parametrize(("make", "said"), [
    (lambda: etp.D_RTRL(signal="random"), "unexpected keyword argument 'signal'\n"),
    (lambda: etp.D_RTRL(signal="random"), "it takes (*, feedback=Symmetric())"),
    (lambda: rules.SnAp(1, 2), "it takes (n=1, *, feedback=Symmetric())"),
    (lambda: rules.BPTT(3), "rule BPTT: too many positional arguments\n"),
    (lambda: etp.RuleConfig(sgnal="random"), "unexpected keyword argument 'sgnal'"),
    (lambda: Own(), "rule Own: missing a required argument: 'leak'\n"),
])  # fmt: skip
def test_arguments_that_there_are_not(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(etp.ModelError) as caught:
        make()
    assert said in str(caught.value)
    assert "test_parameters.py" in str(caught.value)
    assert Own(0.5).leak == 0.5


@pytest.mark.parametrize(("text", "said"), [
    ("otpe(0.5,2)", "factorised of OTPE is True or False, got 2"),
    ("pp_prop('a')", "decay of PPProp lies in"),
    ("snap(n=2, k=3)", "rule 'snap(n=2, k=3)': got an unexpected keyword argument 'k'"),
    ("snap(1, 2)", "it takes (n=1, "),
    ("snap(1, 2)", "too many positional arguments"),
    ("tbptt(5, 2)", "write tbptt(5, 5)"),
    ("sltt(3)", "got steps=3, length=None"),
    ("nothing", "no learning rule 'nothing'"),
    ("eprop(", "write it as in"),
])  # fmt: skip
def test_by_text(text: str, said: str) -> None:
    with pytest.raises(etp.ETPError) as caught:
        rules.resolve(text)
    assert said in str(caught.value)
    assert "test_parameters.py" in str(caught.value)
