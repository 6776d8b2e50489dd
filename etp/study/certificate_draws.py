"""Rules that draw random numbers: bias of their gradient, and variance of one draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from .certificate_trial import Trial

Array = np.ndarray[Any, Any]
# Standard errors that a mean may lie off: beyond them less than once in a million tests.
LIMIT = 5.0
PROJECTIONS = 8


@frozen
class Moments:
    r"""Bias and variance of a gradient over draws, for one example.

    With the exact gradient :math:`g` and draws :math:`\hat g`,

    .. math::
        \text{bias} = \frac{\|\mathrm E\,\hat g - g\|}{\|g\|}, \qquad
        \text{variance} = \frac{\mathrm{tr}\,\mathrm{Cov}\,\hat g}{\|g\|^2}.

    Attributes
    ----------
    draws
        Number of draws.
    bias
        Estimated bias, the part that the noise of the mean explains taken off; 0 where all is.
    noise
        Standard error of that estimate: :math:`\sqrt{\text{variance} / \text{draws}}`.
    variance
        Of one draw.
    score
        Largest deviation of the mean in standard errors: along the exact gradient of each
        parameter and along random directions.
    parameters
        Largest score by parameter.
    """

    draws: int
    bias: float
    noise: float
    variance: float
    score: float
    parameters: dict[str, float]


def moments(trial: Trial, calls: int = 60, copies: int = 32) -> Moments:
    """Return bias and variance of a rule's gradient over ``calls * copies`` draws.

    A batch of copies of one example draws for each; calls of a learner draw anew. The mean over a
    batch is one sample of the test, so that heavy tails are averaged before they are tested.
    """
    xs, ys = (np.repeat(a[:, :1], copies, axis=1) for a in trial.probe)
    exact = trial.exact(batch=1)
    names = list(exact)
    learner = trial.learner(batch_size=copies)
    rows = []
    for _ in range(calls):
        found = trial.of(learner, xs, ys)
        rows.append({n: found[n] / copies for n in names})
    samples = {n: np.stack([r[n].ravel() for r in rows]) for n in names}
    want = {n: exact[n].ravel() for n in names}
    scores = {n: _score(samples[n], want[n]) for n in names}
    whole, target = np.concatenate(list(samples.values()), 1), np.concatenate(list(want.values()))
    size = float(target @ target)
    mean = whole.mean(0)
    spread = float(whole.var(0, ddof=1).sum())
    squared = float((mean - target) @ (mean - target)) - spread / calls
    return Moments(
        calls * copies, float(np.sqrt(max(squared, 0.0) / size)),
        float(np.sqrt(spread / calls / size)), spread * copies / size,
        max(_score(whole, target), *scores.values()), scores,
    )  # fmt: skip


def _score(samples: Array, target: Array) -> float:
    """Return the largest standardised deviation of a mean along a few directions."""
    rng = np.random.default_rng(0)
    directions = np.vstack([target, rng.normal(size=(PROJECTIONS, target.size))])
    along = (samples - target) @ directions.T
    error = along.std(0, ddof=1) / np.sqrt(len(samples))
    # Directions along which nothing is drawn: then the deviation itself must be rounding.
    floor = 1e-12 * np.linalg.norm(directions, axis=1) * max(float(np.linalg.norm(target)), 1e-300)
    return float(np.max(np.abs(along.mean(0)) / np.maximum(error, floor)))
