"""Learning rules side by side: the same model, the same data, the same first weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import ceil
from statistics import fmean
from typing import Any

import numpy as np
from attrs import evolve, fields, frozen

from etp_ir.errors import ETPError, ModelError

from .. import optim, tasks
from ..backends import get
from ..fit import parse_update
from ..model import Module
from ..recipes import recipe
from ..rules import LearningRule, resolve
from ..sequences import as_count
from .certificate_subject import subject
from .compare_result import Comparison, Cost, RuleResult, Run
from .compare_training import Contender, Setting, Stopped, Trial, Watch
from .modulators import supplied, told

Rule = str | LearningRule | type[LearningRule] | Contender


@frozen(kw_only=True)
class Plan:
    """How rules are compared.

    Attributes
    ----------
    seeds
        How many, from 0 on, or which: of first weights, order of the data and random numbers.
    updates
        Batches to train on.
    points
        Looks at each network: at its metrics on the test set, and at its gradient.
    hidden
        Hidden units, where the model is given by name.
    batch_size
        Sequences per batch.
    lr
        Learning rate of Adam in the beginning; it falls to a tenth along half a cosine. By
        default that of the model.
    clip
        Largest norm of a gradient.
    loss_steps
        Steps at the end of a sequence that carry the loss; by default the task's or the model's.
    update
        When parameters change, see `etp.Learner.fit`.
    backend
        See `etp.compile`; small networks of short sequences are fastest on ``"numpy"``.
    options
        Further arguments of `etp.compile`, such as ``{"dtype": "float64"}``.
    """

    seeds: int | tuple[int, ...] = 5
    updates: int = 400
    points: int = 9
    hidden: int = 32
    batch_size: int = 32
    lr: float | None = None
    clip: float = 1.0
    loss_steps: int | None = None
    update: str | int = "sequence"
    backend: Any = "numpy"
    options: Mapping[str, Any] = {}


def compare(
    rules: Iterable[Rule], model: str | Callable[[int], Module] = "leaky_rnn",
    task: str | tasks.Task = "digits", *, watch: Watch | None = None, **plan: Any,
) -> Comparison:  # fmt: skip
    """Return what becomes of one model when different rules train it.

    All rules start from the same weights and see the same batches. At several points of the
    training the rule's gradient is held against that of back-propagation through time, at the
    parameters that the rule has reached, on one batch of the test set.

    Parameters
    ----------
    rules
        Names, ``file.py:Class``, rule objects or classes, or `Contender` with options of their own.
        A rule that asks for a modulator beside the data is given one of the task.
    model
        A name that ``etp train --model`` takes, or a function of a seed that returns a model.
    task
        A task or its name, see `etp.tasks`.
    watch
        Called after each update with the rule's label, seed, number of updates and loss; returning
        true stops the comparison.
    plan
        Attributes of `Plan`.

    Returns
    -------
    comparison
        A rule that refuses the model is in it with its reason. If it was stopped, by ``watch`` or
        by the keyboard, it holds what was measured until then.

    Raises
    ------
    etp.ETPError
        If a name is unknown, or a number is out of range.
    """
    chosen = Plan(**_known(plan))
    asked = tasks.load(task) if isinstance(task, str) else task
    contenders = _labelled([_contender(rule, asked) for rule in rules])
    setting = _setting(chosen, model, asked)
    seeds = chosen.seeds
    if isinstance(seeds, int):
        seeds = tuple(range(as_count(seeds, "seeds")))
    found = {c.label: resolve(c.rule) for c in contenders}
    done = {label: RuleResult(label, r.name, modulator=told(r)) for label, r in found.items()}
    interrupted = False
    try:
        for seed in seeds:  # the outer loop: a comparison cut short has seen all rules
            reference = setting.exact(seed)
            for contender in contenders:
                if not done[contender.label].refused:
                    _compete(done, Trial(contender, setting, seed, reference), watch)
    except (KeyboardInterrupt, Stopped):
        interrupted = True
    return Comparison(
        asked.title, model if isinstance(model, str) else getattr(model, "__name__", "model"),
        asked.chance, _told(chosen, setting, seeds), tuple(setting.build(0).named_params()),
        tuple(done.values()), interrupted,
    )  # fmt: skip


def _compete(done: dict[str, RuleResult], trial: Trial, watch: Watch | None) -> None:
    """Add what one training measures to the results, also if it is stopped."""
    label = trial.contender.label
    try:
        trial.run(watch)
    except ETPError as error:
        done[label] = evolve(done[label], refused=one_line(error))
    finally:
        if trial.points:
            runs = (*done[label].runs, trial.result())
            cost = _timed(done[label].cost or trial.cost(), runs)
            done[label] = evolve(done[label], runs=runs, cost=cost)


def _timed(cost: Cost, runs: tuple[Run, ...]) -> Cost:
    known = [run.seconds_per_step for run in runs if run.seconds_per_step > 0]
    return evolve(cost, seconds=fmean(known)) if known else cost


def one_line(error: Exception) -> str:
    """Return what an error says is wrong, in one line."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _known(plan: Mapping[str, Any]) -> dict[str, Any]:
    from etp_ir.errors import nearest

    names = [f.name for f in fields(Plan)]
    for name in plan:
        if name not in names:
            raise ETPError(f"a comparison has no setting {name!r}{nearest(name, names)}")
    return dict(plan)


def _contender(rule: Rule, task: tasks.Task) -> Contender:
    if isinstance(rule, Contender):
        return evolve(rule, rule=supplied(subject(rule.rule).rule, task))
    found = subject(rule)
    return Contender(found.label if isinstance(rule, str) else found.rule.name,
                     supplied(found.rule, task))  # fmt: skip


def _labelled(contenders: list[Contender]) -> list[Contender]:
    if not contenders:
        raise ETPError("there are no rules to compare: name at least one")
    labels = [c.label for c in contenders]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ETPError(f"two rules are called {twice!r}: give each a label, etp.study.Contender")
    return contenders


def _setting(plan: Plan, model: str | Callable[[int], Module], task: tasks.Task) -> Setting:
    own = recipe(model if isinstance(model, str) else "leaky_rnn")
    hidden, updates = as_count(plan.hidden, "hidden"), as_count(plan.updates, "updates")
    looks = np.linspace(0, updates, as_count(plan.points, "points", least=2))
    period = min(parse_update(plan.update) or task.length, task.length)
    rate = own.rate(period) if plan.lr is None else plan.lr
    steps = updates * ceil(task.length / period)

    def build(seed: int) -> Module:
        if isinstance(model, str):
            return own.build(task.n_in, hidden, task.n_out, task.length, seed)
        made = model(seed)
        if not isinstance(made, Module):
            raise ModelError(f"the model of seed {seed} is no etp.Module, but {made!r}")
        return made

    setting = Setting(
        task, build, tuple(dict.fromkeys(round(float(x)) for x in looks)), plan.update,
        optim.adam(optim.cosine(rate, steps, rate / 10), clip_norm=plan.clip),
        as_count(plan.batch_size, "batch_size"), plan.loss_steps or own.loss_steps(task),
        {"backend": get(plan.backend), **plan.options},
    )  # fmt: skip
    setting.task.mask(setting.loss_steps)
    next(setting.batches(0))
    return setting


def _told(plan: Plan, setting: Setting, seeds: Iterable[int]) -> dict[str, Any]:
    """Return the settings as plain data."""
    rate: Any = setting.optimizer.rate
    return {
        "seeds": list(seeds), "updates": plan.updates, "hidden": plan.hidden,
        "batch_size": plan.batch_size, "lr": rate.peak, "clip": plan.clip,
        "loss_steps": setting.loss_steps, "update": plan.update, "steps": setting.task.length,
        "backend": setting.options["backend"].name,
        **{n: str(x) for n, x in plan.options.items()},
    }  # fmt: skip


def split_rules(text: str) -> list[str]:
    """Return the names in a comma-separated list; commas within parentheses part no names.

    Examples
    --------
    >>> split_rules("d_rtrl, tbptt(1,10)")
    ['d_rtrl', 'tbptt(1,10)']
    """

    def pieces() -> Iterator[str]:
        depth, piece = 0, ""
        for c in text:
            depth += {"(": 1, ")": -1}.get(c, 0)
            if c == "," and depth == 0:
                yield piece
                piece = ""
            else:
                piece += c
        yield piece

    return [name for piece in pieces() if (name := piece.strip())]
