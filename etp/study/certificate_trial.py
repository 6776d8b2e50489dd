"""One rule on one model: the learners and gradients that several checks look at, each made once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from attrs import define, field

from etp_ir.errors import ETPError, IRError, NotSupportedError

from ..compile import compile
from ..compiler.records import CompilationWarning
from ..compiler.report import Report
from ..learner import Learner
from ..oracle import unrolled_gradient
from ..rules import LearningRule, OnlineRule
from ..rules.returned import RuleError
from .certificate_draws import Moments, moments
from .certificate_models import Sample, data, sample

Array = np.ndarray[Any, Any]
Gradient = dict[str, Array]
T = TypeVar("T")


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what the compiler warns of: the verdicts say it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompilationWarning)
        yield


@cache
def exact_gradient(name: str, probe: tuple[int, int], length: int, batch: int) -> Gradient:
    """Return the gradient of the summed loss by unrolling the model, in float64.

    Parameters
    ----------
    probe
        Steps and examples of the data, of which the first ``length`` and ``batch`` are taken.
    """
    xs, ys = (a[:length, :batch] for a in data(*probe))
    with quiet():
        learner = compile(
            sample(name).build(), "bptt", "mse", backend="numpy", dtype="float64",
            example=(xs[0, 0], ys[0, 0]),
        )  # fmt: skip
    compiled = learner.engine.last()[0]
    held = {n: learner.backend.to_numpy(x) for n, x in learner.held.items()}
    arrays = {**held, **compiled.step.states, **compiled.loss.constants}
    return unrolled_gradient(
        compiled.loss.program, arrays, {"x": xs, "target": ys}, np.ones((length, batch))
    )


@define(eq=False, slots=False)
class Trial:
    """A rule on a model, in float64 on the NumPy backend.

    Attributes
    ----------
    rule, sample
        What is certified, and on which model.
    options
        Further options of `etp.compile`, such as a window.
    length, batch
        Steps and examples of the probe.
    elsewhere
        Returns what another process makes of the rule: a digest of its programs by model.
    """

    rule: LearningRule
    sample: Sample
    options: Mapping[str, Any] = field(factory=dict)
    length: int = 8
    batch: int = 3
    elsewhere: Callable[[], Mapping[str, str]] | None = None
    _made: dict[tuple[Any, ...], tuple[Learner, dict[str, Any]]] = field(init=False, factory=dict)

    def learner(self, **options: Any) -> Learner:
        """Return a learner that stands at its beginning; the same for the same options.

        Raises
        ------
        etp.ETPError
            If the rule refuses the model.
        """
        key = tuple(sorted(options.items()))
        if key not in self._made:
            made = self.another(**options)
            self._made[key] = made, made.state_dict()
        learner, start = self._made[key]
        learner.load_state_dict(start)
        return learner

    def another(self, **options: Any) -> Learner:
        """Return a learner of one's own."""
        xs, ys = self.xs, self.ys
        given = {
            "backend": "numpy", "dtype": "float64", "length": self.length, "batch_size": self.batch,
            **self.options, **options,
        }  # fmt: skip
        with quiet():
            return compile(
                self.sample.build(), self.rule, "mse", example=(xs[0, 0], ys[0, 0]), **given
            )

    def gradient(self, length: int | None = None, **options: Any) -> Gradient:
        """Return the gradient of the summed loss of the first steps, by a fresh learner."""
        t = length or self.length
        return self.of(self.learner(**options), self.xs[:t], self.ys[:t])

    def of(self, learner: Learner, xs: Array, ys: Array, mask: Any = None) -> Gradient:
        """Return what a learner makes of data: the gradient of the summed loss."""
        given = {} if self.modulator is None else {"modulator": self.modulator[: len(xs)]}
        with quiet():
            found = learner.grad(xs, ys, mask, reduction="sum", **given)[0]
        return {n: np.array(learner.backend.to_numpy(g)) for n, g in found.items()}

    def step(self, learner: Learner, t: int) -> None:
        """Advance the stream of a learner by one step of the probe."""
        given = {} if self.modulator is None else {"modulator": self.modulator[t]}
        learner.step(self.xs[t], self.ys[t], **given)

    def exact(self, length: int | None = None, batch: int | None = None) -> Gradient:
        """Return the same by back-propagation."""
        probe = (self.length, self.batch)
        return exact_gradient(
            self.sample.name, probe, length or self.length, batch or self.batch
        )  # fmt: skip

    @cached_property
    def probe(self) -> tuple[Array, Array]:
        """Inputs and targets (T, B, ...)."""
        return data(self.length, self.batch)

    @cached_property
    def modulator(self) -> Array | None:
        """A modulator for each step, (T,), if the learning signal asks for one."""
        if not self.rule.modulated:
            return None
        return np.random.default_rng(2).normal(size=self.length)

    @property
    def xs(self) -> Array:
        """Inputs (T, B, ...)."""
        return self.probe[0]

    @property
    def ys(self) -> Array:
        """Targets (T, B, ...)."""
        return self.probe[1]

    @cached_property
    def main(self) -> Learner:
        """The learner whose programs and report are told; it meets no data."""
        return self.another()

    @cached_property
    def refused(self) -> str | None:
        """Why the rule refuses the model, or None."""
        try:
            self.main.report()
        except (IRError, RuleError):  # no refusal: the rule itself is wrong
            raise
        except ETPError as error:
            return str(error)
        return None

    @cached_property
    def report(self) -> Report:
        """The compile report."""
        with quiet():
            return self.main.report()

    @cached_property
    def found(self) -> Gradient:
        """The rule's gradient of the whole probe."""
        return self.gradient()

    @cached_property
    def moments(self) -> Moments:
        """Bias and variance over draws."""
        return moments(self)

    @property
    def online(self) -> bool:
        """Whether the rule keeps something between steps, and can stream."""
        return isinstance(self.rule, OnlineRule)

    @property
    def window(self) -> int:
        """The window in use."""
        return int(self.options.get("window", self.rule.default_window))

    @cached_property
    def windows(self) -> tuple[int, ...]:
        """The window in use, 0 and 1, as far as the rule lets them be chosen."""
        found = {self.window}
        if self.online:
            for other in (0, 1):
                try:
                    self.learner(window=other)
                except NotSupportedError:
                    continue
                found.add(other)
        return tuple(sorted(found))

    @cached_property
    def stochastic(self) -> bool:
        """Whether the rule draws random numbers."""
        return isinstance(self.rule, OnlineRule) and self.rule.draws

    @cached_property
    def adapts(self) -> bool:
        """Whether the rule learns arrays of its own that its gradient depends on."""
        learner = self.learner()
        found = []
        for t in (1, self.length):
            self.of(learner, self.xs[:t], self.ys[:t])
            arrays = learner.rule_arrays.items()
            found.append({n: np.array(learner.backend.to_numpy(x)) for n, x in arrays})
        return any(not np.array_equal(x, found[1][n]) for n, x in found[0].items())

    @cached_property
    def digest(self) -> str:
        """A digest of the programs of the rule on the model, text for text."""
        stages = self.main.program
        text = f"{stages.compiled}\n{stages.scheduled}"
        return sha256(text.encode()).hexdigest()

    @property
    def delayed(self) -> bool:
        """Whether the rule hands out credit of the present step later, by its own account."""
        return self.rule.delayed

    @property
    def symmetric(self) -> bool:
        """Whether the signal is the gradient of the loss itself."""
        return self.rule.signal.symmetric
