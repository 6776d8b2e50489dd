"""Learning signals against what they are by hand, on a leaky layer with a linear readout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import frozen

import etp
from etp import signals, xp

STEPS, BATCH, N_IN, N, N_OUT = 4, 3, 2, 5, 3
LEAK = 0.6


class Net(etp.Module):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = etp.Param(rng.normal(size=(N_IN, N)))
        self.v = etp.Param(rng.normal(size=(N, N_OUT)))
        self.h = etp.State((N,))

    def __call__(self, x: Any) -> Any:
        self.h.value = LEAK * self.h.value + etp.matmul(x, self.w)
        return etp.matmul(xp.tanh(self.h.value), self.v)


@frozen
class Rule(etp.rules.TraceRule):
    """D-RTRL under another signal; exact here but for the signal."""

    signal: Any
    name = "signalled"
    default_window = 0

    def advance(self, rel: Any, e: Any) -> Any:
        return {"e": rel.D @ e["e"] + rel.u * rel.x}


def square(output: Any, target: Any) -> Any:
    return xp.sum((output - target) ** 2)


def cube(output: Any, target: Any) -> Any:
    d = output - target
    return xp.sum(d * d * d)


DATA = np.random.default_rng(1)
XS = DATA.normal(size=(STEPS, BATCH, N_IN))
YS = DATA.normal(size=(STEPS, BATCH, N_OUT))
MODULATORS = DATA.normal(size=(STEPS, BATCH))


def learner(signal: Any, loss: Any = square, **options: Any) -> etp.Learner:
    return etp.compile(
        Net(), Rule(signal), loss, backend="numpy", dtype="float64",
        **{"batch_size": BATCH, "window": 0, **options},
    )  # fmt: skip


def by_hand(lr: etp.Learner, credit: Any) -> np.ndarray:
    """Return the gradient of w for the credit of what units emit, step by step."""
    w, v = np.asarray(lr.params["w"]), np.asarray(lr.params["v"])
    h, trace = np.zeros((BATCH, N)), np.zeros((BATCH, N_IN, N))
    total = np.zeros_like(w)
    for t in range(STEPS):
        h = LEAK * h + XS[t] @ w
        trace = LEAK * trace + XS[t][:, :, None]
        z = np.tanh(h)
        ell = credit(t, z, z @ v, v) * (1 - z**2)
        total += np.einsum("bo,bio->io", ell, trace)
    return total


def error(t: int, y: np.ndarray) -> np.ndarray:
    return 2 * (y - YS[t])


def expected(name: str, lr: etp.Learner) -> np.ndarray:
    b = np.asarray(lr.rule_arrays.get("feedback.v", 0.0))
    credits = {
        "symmetric": lambda t, z, y, v: error(t, y) @ v.T,
        "random": lambda t, z, y, v: error(t, y) @ b.T,
        "sign": lambda t, z, y, v: error(t, y) @ (np.abs(b) * np.sign(v)).T,
        "adaptive": lambda t, z, y, v: error(t, y) @ (b + v).T,
        "direct": lambda t, z, y, v: error(t, y) @ b.T,
        "target": lambda t, z, y, v: YS[t] @ b.T,
        "local": lambda t, z, y, v: error(t, z @ b) @ b.T,
        "given": lambda t, z, y, v: np.repeat(MODULATORS[t][:, None], N, 1),
        "computed": lambda t, z, y, v: np.repeat((y * YS[t]).sum(1, keepdims=True), N, 1),
        "function": lambda t, z, y, v: np.repeat(error(t, y)[:, :1], N, 1),
    }
    return by_hand(lr, credits[name])


SIGNALS = {
    "symmetric": signals.Symmetric(),
    "random": signals.Random(seed=3),
    "sign": signals.SignMatched(seed=3, scale=0.7),
    "adaptive": signals.Adaptive(),
    "direct": signals.DirectRandom(),
    "target": signals.DirectTarget(),
    "local": signals.LocalReadout(),
    "given": signals.Modulatory(),
    "computed": signals.Modulatory(lambda y, t: xp.sum(y * t)),
    "function": signals.Function(lambda at: {"v": xp.broadcast_to(at.error[0], (N,))}),
}


@pytest.mark.parametrize("schedule", ["step", 3, "auto"])
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_what_it_says(name: str, schedule: Any) -> None:
    lr = learner(SIGNALS[name], schedule=schedule)
    more = {"modulator": MODULATORS} if SIGNALS[name].modulated else {}
    got, _ = lr.grad(XS, YS, reduction="sum", **more)
    want = expected(name, lr)
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(got["w"], want, rtol=1e-10, atol=1e-12)
    true = etp.compile(Net(), "bptt", square, backend="numpy", dtype="float64").grad(
        XS, YS, reduction="sum"
    )[0]
    np.testing.assert_allclose(got["v"], true["v"], rtol=1e-10)
    differs = np.abs(np.asarray(got["w"]) - np.asarray(true["w"])).max() > 1e-2
    assert differs is not (name == "symmetric") or name == "symmetric"
    status = lr.report().parameters
    assert status["w"].status == ("exact" if name == "symmetric" else "approximate")
    assert status["v"].status == "exact"


def test_adaptive_weights_take_part_in_every_change() -> None:
    lr = learner(signals.Adaptive(seed=1))
    lr.grad(XS, YS)
    before = np.asarray(lr.rule_arrays["feedback.v"]) + np.asarray(lr.params["v"])
    old = np.asarray(lr.params["v"])
    lr.fit([(XS, YS)], etp.optim.sgd(0.1), update="step", progress=False)
    moved = np.asarray(lr.params["v"]) - old
    after = np.asarray(lr.rule_arrays["feedback.v"]) + np.asarray(lr.params["v"])
    assert np.abs(moved).max() > 1e-3
    np.testing.assert_allclose(after - before, moved, rtol=1e-10, atol=1e-14)


def test_adaptive_weights_decay_towards_the_forward_ones() -> None:
    lr = learner(signals.Adaptive(decay=0.25, seed=1))
    lr.grad(XS, YS)
    one = np.asarray(lr.rule_arrays["feedback.v"])
    lr.grad(XS, YS)
    np.testing.assert_allclose(lr.rule_arrays["feedback.v"], one * 0.75**STEPS, rtol=1e-12)
    kept = lr.state_dict()
    other = learner(signals.Adaptive(decay=0.25, seed=9))
    other.load_state_dict(kept)
    np.testing.assert_array_equal(other.rule_arrays["feedback.v"], lr.rule_arrays["feedback.v"])
    np.testing.assert_array_equal(other.grad(XS, YS)[0]["w"], lr.grad(XS, YS)[0]["w"])


def test_the_error_of_temporal_differences() -> None:
    gamma = 0.9
    signal = signals.TD(gamma, value=lambda y: y[0], reward=lambda r: r[0])
    lr = learner(signal)
    got, _ = lr.grad(XS, YS, reduction="sum")
    values: list[np.ndarray] = []

    def credit(t: int, z: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray:
        values.append(y[:, 0])
        if t == 0:
            return np.zeros((BATCH, N))
        delta = YS[t][:, 0] + gamma * values[t] - values[t - 1]
        return np.repeat(-delta[:, None], N, 1)

    np.testing.assert_allclose(got["w"], by_hand(lr, credit), rtol=1e-10, atol=1e-12)


def test_a_modulator_for_each_group() -> None:
    class Two(etp.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.a, self.b = (
                etp.Param(rng.normal(size=(N_IN, N))),
                etp.Param(rng.normal(size=(N, 2))),
            )
            self.h, self.k = etp.State((N,)), etp.State((2,))

        def __call__(self, x: Any) -> Any:
            self.h.value = 0.5 * self.h.value + etp.matmul(x, self.a)
            self.k.value = 0.5 * self.k.value + etp.matmul(self.h.value, self.b)
            return self.k.value

    lr = etp.compile(
        Two(), Rule(signals.Modulatory(per_group=True)), "mse", backend="numpy", window=0
    )
    zero, one = np.zeros((STEPS, BATCH, 2)), np.zeros((STEPS, BATCH, 2))
    one[..., 0] = 1.0
    first = lr.grad(XS, YS[..., :2], modulator=one)[0]
    none = lr.grad(XS, YS[..., :2], modulator=zero)[0]
    assert np.abs(np.asarray(first["a"])).max() > 1e-3
    assert np.abs(np.asarray(first["b"])).max() == 0
    assert np.abs(np.asarray(none["a"])).max() == 0


def test_a_modulator_of_another_shape_is_refused() -> None:
    lr = learner(signals.Modulatory())
    with pytest.raises(etp.DataError, match="none is given"):
        lr.grad(XS, YS)
    with pytest.raises(etp.ShapeError, match=r"modulator has shape \(7,\)"):
        lr.grad(XS, YS, modulator=np.zeros(7))


@pytest.mark.parametrize(
    "signal", [signals.Random(), signals.DirectRandom(), signals.DirectTarget()]
)
def test_feedback_needs_a_product_to_replace(signal: Any) -> None:
    class Bare(etp.Module):
        def __init__(self) -> None:
            self.w, self.h = etp.Param(np.ones((N_IN, N))), etp.State((N,))

        def __call__(self, x: Any) -> Any:
            self.h.value = 0.5 * self.h.value + etp.matmul(x, self.w)
            return self.h.value

    with pytest.raises(etp.ModelError, match="none leads from a state to the loss"):
        etp.compile(Bare(), Rule(signal), "mse", backend="numpy").grad(XS, XS @ np.ones((N_IN, N)))


def test_a_window_leaves_the_signal_unused_and_says_so() -> None:
    lr = learner(signals.Random(), window=1)
    with pytest.warns(etp.CompilationWarning, match="ETP610"):
        got = lr.grad(XS, YS)[0]
    want = learner(signals.Symmetric(), window=1).grad(XS, YS)[0]
    np.testing.assert_allclose(got["w"], want["w"], rtol=1e-12)


@pytest.mark.parametrize("bad", [{"scale": -1.0}, {"scale": "x"}])
def test_wrong_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises((etp.ETPError, TypeError)):
        signals.Random(**bad)
