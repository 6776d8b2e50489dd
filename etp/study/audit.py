"""Audits: what gradient a model was trained with, parameter by parameter and lag by lag."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import asdict, frozen

from etp_ir.errors import ETPError

from ..compile import compile
from ..learner import Learner
from ..model import Module
from ..rules import LearningRule
from .alignment import Alignment, align
from .audit_words import SAME, in_words
from .certificate import _finite as finite
from .certificate_trial import quiet
from .lags import LagProfile, lag_profile
from .modulators import told

Arrays = Mapping[str, Any]


@frozen
class Checkpoint:
    """The gradient at one point of training, against BPTT.

    Attributes
    ----------
    epoch
        Epochs of training before it.
    overall
        All parameters as one vector.
    parameters
        By dotted path.
    lags
        Credit by lag, or None for a rule that keeps nothing between steps.
    """

    epoch: int
    overall: Alignment
    parameters: Mapping[str, Alignment]
    lags: LagProfile | None = None


@frozen
class ParameterAudit:
    """One parameter: what is claimed, what is measured at the end, and why.

    Attributes
    ----------
    status, reason
        What the compiler says.
    credit
        The part of BPTT's gradient that arrives, at the last checkpoint: the component along it,
        relative to its norm. nan where BPTT gives nothing.
    words
        All of it in a sentence or two.
    story
        Where the parameter enters, what it reaches and what is cut.
    """

    status: str
    reason: str
    credit: float
    words: str
    story: str


@frozen
class Audit:
    """What `etp audit` tells of a trained model.

    Attributes
    ----------
    title
        What was trained on what.
    rule
        Name of the rule.
    setting
        Further settings in words.
    examples, length
        Data that gradients were taken on.
    checkpoints
        Along training; the last one is what was trained.
    parameters
        By dotted path.
    interrupted
        Whether it was stopped before the last checkpoint.
    """

    title: str
    rule: str
    setting: str
    examples: int
    length: int
    checkpoints: tuple[Checkpoint, ...]
    parameters: Mapping[str, ParameterAudit]
    interrupted: bool = False

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Parameters that are called exact and are not."""
        return tuple(
            name for name, p in self.parameters.items()
            for c in self.checkpoints
            if p.status == "exact" and c.parameters[name].deviation > SAME
            and c.parameters[name].reference > 1e-9 * c.overall.reference
        )  # fmt: skip

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts what is claimed."""
        return not self.contradictions

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain data."""
        return {"ok": self.ok, **asdict(self)}

    def to_json(self) -> str:
        """Return the audit as JSON; numbers that are not finite become null."""
        return json.dumps(finite(self.to_dict()), indent=2) + "\n"

    def to_latex(self) -> str:
        """Return the table of parameters as LaTeX."""
        from .audit_text import latex

        return latex(self)

    def print(self, console: Any = None) -> None:
        """Print the tables (to the terminal, or to a ``rich`` console)."""
        from .audit_text import show

        show(self, console)

    def plot(self, path: Any) -> None:
        """Draw alignment over training and credit by lag into a PNG file."""
        from .audit_plot import draw

        draw(path, self)

    def __str__(self) -> str:
        from .audit_text import text

        return text(self)


def audit(
    model: Module, rule: str | LearningRule | type[LearningRule], loss: Any, xs: Any, ys: Any,
    mask: Any = None, *, modulator: Any = None, checkpoints: Mapping[int, Arrays] | None = None,
    options: Mapping[str, Any] | None = None, update: str | int = "sequence", lag_examples: int = 4,
    title: str = "", label: str = "", heard: Callable[[str], Any] | None = None,
) -> Audit:  # fmt: skip
    """Return how the gradients of a rule stood to BPTT, in float64 on the NumPy backend.

    Gradients are taken with weights fixed over each sequence, whatever the updates were.

    Parameters
    ----------
    model, rule, loss
        As `etp.compile` takes them.
    xs, ys, mask
        A batch of sequences, as `etp.Learner.grad` takes it.
    modulator
        Beside them, for a rule whose learning signal asks for one.
    checkpoints
        Parameters by dotted path, by the number of epochs before them; by default those that the
        model has now.
    options
        Further options of `etp.compile`: ``window``, ``scope``, ``tail``.
    update
        When weights changed; a rule that keeps nothing between updates is cut there.
    lag_examples
        Examples on which credit is told by lag; 0 for none.
    title, label
        What was trained on what, and what the rule is called; by default its name.
    heard
        Called with what is looked at next.

    Returns
    -------
    audit
        With the checkpoints that were done, if the keyboard interrupted it after the first.

    Raises
    ------
    etp.ETPError
        If the data or the parameters do not fit the model.
    """
    from .audit_gradients import Gradients, draws

    steps = np.shape(xs)[0]
    example = (np.asarray(xs)[-1, 0], np.asarray(ys)[-1, 0])

    def learner(rule: Any, **given: Any) -> Learner:
        with quiet():
            return compile(
                model, rule, loss, backend="numpy", dtype="float64", batch_size=np.shape(xs)[1],
                example=example, length=steps, **given,
            )  # fmt: skip

    studied, exact = learner(rule, **(options or {})), learner("bptt")
    gradients = Gradients(studied, exact, update)
    points = checkpoints or {0: {n: np.asarray(x) for n, x in studied.params.items()}}
    done: list[Checkpoint] = []
    try:
        for epoch, params in sorted(points.items()):
            if heard is not None:
                heard(f"after {epoch} epochs")
            got, want = gradients(params, xs, ys, mask, modulator)
            found = align(got, want)
            lags = _lags(studied, params, xs, ys, modulator, lag_examples)
            done.append(Checkpoint(epoch, found.overall, found.parameters, lags))
    except KeyboardInterrupt:
        if not done:
            raise
    with quiet():
        statuses, graph = gradients.statuses(steps), studied.graph
    last = done[-1]
    parameters = {}
    for name, s in statuses.items():
        a = last.parameters[name]
        by_lag = {x.lag: x.parameters[name] for x in last.lags.shares} if last.lags else {}
        words = in_words(s.status, s.reason, a, last.overall.reference, by_lag)
        credit = a.ratio * a.cosine if a.norm else (0.0 if a.reference else float("nan"))
        parameters[name] = ParameterAudit(
            s.status, s.reason, credit, words, graph.explain(name)
        )  # fmt: skip
    o = studied.options
    given = f"window {o.window}, scope {o.scope}" + ("" if o.tail == "diagonal" else ", tail exact")
    every = update if isinstance(update, str) else f"{update} steps"
    if draws(o.rule) > 1:
        given += f", mean of {draws(o.rule)} draws"
    if told(o.rule):
        given += f", modulator {told(o.rule)}"
    return Audit(
        title, label or o.rule.name, f"{given}, update per {every}", int(np.shape(xs)[1]), steps,
        tuple(done), parameters, len(done) < len(points),
    )  # fmt: skip


def _lags(
    learner: Learner, params: Arrays, xs: Any, ys: Any, modulator: Any, examples: int
) -> LagProfile | None:
    """Return credit by lag at 0, 1, 2, 4, 8 ... and the longest, or None where there is none."""
    if not examples:
        return None
    learner.params = params
    length = len(xs)
    wanted = {0, length - 1, *(2**k for k in range(length.bit_length()) if 2**k < length)}
    if length <= 8:
        wanted = set(range(length))
    if np.ndim(modulator) > 1:
        modulator = modulator[:, :examples]
    try:
        with quiet():
            return lag_profile(learner, xs[:, :examples], ys[:, :examples], wanted, modulator)
    except ETPError:
        return None
