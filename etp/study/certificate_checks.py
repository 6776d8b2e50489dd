"""What must hold of every rule on every model: one function for each sentence.

A check looks at a `Trial` and yields findings. They are what `etp check` prints, and what the tests
ask of every registered rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.errors import NotSupportedError

from .. import backends
from ..compiler.status import APPROXIMATE, DIRECT, EXACT, UNBIASED, UNREACHABLE
from .alignment import align
from .certificate_draws import LIMIT
from .certificate_trial import Gradient, Trial, quiet
from .lags import rule_shares

# Relative errors below which two gradients are the same number, and above which they are not.
SAME, DIFFERENT = 1e-10, 1e-6
# In single precision.
SAME32 = 3e-5
HOLDS, CONTRADICTS, NOT_ASKED = "holds", "contradicts", "not asked"


@frozen
class Finding:
    """What a check found on one model.

    Attributes
    ----------
    verdict
        ``"holds"``, ``"contradicts"``, or ``"not asked"`` where the sentence does not apply.
    text
        What was found, in words.
    value, limit
        The number that was measured, and what it was held against.
    """

    check: str
    model: str
    verdict: str
    text: str
    value: float | None = None
    limit: float | None = None


Findings = Iterator[tuple[str, str, float | None, float | None]]


@frozen
class Check:
    """A sentence about rules, and the function that looks whether it holds.

    Attributes
    ----------
    name, sentence
        Name for the command line, and what is claimed.
    look
        Yields verdict, text, value and limit for each thing looked at.
    cure
        What to look for in a rule of one's own where it contradicts, or nothing.
    """

    name: str
    sentence: str
    look: Callable[[Trial], Findings]
    cure: str = ""

    def __call__(self, trial: Trial) -> list[Finding]:
        """Return what is found on a rule and a model."""
        with quiet():
            return [
                Finding(self.name, trial.sample.name, verdict, text, value, limit)
                for verdict, text, value, limit in self.look(trial)
            ]


CHECKS: dict[str, Check] = {}


def check(sentence: str, cure: str = "") -> Callable[[Callable[[Trial], Findings]], Check]:
    """Make a function a check under its own name; a decorator."""

    def register(look: Callable[[Trial], Findings]) -> Check:
        CHECKS[look.__name__] = found = Check(look.__name__, sentence, look, cure)
        return found

    return register


def _not_asked(why: str) -> tuple[str, str, None, None]:
    return NOT_ASKED, why, None, None


def _below(text: str, value: float, limit: float) -> tuple[str, str, float, float]:
    # A comparison with nan is no agreement.
    return (HOLDS if value < limit else CONTRADICTS), text, value, limit


def deviation(got: Mapping[str, Any], want: Mapping[str, Any]) -> float:
    """Return the norm of the difference of two gradients relative to that of the second."""
    return align(got, want).overall.deviation


# -- exactness ------------------------------------------------------------------------------
@check("the gradient is finite and not zero")
def alive(trial: Trial) -> Findings:
    """Look at the norm of the gradient against that of back-propagation."""
    whole = align(trial.found, trial.exact()).overall
    good = np.isfinite(whole.norm) and whole.norm > 1e-6 * whole.reference > 0
    yield (HOLDS if good else CONTRADICTS), f"{whole.ratio:.2g} of BPTT's norm", whole.norm, 0.0


@check(
    "of one step the gradient is that of BPTT, where the signal is",
    "look for a factor, or a filter without unit sum; a rule that hands out credit of the present "
    "step later says so: delayed = True",
)
def one_step(trial: Trial) -> Findings:
    """At T = 1 there is no past to be approximated."""
    for window in trial.windows:
        if window == 0 and not trial.symmetric:
            yield _not_asked("the signal is not the gradient of the loss")
            continue
        if window == 0 and trial.rule.own_term:
            yield _not_asked("the rule adds a term of its own to the gradient of the loss")
            continue
        if window == 0 and trial.stochastic:
            yield _not_asked("the rule draws: of one step it is right in the mean")
            continue
        if window == 0 and trial.delayed:
            yield _not_asked("the rule hands out credit of the present step later")
            continue
        got = trial.gradient(1, window=window)
        yield _below(f"window {window}", deviation(got, trial.exact(1)), SAME)


@check("exact is what equals BPTT, approximate is what does not")
def verdict(trial: Trial) -> Findings:
    """Hold the status of every parameter against its measured deviation."""
    for window in trial.windows:
        learner = trial.learner(window=window)
        found = align(trial.of(learner, trial.xs, trial.ys), trial.exact())
        for name, report in learner.report().parameters.items():
            a = found.parameters[name]
            what = f"{name} at window {window} is {report.status}"
            if report.status == UNREACHABLE:
                dead = a.norm == 0 and a.reference == 0
                yield (HOLDS if dead else CONTRADICTS), what, a.norm, 0.0
            elif a.reference < 1e-9 * found.overall.reference:
                yield _not_asked(f"{name}: BPTT gives it nothing on this probe")
            elif report.status == EXACT:
                yield _below(f"{what}: {report.reason}", a.deviation, SAME)
            elif report.status in (APPROXIMATE, DIRECT):
                good = a.deviation > DIFFERENT
                yield (
                    HOLDS if good else CONTRADICTS, f"{what}: {report.reason}", a.deviation,
                    DIFFERENT,
                )  # fmt: skip


@check("a window as long as the sequence is BPTT")
def whole_window(trial: Trial) -> Findings:
    """With the last T steps differentiated exactly, traces have nothing to add."""
    if max(trial.windows) == 0 or not trial.online:
        yield _not_asked("the rule has no window")
        return
    got = trial.gradient(window=trial.length)
    yield _below(f"window {trial.length}", deviation(got, trial.exact()), SAME)


@check("the shares of all lags add up to the gradient")
def lags_add_up(trial: Trial) -> Findings:
    """Look whether the stream and the sequence give one gradient of a loss at the last step."""
    if not trial.online or trial.window > 1:
        yield _not_asked("the rule keeps nothing" if not trial.online else "steps of a stream "
                         "are differentiated one at a time")  # fmt: skip
        return
    got, whole = rule_shares(
        trial.learner(), trial.xs, trial.ys, range(trial.length), trial.modulator
    )
    total = {n: sum(share[n] for share in got.values()) for n in whole}
    yield _below("of a loss at the last step", deviation(total, whole), SAME)


@check("unbiased is what equals BPTT in the mean over draws")
def unbiased(trial: Trial) -> Findings:
    """Hold the mean over draws against the exact gradient, in standard errors."""
    claimed = [n for n, p in trial.report.parameters.items() if p.status == UNBIASED]
    if not claimed:
        yield _not_asked("no gradient is called unbiased")
        return
    found = trial.moments
    for name in claimed:
        text = f"{name}: bias {found.bias:.1%} ± {found.noise:.1%}"
        yield _below(text, found.parameters[name], LIMIT)


# -- how it is computed ---------------------------------------------------------------------
SCHEDULES = ("chunk", "chunk(3)", "auto")


@check("every schedule that the rule admits gives the same gradient")
def schedules(trial: Trial) -> Findings:
    """Hold chunks against single steps, on a length that no chunk divides."""
    length = trial.length - 1
    try:
        step = trial.gradient(length, schedule="step")
    except NotSupportedError as error:
        yield _not_asked(f"step: {_first(error)}")
        return
    for label in SCHEDULES:
        try:
            got = trial.gradient(length, schedule=label)
        except NotSupportedError as error:
            yield _not_asked(f"{label}: {_first(error)}")
        else:
            yield _below(label, deviation(got, step), SAME)


@check("steps that come one at a time give the gradient of the sequence")
def streaming(trial: Trial) -> Findings:
    """Add up what `Learner.step` leaves."""
    if not trial.online or trial.window > 1:
        yield _not_asked("the rule needs whole sequences" if not trial.online else "a window of "
                         "more than one step acts as one in a stream")  # fmt: skip
        return
    learner = trial.learner()
    total: Gradient = {}
    for t in range(trial.length):
        trial.step(learner, t)
        for name, g in learner.gradients.items():
            total[name] = total.get(name, 0) + np.asarray(g) * trial.batch
    want = trial.gradient()
    yield _below("sum over steps", deviation(total, want), SAME)


@check("all backends give the same gradient")
def all_backends(trial: Trial) -> Findings:
    """Hold every backend that runs here against NumPy, in single precision."""
    others = [n for n, reason in backends.available().items() if reason is None and n != "numpy"]
    if not others:
        yield _not_asked("no other backend runs here")
        return
    single = trial.gradient(dtype="float32")
    # A rule that divides small differences by small numbers, as node perturbation does, magnifies
    # rounding: no backend is much nearer to another than single precision is to double.
    rounding = deviation(single, trial.gradient(dtype="float64"))
    for name in others:
        got = trial.gradient(dtype="float32", backend=name)
        yield _below(name, deviation(got, single), max(SAME32, 10 * rounding))


# -- batches --------------------------------------------------------------------------------
@check("the gradient of a batch is the sum over its examples")
def batch_is_a_sum(trial: Trial) -> Findings:
    """Leave the loss of one example in at a time."""
    if trial.adapts:
        yield _not_asked("the rule learns arrays that the examples of a batch share")
        return
    learner = trial.learner()
    start = learner.state_dict()
    total: Gradient = {}
    for i in range(trial.batch):
        learner.load_state_dict(start)
        for name, g in _of_one(trial, learner, trial.xs, i).items():
            total[name] = total.get(name, 0) + g
    learner.load_state_dict(start)
    want = trial.of(learner, trial.xs, trial.ys)
    yield _below(f"{trial.batch} examples", deviation(total, want), SAME)


@check("no example feels another")
def no_cross_talk(trial: Trial) -> Findings:
    """Move one example, and look at the gradient of another, bit for bit."""
    if trial.adapts:
        yield _not_asked("the rule learns arrays that the examples of a batch share")
        return
    learner = trial.learner()
    start = learner.state_dict()
    before = _of_one(trial, learner, trial.xs, 1)
    moved = trial.xs.copy()
    moved[:, 0] += 10
    learner.load_state_dict(start)
    after = _of_one(trial, learner, moved, 1)
    off = max(float(np.abs(after[n] - g).max(initial=0)) for n, g in before.items())
    yield (HOLDS if off == 0 else CONTRADICTS), "largest change", off, 0.0


def _of_one(trial: Trial, learner: Any, xs: Any, example: int) -> Gradient:
    """Return the gradient of the loss of one example of a batch."""
    mask = np.zeros(xs.shape[:2])
    mask[:, example] = 1
    return trial.of(learner, xs, trial.ys, mask)


# -- being kept -----------------------------------------------------------------------------
@check("a stream that is saved and loaded goes on bit for bit")
def round_trip(trial: Trial) -> Findings:
    """Go on with a state dict in another learner, and with a fresh start after a reset."""
    if not trial.online:
        yield _not_asked("the rule keeps nothing between steps")
        return
    one, other = trial.learner(), trial.another()
    half = trial.length // 2
    for t in range(half):
        trial.step(one, t)
    other.load_state_dict(one.state_dict())
    for t in range(half, trial.length):
        trial.step(one, t)
        trial.step(other, t)
    pairs = {**one.gradients, **one.stream}, {**other.gradients, **other.stream}
    off = [n for n in pairs[0] if not np.array_equal(pairs[0][n], pairs[1][n])]
    yield (CONTRADICTS if off else HOLDS), ", ".join(off) or "gradients and traces", None, None


@check("a stream that is reset starts over")
def reset_is_fresh(trial: Trial) -> Findings:
    """Run the same steps before and after a reset."""
    if not trial.online:
        yield _not_asked("the rule keeps nothing between steps")
        return
    if trial.stochastic or trial.adapts:
        yield _not_asked("it goes on with new draws" if trial.stochastic else "what it has learned "
                         "is kept")  # fmt: skip
        return
    learner, found = trial.learner(), []
    for _ in range(2):
        learner.reset()
        for t in range(3):
            trial.step(learner, t)
        found.append({**learner.gradients, **learner.stream})
    off = [n for n in found[0] if not np.array_equal(found[0][n], found[1][n])]
    yield (CONTRADICTS if off else HOLDS), ", ".join(off) or "gradients and traces", None, None


@check("the compiled programs are the same in another process")
def same_elsewhere(trial: Trial) -> Findings:
    """Compare digests of the dumps of two processes."""
    if trial.elsewhere is None:
        yield _not_asked("another process cannot find the rule: it was passed as an object")
        return
    other = trial.elsewhere().get(trial.sample.name)
    good = other == trial.digest
    yield (HOLDS if good else CONTRADICTS), f"digest {trial.digest[:12]}", None, None


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
