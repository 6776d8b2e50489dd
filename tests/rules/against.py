"""How rules of the package are held against hand-written twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from attrs import field, frozen

from tests.rules.homes import HOMES, learner, near, streamed, weight

M, OUT, STEPS = 3, 2, 10
Entries = Callable[[Any], np.ndarray]


@frozen
class Case:
    """A rule, its twin, the home of both, and where the package keeps each trace of the twin.

    Attributes
    ----------
    rule
        What `etp.compile` gets.
    twin
        Makes the twin of a learner, whose ``learner.buffers`` hold what was drawn at random.
    net
        Makes the home.
    traces
        For names of the twin: that of the package's trace, or a function of all its traces.
    draws
        The random numbers of the first steps, for the twin, given how many.
    modulators
        What the package gets beside the data, given how many steps.
    options
        Further options of `etp.compile`.
    weights
        The weights that are compared; all of the home by default.
    prepare
        Called with the learner and the home before anything runs.
    """

    rule: Any
    twin: Callable[[Any], Any]
    net: Callable[[], Any]
    traces: Mapping[str, str | Callable[[Mapping[str, Any]], Any]] = field(factory=dict)
    draws: Callable[[int], Any] | None = None
    modulators: Callable[[int], Any] | None = None
    options: Mapping[str, Any] = field(factory=dict)
    weights: Sequence[str] | None = None
    prepare: Callable[[Any, Any], None] | None = None


def mostly_slow(names: Sequence[str], quick: Sequence[str]) -> list[Any]:
    """Return parameters of which all but the quick ones are in the slow set."""
    slow = pytest.mark.slow
    return [pytest.param(n, marks=() if n in quick else slow) for n in names]


def data(spikes: bool = False, length: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    xs, ys = rng.normal(size=(length, M)), rng.normal(size=(length, OUT))
    return ((xs > -0.5) * 1.0 if spikes else xs), ys


def check(
    case: Case, lr: float = 0.0, steps: int = STEPS, tolerance: float = 1e-10
) -> None:  # fmt: skip
    """Compare every trace entry, loss and gradient of every step, and the weights at the end."""
    net = case.net()
    xs, ys = data(not hasattr(net, "alpha") and not hasattr(net, "eta"), steps)
    made = learner(net, case.rule, xs, ys, **case.options)
    if case.prepare is not None:
        case.prepare(made, net)
    run = HOMES[type(net)][1]
    twin = case.twin(made)
    draws = {} if case.draws is None else {"draws": case.draws(steps)}
    wanted = run(twin, net, xs, ys, lr=lr, **draws)
    sizes: dict[str, float] = {}
    modulators = None if case.modulators is None else case.modulators(steps)

    def same(name: str, got: Any, want: Any, t: int) -> None:
        sizes[name] = max(sizes.get(name, 0), near(got, want, tolerance, f"{name} at step {t}"))

    for t, (loss, traces, grads) in enumerate(streamed(made, xs, ys, lr, modulators)):
        same("loss", loss, wanted[t].loss, t)
        for own, key in case.traces.items():
            assert callable(key) or key in traces, f"no trace {key!r} in {sorted(traces)}"
            same(own, key(traces) if callable(key) else traces[key], wanted[t].traces[own], t)
        for own in case.weights or wanted[t].grads:
            same(f"gradient of {own}", grads[weight(own)], wanted[t].grads[own], t)
    assert min(sizes.values()) > 1e-3, f"nothing is compared: {sizes}"
    for own in case.weights or wanted[-1].grads:
        same(own, made.params[weight(own)], wanted[-1].weights[own], steps)
    if lr:
        start = case.net().weights
        moved = [np.abs(wanted[-1].weights[n] - start[n]).max() for n in start]
        assert min(moved) > 10 * tolerance, "nothing was learned"
