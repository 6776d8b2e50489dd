"""From what the command line was asked to a configuration, and from that to a learner."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from attrs import frozen

import etp

from .. import optim, tasks
from ..compiler.scope import parse_scope, parse_tail
from ..fit import parse_update
from ..learner import Learner
from ..recipes import recipe
from ..rules import OnlineRule
from ..runs import Config
from ..schedules.planner import parse_schedule
from ..study.certificate_subject import Subject, subject
from ..study.modulators import supplied


def settle(task: tasks.Task, asked: dict[str, Any]) -> Config:
    """Return the configuration for what was asked, None standing for the model's own settings.

    Raises
    ------
    etp.ETPError
        If a name is unknown or a number is out of range.
    """
    own = recipe(asked["model"])
    found = subject(asked["rule"])
    rule = supplied(found.rule, task)
    parse_schedule(asked["schedule"])
    offline = not isinstance(rule, OnlineRule)
    update = as_update(asked["update"] or ("sequence" if offline else "step"))
    backend = etp.backends.get(asked["backend"])
    given = {name: value for name, value in asked.items() if value is not None}
    steps = min(parse_update(update) or task.length, task.length)
    scope = str(parse_scope(asked["scope"], rule.default_scope))
    full = not offline and scope in ("layered", "full")
    config = Config(**{
        "hidden": own.hidden_full if full else own.hidden,
        "lr": own.rate(steps),
        "weight_decay": own.weight_decay,
        "epochs": own.epochs,
        "window": rule.default_window,
        "loss_steps": own.loss_steps(task),
        **given,
        "model": asked["model"].lower(), "rule": found.spec, "update": update,
        "scope": scope, "tail": parse_tail(asked["tail"]),
        "backend": backend.name, "task": task.name, "by": task.by,
    })  # fmt: skip
    task.mask(config.loss_steps)
    return config


def as_update(text: str) -> str | int:
    """Return ``step``, ``sequence``, or a number of steps.

    Raises
    ------
    etp.ETPError
        If it is none of these.
    """
    update = int(text) if text.isdecimal() else text.lower()
    parse_update(update)
    return update


@frozen(eq=False)
class Session:
    """A learner ready to be trained, with its data."""

    config: Config
    task: tasks.Task
    rule: Subject
    learner: Learner
    optimizer: optim.Optimizer

    @property
    def mask(self) -> np.ndarray[Any, Any]:
        """Steps that carry the loss."""
        return self.task.mask(self.config.loss_steps)

    def batches(self, epoch: int, start: int = 0) -> tasks.Batches:
        """Return the batches of an epoch."""
        c = self.config
        return tasks.Batches(self.task.train, self.mask, c.batch_size, c.seed, epoch, start)


def model_of(config: Config, task: tasks.Task) -> etp.Module:
    """Return the model of a configuration, with its first weights."""
    own = recipe(config.model)
    return own.build(task.n_in, config.hidden, task.n_out, task.length, config.seed)


def open_session(config: Config, task: tasks.Task) -> Session:
    """Return the learner of a configuration, compiled for its task.

    The report speaks of the steps between two updates: those have fixed weights.
    """
    model, rule = model_of(config, task), subject(config.rule)
    period = parse_update(config.update) or task.length
    with warnings.catch_warnings():
        # What the compiler warns of is shown in the commands' own words.
        warnings.simplefilter("ignore", etp.CompilationWarning)
        learner = etp.compile(
            model, supplied(rule.rule, task), task.loss,
            backend=config.backend, batch_size=config.batch_size, window=config.window,
            scope=config.scope, tail=config.tail, schedule=config.schedule,
            example=task.example, length=min(period, task.length),
        )  # fmt: skip
    per_epoch = len(task.train) // config.batch_size * -(-task.length // period)
    rate = optim.inverse_root(config.lr, max(1, per_epoch))
    optimizer = optim.adamw(rate, config.weight_decay, clip_norm=config.clip)
    session = Session(config, task, rule, learner, optimizer)
    session.batches(0)
    return session
