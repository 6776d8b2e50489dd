"""What a comparison of learning rules measured, as data."""

from __future__ import annotations

import json
from math import isfinite, nan
from typing import Any

import numpy as np
from attrs import asdict, frozen

from .alignment import GradientAlignment


@frozen
class Mean:
    """Mean and spread of a figure over runs.

    Attributes
    ----------
    mean
        Over the runs in which it is a number; nan if there is none.
    spread
        Standard deviation over the same runs, 0 for a single one.
    count
        Number of them.
    """

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Any) -> Mean:
        """Return mean and spread of the numbers among some values."""
        known = np.array([x for x in values if isfinite(x)], np.float64)
        if not known.size:
            return cls(nan, nan, 0)
        spread = float(known.std(ddof=1)) if known.size > 1 else 0.0
        return cls(float(known.mean()), spread, int(known.size))


@frozen
class Point:
    """A look at a network in training.

    Attributes
    ----------
    update
        Number of updates before it.
    metrics
        Loss, and accuracy if there are classes, on the test set.
    alignment
        How the rule's gradient stands to that of back-propagation through time, at the same
        parameters and on the same batch.
    """

    update: int
    metrics: dict[str, float]
    alignment: GradientAlignment

    def figure(self, what: str, parameter: str | None) -> float:
        """Return a figure of the alignment of a parameter or of all; nan if there is none."""
        found = self.alignment
        one = found.overall if parameter is None else found.parameters.get(parameter)
        return nan if one is None else float(getattr(one, what))


@frozen
class Run:
    """One training of one rule from one seed.

    Attributes
    ----------
    seed
        Of the first weights and the order of the data.
    losses
        Training loss of every update.
    points
        Looks in between: the first before all training, the last at the end of it.
    seconds_per_step
        Median wall time of a training step of a batch, compiling left out.
    stopped
        Why it ended early, in one line, or None.
    """

    seed: int
    losses: tuple[float, ...]
    points: tuple[Point, ...]
    seconds_per_step: float
    stopped: str | None = None

    def at(self, update: int | None) -> list[Point]:
        """Return the looks after a number of updates, none or one; all of them for None."""
        return [p for p in self.points if update is None or p.update == update]


@frozen
class Cost:
    """What one step of a batch costs.

    Attributes
    ----------
    flops, bytes_moved
        Estimates of the compiler for traces that are advanced step by step.
    trace_bytes
        Memory of all traces of the batch.
    seconds
        Measured, mean over runs.
    """

    flops: int
    bytes_moved: int
    trace_bytes: int
    seconds: float


@frozen
class RuleResult:
    """What became of one rule.

    Attributes
    ----------
    label
        Name in tables.
    rule
        Name of the rule, as the learner gives it.
    runs
        One per seed, those cut short included.
    cost
        None if nothing was trained.
    refused
        Why the model cannot be trained with it, in one line, or None.
    modulator
        What its third factor was in training, or nothing.
    """

    label: str
    rule: str
    runs: tuple[Run, ...] = ()
    cost: Cost | None = None
    refused: str | None = None
    modulator: str = ""

    def metric(self, name: str, update: int) -> Mean:
        """Return a metric on the test set after some updates."""
        return Mean.of(p.metrics.get(name, nan) for run in self.runs for p in run.at(update))

    def final(self, name: str = "loss") -> Mean:
        """Return a metric on the test set at the end of each run, wherever that was.

        A run that diverged counts with what it had reached before.
        """
        return Mean.of(run.points[-1].metrics.get(name, nan) for run in self.runs if run.points)

    def aligned(
        self, what: str, update: int | None = None, parameter: str | None = None
    ) -> Mean:  # fmt: skip
        """Return a figure of an `Alignment`.

        Parameters
        ----------
        what
            ``"cosine"``, ``"ratio"`` or ``"deviation"``.
        update
            Number of updates before; by default the mean over all points of each run.
        parameter
            Dotted path; all parameters together by default.
        """
        return Mean.of(
            Mean.of(p.figure(what, parameter) for p in run.at(update)).mean for run in self.runs
        )

    @property
    def stopped(self) -> str | None:
        """Why runs ended early, and how many did; None if none did."""
        reasons = [run.stopped for run in self.runs if run.stopped]
        return f"{len(reasons)} of {len(self.runs)} runs: {reasons[0]}" if reasons else None


@frozen
class Comparison:
    """Learning rules trained side by side; made by `compare`.

    Attributes
    ----------
    task, model
        What was learned, and by what.
    chance
        Metrics of the best constant answer.
    setting
        Everything else that the rules had in common.
    parameters
        Dotted paths of the model's parameters.
    rules
        In the order in which they were asked for.
    interrupted
        Whether it was stopped before the end.
    """

    task: str
    model: str
    chance: dict[str, float]
    setting: dict[str, Any]
    parameters: tuple[str, ...]
    rules: tuple[RuleResult, ...]
    interrupted: bool = False

    @property
    def updates(self) -> list[int]:
        """Numbers of updates after which at least one run was looked at."""
        return sorted({p.update for r in self.rules for run in r.runs for p in run.points})

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, None where a figure is not a number."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def to_json(self, indent: int | None = 1) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_latex(self) -> str:
        """Return the table of rules for a paper; it needs the package ``booktabs``."""
        from .compare_text import latex

        return latex(self)

    def table(self) -> str:
        """Return the tables as text."""
        from .compare_text import text

        return text(self)

    def print(self, console: Any = None) -> None:
        """Print the tables (to the terminal, or to a ``rich`` console)."""
        from .compare_text import show

        show(self, console)

    def plot(self, path: Any) -> None:
        """Draw learning curves and alignment into a PNG file."""
        from .compare_plot import draw

        draw(self, path)


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _plain(x) for k, x in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(x) for x in data]
    if isinstance(data, float) and not isfinite(data):
        return None
    return data
