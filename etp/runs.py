"""Run folders: what a training run is asked for, where it stands, and the files that say so."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, define, field, fields, frozen, resolve_types

from etp_ir.errors import ETPError

from . import checkpoint

CONFIG, METRICS, CHECKPOINT = "config.json", "metrics.jsonl", "checkpoint.npz"
CURVE, REPORT, DUMP, AUDIT = "curve.png", "report.txt", "dump.etp", "audit.png"
# Weights along training: one file for each epoch, named by the epochs before it.
WEIGHTS = "weights"


class RunError(ETPError):
    """A run folder cannot be used."""


@frozen
class Config:
    """Everything a training run depends on.

    Attributes
    ----------
    task, by
        Data, and how they are read.
    model, hidden
        Model, and its number of hidden units.
    rule
        Name with arguments, as in ``snap(2)``, or ``file.py:Class`` with them.
    window, scope, tail, schedule, backend
        As `etp.compile` takes them, all settled: no ``auto`` backend, no default window.
    update
        ``"step"``, ``"sequence"`` or a number of steps.
    lr, clip, weight_decay
        Learning rate of the first epoch, largest norm of a gradient, decay of the weights.
    batch_size, loss_steps
        Examples per batch, and steps at the end of each sequence that carry the loss.
    epochs
        Epochs in all.
    seed
        What initial parameters and the order of the data depend on.
    """

    task: str
    by: str
    model: str
    hidden: int
    rule: str
    window: int
    scope: str
    tail: str
    schedule: str
    backend: str
    update: str | int
    lr: float
    clip: float
    weight_decay: float
    batch_size: int
    loss_steps: int
    epochs: int
    seed: int


@define
class Progress:
    """How far a run has come.

    Attributes
    ----------
    epochs
        One dict of metrics per finished epoch.
    batches
        One dict of metrics per batch of the epoch under way.
    seconds
        Time that epoch has taken so far.
    """

    epochs: list[dict[str, Any]] = field(factory=list)
    batches: list[dict[str, Any]] = field(factory=list)
    seconds: float = 0.0


@frozen
class RunFolder:
    """The folder of one run."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config) -> RunFolder:
        """Return a new folder with the configuration in it.

        Raises
        ------
        RunError
            If there is something in the way.
        """
        cls.check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path)
            folder.write_config(config)
        except OSError as error:
            raise RunError(f"cannot write to {path}: {error.strerror}") from error
        return folder

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise if a new run cannot be kept in a folder.

        Raises
        ------
        RunError
            If there is something in the way.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(
                f"{path} exists and is not an empty folder; "
                "choose another --out, or go on with the run in it by --resume"
            )

    @classmethod
    def open(cls, path: Path) -> tuple[RunFolder, Config]:
        """Return the folder of an earlier run, and its configuration.

        Raises
        ------
        RunError
            If it is no run folder, or its configuration cannot be read.
        """
        if not (path / CONFIG).is_file():
            raise RunError(f"{path} is no run folder: it has no {CONFIG}")
        try:
            given = json.loads((path / CONFIG).read_text(encoding="utf-8"))
            config = Config(**{f.name: given[f.name] for f in fields(Config)})
            for f in fields(resolve_types(Config)):
                value, kinds = getattr(config, f.name), (f.type, int) if f.type is float else f.type
                if not isinstance(value, kinds):  # type: ignore[arg-type]
                    raise TypeError(f"{f.name} is {value!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path / CONFIG} is not a readable configuration "
                f"({type(error).__name__}: {error})\n"
                "restore it from a copy, or start a new run"
            ) from error
        return cls(path), config

    def write_config(self, config: Config) -> None:
        """Write the configuration."""
        self.write(CONFIG, json.dumps(asdict(config), indent=2) + "\n")

    def write(self, name: str, text: str) -> None:
        """Write a text file; a crash never leaves a half-written one."""
        partial = self.path / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, self.path / name)

    def save(self, state: Mapping[str, Any], progress: Progress) -> None:
        """Write the checkpoint, then the metrics of the epochs it knows of."""
        checkpoint.save(self.path / CHECKPOINT, state, asdict(progress))
        self.write(METRICS, "".join(json.dumps(row) + "\n" for row in progress.epochs))

    def keep_weights(self, epoch: int, params: Mapping[str, Any]) -> None:
        """Write the parameters that a run has after some epochs, for an audit of them later."""
        folder = self.path / WEIGHTS
        folder.mkdir(exist_ok=True)
        final = folder / f"{epoch:04d}.npz"
        partial = final.with_suffix(".partial")
        with open(partial, "wb") as file:
            arrays: dict[str, Any] = {n: np.asarray(x) for n, x in params.items()}
            np.savez(file, **arrays)
        os.replace(partial, final)

    def weights(self) -> dict[int, dict[str, Any]]:
        """Return the parameters along training, by the epochs before them.

        Raises
        ------
        RunError
            If a file of them cannot be read.
        """
        found = {}
        for path in sorted((self.path / WEIGHTS).glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    found[int(path.stem)] = {n: file[n] for n in file.files}
            except Exception as error:
                raise RunError(
                    f"{path} cannot be read ({type(error).__name__}: {error})\n"
                    "remove it; the other epochs can be audited without it"
                ) from error
        return found

    def load(self) -> tuple[dict[str, Any], Progress]:
        """Return the state dict of the checkpoint, and how far the run had come.

        Raises
        ------
        etp.ETPError
            If the checkpoint is missing or corrupt.
        """
        state, extra = checkpoint.load(self.path / CHECKPOINT)
        try:
            return state, Progress(**extra)
        except TypeError as error:
            raise RunError(f"{self.path / CHECKPOINT} was not written by a training run") from error
