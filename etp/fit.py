"""The training loop: batches in, one compiled program per batch, a history out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, field

from etp_ir.errors import ModelError, NotSupportedError, nearest
from etp_ir.types import TensorType, type_of

from . import optim
from .schedules.training import LARGEST
from .sequences import DataError, as_count, loss_weights

if TYPE_CHECKING:
    from .learner import Learner


@define
class History:
    """What a training run measured.

    Attributes
    ----------
    batches
        One dict per batch: ``epoch``, ``batch``, ``loss`` and further metrics.
    epochs
        One dict per epoch: the same, averaged over its batches.
    interrupted
        Whether the run was stopped by the keyboard or by the callback.
    """

    batches: list[dict[str, Any]] = field(factory=list)
    epochs: list[dict[str, Any]] = field(factory=list)
    interrupted: bool = False

    @property
    def loss(self) -> list[float]:
        """Loss of every batch."""
        return [row["loss"] for row in self.batches]

    def close_epoch(self, epoch: int) -> None:
        """Average the batches of an epoch."""
        rows = [r for r in self.batches if r["epoch"] == epoch]
        if rows:
            names = [n for n in rows[0] if n not in ("epoch", "batch")]
            means = {n: float(np.mean([r[n] for r in rows])) for n in names}
            self.epochs.append({"epoch": epoch, **means})


def fit(
    learner: Learner, batches: Iterable[Any], optimizer: Any, update: str | int, epochs: int,
    callback: Callable[[dict[str, Any]], Any] | None, progress: bool | None,
) -> History:  # fmt: skip
    """Train a learner; see `etp.Learner.fit`."""
    if not isinstance(batches, Iterable):
        raise DataError(
            f"batches must be an iterable of (xs, ys), got {type(batches).__name__}\n"
            "pass a list of batches, a DataLoader or a generator"
        )
    epochs = as_count(epochs, "epochs")
    if epochs > 1 and isinstance(batches, Iterator):
        raise DataError(
            f"batches is an iterator and can be read once, but epochs={epochs}\n"
            "pass a list, a DataLoader, or another iterable that starts over"
        )
    period = parse_update(update)
    if callback is not None and not callable(callback):
        raise DataError(f"callback must be a function of a dict, got {callback!r}")
    chosen = adopt(learner, optimizer)
    history = History()
    with _bar(batches, epochs, progress) as advance:
        try:
            for epoch in range(epochs):
                index = -1
                for index, item in enumerate(batches):
                    metrics = train_batch(learner, item, chosen, period)
                    row = {"epoch": epoch, "batch": index, **metrics}
                    history.batches.append(row)
                    advance(row)
                    if callback is not None and callback(row):
                        history.interrupted = True
                        break
                history.close_epoch(epoch)
                if history.interrupted:
                    break
                if index < 0:
                    raise DataError(f"batches is empty in epoch {epoch}: nothing to train on")
        except KeyboardInterrupt:
            # Parameters are replaced only after a batch is done, so they are whole here.
            history.interrupted = True
            history.close_epoch(epoch)
    return history


def parse_update(update: str | int) -> int | None:
    """Return the steps between updates, or None for one update per sequence.

    Raises
    ------
    etp.ETPError
        If it is neither ``"step"``, ``"sequence"`` nor a positive number of steps.
    """
    if not isinstance(update, str):
        return as_count(update, "update")
    if update not in ("step", "sequence"):
        hint = nearest(update, ["step", "sequence"])
        raise NotSupportedError(
            f"update {update!r} is neither 'step', 'sequence' nor a number of steps{hint}"
        )
    return 1 if update == "step" else None


def adopt(learner: Learner, optimizer: Any) -> Any:
    """Return the optimiser to use, with its state in the learner.

    Raises
    ------
    etp.ModelError
        If it is no optimiser, or none is named and the restored state belongs to another one.
    """
    chosen = optimizer if optimizer is not None else (learner.optimizer or optim.adam(1e-3))
    if isinstance(chosen, tuple):  # a transformation of optax is a named pair of functions
        chosen = _from_optax(learner, chosen)
    chosen = optim.get(chosen)
    try:
        hash(chosen)
    except TypeError:
        raise NotSupportedError(
            f"optimiser {type(chosen).__name__} cannot be hashed, so its program cannot be kept\n"
            "make it immutable, for example with @attrs.frozen or @dataclass(frozen=True)"
        ) from None
    if chosen == learner.optimizer and not learner.restored:
        return chosen
    fresh = chosen.init({n: learner.backend.to_numpy(x) for n, x in learner.params.items()})
    fits = _types(fresh) == _types(learner.optimizer_state)
    if learner.restored and learner.optimizer_state and optimizer is None and not fits:
        raise ModelError(
            "the restored state belongs to another optimiser than the default\n"
            "pass optimizer= as in the run that was saved"
        )
    if not (learner.restored and fits):
        learner.optimizer_state = {
            n: learner.backend.asarray(np.asarray(x)) for n, x in fresh.items()
        }
    learner.optimizer, learner.restored = chosen, False
    return chosen


def _types(state: Mapping[str, Any]) -> dict[str, TensorType]:
    return {n: type_of(x) for n, x in state.items()}


def _from_optax(learner: Learner, optimizer: Any) -> Any:
    if not (callable(getattr(optimizer, "init", None)) and hasattr(optimizer, "update")):
        return optimizer
    if learner.backend.name != "jax":
        raise NotSupportedError(
            "an optax transformation runs on backend 'jax' only; use one of etp.optim"
        )
    from .optax_bridge import OptaxOptimizer

    return OptaxOptimizer.of(optimizer, learner)


def train_batch(
    learner: Learner, item: Any, optimizer: Any, period: int | None
) -> dict[str, float]:
    """Train on one batch, and return its metrics."""
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3, 4):
        raise DataError("each batch must be (xs, ys), (xs, ys, mask) or (xs, ys, mask, modulator)")
    engine = learner.engine
    batch = engine.batch(*item)
    compiled = learner.compile(batch, period)
    length = batch.length
    every = min(period or length, length)
    state = learner.optimizer_state
    types: dict[str, TensorType] = {n: type_of(x) for n, x in state.items()}
    run = engine.executable(
        ("train", length, batch.size, every, optimizer), compiled,
        lambda: compiled.training(length, batch.size, every, optimizer, types), batch,
    )  # fmt: skip
    weights = loss_weights(batch.mask, "mean", every)
    draw, after = learner.draws.sequence()
    given = engine.arguments(
        run.program, compiled.step, compiled.loss.constants, learner.held, batch, draw, weights
    )
    given.update({f"optimizer.{n}": x for n, x in state.items()})
    out = run(given)
    metrics = engine.metrics(out)
    largest = float(learner.backend.to_numpy(out[f"value({LARGEST})"]))
    if not np.isfinite(metrics["loss"]) or not np.isfinite(largest):
        what = "the loss" if not np.isfinite(metrics["loss"]) else "a parameter"
        raise DataError(
            f"{what} became nan or infinite; parameters are those before this batch\n"
            "lower the learning rate, clip gradients (clip_norm=), or look for NaN in the data "
            "(check=True)"
        )
    params = {n: out.get(f"param({n})", x) for n, x in learner.params.items()}
    moments = {n: out[f"state(optimizer.{n})"] for n in state}
    # One assignment, so that an interrupt finds parameters and optimiser of the same batch.
    learner.__dict__.update(
        _params=params, optimizer_state=moments, **learner.moved(run.program, out, after)
    )
    total = float(weights.sum()) or 1.0
    return {name: x / total for name, x in metrics.items()}


def apply_optimizer(
    learner: Learner, optimizer: Any, gradients: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return parameters and optimiser state after an update by gradients, as attributes."""
    chosen = adopt(learner, optimizer)
    as_numpy = learner.backend.to_numpy
    params = {n: as_numpy(x) for n, x in learner.params.items()}
    grads = {n: as_numpy(x) for n, x in gradients.items()}
    state = {n: as_numpy(x) for n, x in learner.optimizer_state.items()}
    new, state = chosen.update(grads, state, params)
    moments = {n: learner.backend.asarray(np.asarray(x)) for n, x in state.items()}
    return {"_params": {**learner.params, **learner.as_params(new)}, "optimizer_state": moments}


class _bar:
    """A progress bar over batches, where the terminal is interactive or it is asked for."""

    def __init__(self, batches: Any, epochs: int, progress: bool | None) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self.shown = console.is_terminal if progress is None else progress
        self.console = console
        try:
            self.total: int | None = len(batches) * epochs
        except TypeError:
            self.total = None

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        if not self.shown:
            return lambda row: None
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"), TimeRemainingColumn(), console=self.console,
        )  # fmt: skip
        task = self.bar.add_task("train", total=self.total, epoch=0, metrics="compiling")
        self.bar.start()

        def advance(row: dict[str, Any]) -> None:
            text = "  ".join(f"{n} {x:.4f}" for n, x in row.items() if n not in ("epoch", "batch"))
            self.bar.update(task, advance=1, epoch=row["epoch"], metrics=text)

        return advance

    def __exit__(self, *_: Any) -> None:
        if self.shown:
            self.bar.stop()
