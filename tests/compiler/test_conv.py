"""Models with convolutions, before a state and in its recurrence, against the unrolled step."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from attrs import frozen

import etp
from etp import xp
from tests.compiler.oracles import Probe, check_equal, check_statuses, deviations

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")

LENGTH, BATCH, N_OUT = 4, 2, 2
JOBS = [("d_rtrl", 0), ("d_rtrl", 1), ("pp_prop", 0), ("pp_prop", 1)]


@frozen(kw_only=True)
class Case:
    """A convolution, and where it stands.

    Attributes
    ----------
    shape
        Shape of what it acts on, in the layout of the input.
    kernel
        Shape of the kernel, in its layout.
    inside
        Whether it acts on the state, which then has that shape, or on the input.
    options
        Options of `etp.conv`.
    wise
        Whether it takes each element of the state to the same position.
    """

    shape: tuple[int, ...]
    kernel: tuple[int, ...]
    inside: bool = False
    options: dict[str, Any]
    wise: bool = False


FIRST = ("NCHW", "OIHW", "NCHW")
CASES = {
    "plain": Case(shape=(5, 2), kernel=(3, 2, 3), options={}),
    "strided": Case(shape=(6, 2), kernel=(3, 2, 2), options={"strides": 2, "padding": ((2, -1),)}),
    "dilated": Case(shape=(5, 1), kernel=(2, 1, 2), options={"rhs_dilation": 2, "padding": 1}),
    "spread": Case(shape=(3, 2), kernel=(3, 2, 2), options={"lhs_dilation": 2, "padding": 1}),
    "grouped": Case(shape=(4, 4), kernel=(2, 2, 6),
                    options={"feature_group_count": 2, "padding": "VALID"}),
    "depthwise": Case(shape=(4, 2), kernel=(3, 1, 4), options={"feature_group_count": 2}),
    "pointwise": Case(shape=(4, 2), kernel=(1, 2, 3), options={}),
    "whole": Case(shape=(3, 2), kernel=(3, 2, 4), options={"padding": "VALID"}),
    "images": Case(shape=(2, 3, 3), kernel=(3, 2, 2, 2),
                   options={"dimension_numbers": FIRST, "padding": "VALID"}),
    "grouped images": Case(shape=(3, 2, 2), kernel=(2, 2, 1, 4), options={
        "feature_group_count": 2, "strides": (2, 1), "dimension_numbers": ("HWC", "HWIO", "CHW")}),
    "volumes": Case(shape=(2, 3, 2, 1), kernel=(2, 2, 1, 1, 2), options={"strides": (1, 2, 1)}),
    "recurrent": Case(shape=(4, 2), kernel=(3, 2, 2), inside=True, options={}),
    "recurrent, grouped": Case(shape=(2, 3, 2), kernel=(2, 2, 1, 2), inside=True,
                               options={"feature_group_count": 2}),
    "recurrent, channels first": Case(shape=(2, 4), kernel=(2, 2, 3), inside=True,
                                      options={"dimension_numbers": ("NCW", "OIW", "NCW")}),
    "recurrent, position by position": Case(shape=(4, 2), kernel=(1, 1, 2), inside=True, wise=True,
                                            options={"feature_group_count": 2}),
}  # fmt: skip
QUICK = ("strided", "grouped", "images", "recurrent", "recurrent, position by position")


class Model(etp.Module):
    """A leaky state that a convolution drives: h' = a h + tanh(conv(x or h) + ...)."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case = case
        self.kernel = etp.Param(rng.normal(size=case.kernel))
        numbers = case.options.get("dimension_numbers")
        result = "WC" if numbers is None else numbers[2]
        outputs = case.kernel[-1 if numbers is None else numbers[1].index("O")]
        self.bias = etp.Param(rng.normal(size=outputs))
        shape = self.conv(np.zeros(case.shape)).shape
        assert shape[result.index("C") - len(result)] == outputs
        self.h = etp.State(shape)
        self.readout = etp.Param(rng.normal(size=(int(np.prod(shape)), N_OUT)))

    def conv(self, x: Any) -> Any:
        return etp.conv(x, self.kernel, self.bias, **self.case.options)

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        drive = self.conv(h) + x if self.case.inside else self.conv(x)
        self.h.value = 0.7 * h + xp.tanh(drive)
        return xp.matmul(xp.reshape(self.h.value, (-1,)), self.readout)


def each(names: Any, quick: Any = QUICK) -> Any:
    """Return the parametrisation over cases; those that are not quick are slow."""
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=() if n in quick else pytest.mark.slow) for n in names]
    )


every = each(CASES)


@cache
def probe(name: str) -> Probe:
    case = CASES[name]
    rng = np.random.default_rng(7)
    model = Model(case, rng)
    x = rng.normal(size=(LENGTH, BATCH, *case.shape))
    return Probe(model, x, rng.normal(size=(LENGTH, BATCH, N_OUT)))


@cache
def learner(name: str, rule: str, window: int, **options: Any) -> Any:
    return probe(name).learner(rule, window=window, **options)


@cache
def truth(name: str, steps: int | None = None) -> dict[str, np.ndarray]:
    found = probe(name).exact(learner(name, "d_rtrl", 1), steps)
    # The kernel of a recurrent convolution sees a state of zeros in the first step.
    alive = [n for n in found if not (CASES[name].inside and steps == 1 and n == "kernel")]
    assert all(np.abs(found[n]).max() > 1e-3 for n in alive)
    return found


@every
def test_one_step_equals_bptt(name):
    for rule, window in JOBS:
        got = probe(name).gradient(learner(name, rule, window), 1)
        check_equal(got, truth(name, 1), 1e-10, f"{rule}, window {window}")


@every
def test_exact_means_equal_to_bptt(name):
    """Kernel and bias are exact before a state that is position-wise, and not inside."""
    for rule, window in JOBS:
        lr = learner(name, rule, window)
        check_statuses(lr, probe(name).gradient(lr), truth(name), f"{rule}, window {window}")
    status = {n: p.status for n, p in learner(name, "d_rtrl", 1).report().parameters.items()}
    expected = "approximate" if CASES[name].inside else "exact"
    assert status == {"kernel": expected, "bias": expected, "readout": "exact"}
    found = deviations(probe(name).gradient(learner(name, "d_rtrl", 0)), truth(name))
    for parameter in ("kernel", "bias"):
        assert (found[parameter] < 1e-10) != CASES[name].inside


@each(n for n, c in CASES.items() if c.inside)
def test_following_everything_is_exact(name):
    scope = "coupled" if CASES[name].wise else "full"
    lr = learner(name, "d_rtrl", 1, scope=scope)
    check_equal(probe(name).gradient(lr), truth(name), 1e-9, f"scope {scope}")
    assert {p.status for p in lr.report().parameters.values()} == {"exact"}


@each(["grouped", "recurrent", "recurrent, grouped"])
def test_full_rtrl_equals_bptt(name):
    check_equal(probe(name).gradient(probe(name).learner("rtrl")), truth(name), 1e-9, "rtrl")


@every
def test_every_schedule_and_backend_gives_the_same(name):
    for rule in ("d_rtrl", "pp_prop"):
        want = probe(name).gradient(learner(name, rule, 1))
        for schedule in ("step", "chunk"):
            lr = probe(name).learner(rule, window=1, schedule=schedule, backend="numpy")
            check_equal(probe(name).gradient(lr), want, 1e-10, f"{rule}, {schedule} on NumPy")


@each(["strided", "images", "grouped", "recurrent, grouped"], quick=["images"])
def test_jax_gives_the_same(name):
    pytest.importorskip("jax")
    for rule, schedule in (("d_rtrl", "step"), ("d_rtrl", "chunk"), ("pp_prop", "auto")):
        want = probe(name).gradient(learner(name, rule, 1))
        lr = probe(name).learner(rule, window=1, schedule=schedule, backend="jax")
        got = {n: np.asarray(g) for n, g in probe(name).gradient(lr).items()}
        check_equal(got, want, 1e-10, f"{rule}, {schedule} on JAX")


class Stack(etp.Module):
    """Layers of `etp.nn` on images: masked, grouped, transposed, pooled, spiking."""

    def __init__(self, rng: np.random.Generator) -> None:
        mask = rng.random((3, 3, 1, 4)) < 0.7
        self.first = etp.nn.Conv2d(1, 4, 3, stride=2, rng=rng, w_mask=mask)
        self.v = etp.State((3, 3, 4))
        self.second = etp.nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2, rng=rng)
        self.u = etp.State((3, 3, 4))
        self.pool = etp.nn.MaxPool2d(2)
        self.readout = etp.nn.Linear(4, N_OUT, rng=rng)

    def __call__(self, x: Any) -> Any:
        self.v.value = 0.8 * self.v.value + self.first(x)
        spikes = etp.spike(self.v.value - 0.2)
        self.u.value = 0.5 * self.u.value + self.pool(self.second(spikes))
        return self.readout(etp.nn.global_avg_pool(self.u.value, 2))


def test_a_stack_of_layers():
    rng = np.random.default_rng(3)
    model = Stack(rng)
    x = rng.normal(size=(LENGTH, BATCH, 6, 6, 1)) + 0.3
    p = Probe(model, x, rng.normal(size=(LENGTH, BATCH, N_OUT)))
    for rule in ("d_rtrl", "pp_prop"):
        lr = p.learner(rule, window=1)
        check_equal(p.gradient(lr, 1), p.exact(lr, 1), 1e-9, rule)
        want = p.exact(lr)
        got = p.gradient(lr)
        check_statuses(lr, got, want, rule)
        assert all(np.abs(g).max() > 1e-6 for g in want.values())
        assert not np.any(got["first.weight"] * (1 - model.first.w_mask))
