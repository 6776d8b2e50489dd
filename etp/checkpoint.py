"""What a learner is, as named NumPy arrays: the state dict, and its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from etp_ir.errors import ETPError, ModelError

if TYPE_CHECKING:
    from .learner import Learner

FORMAT = 1


class CheckpointError(ETPError):
    """A checkpoint file cannot be read."""


def pack(learner: Learner) -> dict[str, Any]:
    """Return parameters, stream, optimiser state and settings of a learner."""
    as_numpy = learner.backend.to_numpy
    return {
        "format": FORMAT,
        "rule": learner.options.rule.name,
        "window": learner.options.window,
        "params": {n: np.array(as_numpy(x)) for n, x in learner.params.items()},
        "stream": {n: np.array(as_numpy(x)) for n, x in learner.stream.items()},
        "optimizer": {n: np.array(as_numpy(x)) for n, x in learner.optimizer_state.items()},
    }


def unpack(learner: Learner, state: Mapping[str, Any]) -> None:
    """Restore a learner from `pack`; nothing is changed if it does not fit."""
    for part in ("format", "params", "stream", "optimizer"):
        if part not in state:
            raise ModelError(f"not a state dict of a learner: {part!r} is missing")
    if int(state["format"]) != FORMAT:
        raise ModelError(f"state dict of format {state['format']}, this version reads {FORMAT}")
    held = learner.params
    learner.check_params(state["params"])
    missing = [n for n in held if n not in state["params"]]
    if missing:
        raise ModelError(f"the state dict lacks {', '.join(missing)}")
    if state["stream"] and state.get("rule") != learner.options.rule.name:
        raise ModelError(
            f"the stream was made by rule {state.get('rule')!r}, this learner uses "
            f"{learner.options.rule.name!r}"
        )
    to = learner.backend.asarray
    learner.params = state["params"]
    learner.stream = {n: to(np.array(x)) for n, x in state["stream"].items()}
    learner.optimizer_state = {n: to(np.array(x)) for n, x in state["optimizer"].items()}
    learner.optimizer = None if not state["optimizer"] else learner.optimizer


def save(path: str | Path, state: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
    """Write a state dict to a file; a crash never leaves a half-written one.

    Parameters
    ----------
    extra
        Plain data (numbers, texts, lists, dicts) kept with it.
    """
    target = Path(path)
    arrays = {
        f"{part}/{name}": array
        for part in ("params", "stream", "optimizer") for name, array in state[part].items()
    }  # fmt: skip
    header = {k: v for k, v in state.items() if not isinstance(v, Mapping)}
    header["extra"] = dict(extra or {})
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    partial = target.with_name(target.name + ".partial")
    with open(partial, "wb") as file:
        np.savez(file, header=text, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, target)


def load(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state dict of a file, and the plain data kept with it.

    Raises
    ------
    CheckpointError
        If the file is missing, corrupt, or no checkpoint.
    """
    source = Path(path)
    if not source.is_file():
        raise CheckpointError(f"no checkpoint at {source}")
    try:
        with np.load(source, allow_pickle=False) as file:
            header = json.loads(bytes(file["header"]).decode())
            state: dict[str, Any] = {"params": {}, "stream": {}, "optimizer": {}}
            for key in file.files:
                part, _, name = key.partition("/")
                if name:
                    state[part][name] = file[key]
    except Exception as error:
        raise CheckpointError(
            f"{source} is not a readable checkpoint ({type(error).__name__}: {error})\n"
            "restore it from a copy, or start a new run"
        ) from error
    extra = header.pop("extra", {})
    return {**header, **state}, extra
