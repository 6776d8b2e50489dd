"""What a learner is, as named NumPy arrays: the state dict, and its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict

from etp_ir.errors import ETPError, ModelError, ShapeError, nearest

from .keys import Draws
from .model import collect
from .place import placed
from .sequences import as_array

if TYPE_CHECKING:
    from .learner import Learner

FORMAT = 1
PARTS = ("params", "stream", "optimizer", "buffers", "rule_arrays")
# A state dict of before may lack these.
LATER = ("buffers", "rule_arrays")


class CheckpointError(ETPError):
    """A checkpoint file cannot be read."""


def pack(learner: Learner) -> dict[str, Any]:
    """Return parameters, stream, optimiser state and settings of a learner."""
    as_numpy = learner.backend.to_numpy
    return {
        "format": FORMAT,
        "rule": learner.options.rule.name,
        "window": learner.options.window,
        "scope": str(learner.options.scope),
        "tail": learner.options.tail,
        "random": asdict(learner.draws),
        "params": {n: np.array(as_numpy(x)) for n, x in learner.params.items()},
        "stream": {n: np.array(as_numpy(x)) for n, x in learner.stream.items()},
        "optimizer": {n: np.array(as_numpy(x)) for n, x in learner.optimizer_state.items()},
        "buffers": {n: np.array(as_numpy(x)) for n, x in learner.buffers.items()},
        "rule_arrays": {n: np.array(as_numpy(x)) for n, x in learner.rule_arrays.items()},
    }


def unpack(learner: Learner, state: Mapping[str, Any]) -> None:
    """Restore a learner from `pack`; nothing is changed if it does not fit."""
    check(state)
    params = learner.as_params(state["params"])
    missing = [n for n in learner.params if n not in params]
    if missing:
        raise ModelError(f"the state dict lacks {', '.join(missing)}")
    if state["stream"]:
        _check_stream(learner, state)

    def restored(part: str) -> dict[str, Any]:
        arrays = {n: as_array(x, f"{part} {n!r}") for n, x in state.get(part, {}).items()}
        # Copies: the caller may go on writing into his arrays.
        return {n: learner.backend.asarray(np.array(x)) for n, x in arrays.items()}

    stream, moments = restored("stream"), restored("optimizer")
    learner.__dict__.update(
        _params=params, stream=stream, optimizer_state=moments, restored=True,
        buffers=_buffers(learner, state.get("buffers", {})),
        draws=_draws(state.get("random"), learner.draws), rule_arrays=restored("rule_arrays"),
    )  # fmt: skip


def _buffers(learner: Learner, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the buffers of a learner with those that were kept."""
    found = dict(learner.buffers)
    for name, array in kept.items():
        if name not in found:
            raise ModelError(f"no buffer {name!r}{nearest(str(name), list(found))}")
        data = np.asarray(as_array(array, f"buffer {name!r}"))
        own = np.asarray(learner.backend.to_numpy(found[name]))
        if data.shape != own.shape:
            raise ShapeError(f"buffer {name!r} has shape {own.shape}, got {data.shape}")
        found[name] = learner.backend.asarray(np.array(data, own.dtype))
    return found


def _draws(kept: Any, own: Draws) -> Draws:
    """Return where a run stood in its random numbers, if that was kept."""
    if not isinstance(kept, Mapping):
        return own
    stream = kept.get("stream")
    return Draws(
        int(kept["seed"]), int(kept["sequences"]), None if stream is None else tuple(stream)
    )


def check(state: Mapping[str, Any]) -> None:
    """Raise if something is no state dict of a learner.

    Raises
    ------
    etp.ModelError
        With what is missing.
    """
    if not isinstance(state, Mapping):
        raise ModelError(f"a state dict is a dict, got {type(state).__name__}")
    for part in ("format", *PARTS):
        if part not in state and part not in LATER:
            raise ModelError(f"not a state dict of a learner: {part!r} is missing")
    if state["format"] != FORMAT:
        raise ModelError(f"state dict of format {state['format']!r}, this version reads {FORMAT}")
    for part in PARTS:
        if not isinstance(state.get(part, {}), Mapping):
            raise ModelError(f"not a state dict of a learner: {part!r} holds no arrays by name")


def _check_stream(learner: Learner, state: Mapping[str, Any]) -> None:
    options = learner.options
    settings = {
        "rule": options.rule.name, "scope": str(options.scope), "tail": options.tail
    }  # fmt: skip
    for what, mine in settings.items():
        if state.get(what) != mine:
            raise ModelError(
                f"the stream was made by {what} {state.get(what)!r}, this learner uses {mine!r}\n"
                f"compile the model with the same {what}, or drop the stream: "
                "state['stream'] = {}"
            )
    for name, held in collect(learner.engine.model).states.items():
        found = state["stream"].get(name)
        if found is None or np.shape(found)[1:] != held.shape:
            got = "nothing" if found is None else f"shape {np.shape(found)}"
            raise ModelError(f"the stream holds {got} for state {name!r}, expected "
                             f"(B, {', '.join(map(str, held.shape))})")  # fmt: skip


@placed
def save(
    path: str | Path, state: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> None:
    """Write a state dict to a file; a crash never leaves a half-written one.

    Parameters
    ----------
    extra
        Plain data (numbers, texts, lists, dicts) kept with it.

    Raises
    ------
    CheckpointError
        If the folder cannot be written to, or ``extra`` is no plain data.
    """
    check(state)
    target = Path(path)
    arrays: dict[str, Any] = {
        f"{part}/{n}": np.asarray(x) for part in PARTS for n, x in state.get(part, {}).items()
    }  # fmt: skip
    # NumPy writes element types of other packages, such as bfloat16, without their name.
    foreign = {key: x.dtype.name for key, x in arrays.items() if x.dtype.kind == "V"}
    arrays.update({key: arrays[key].view(np.uint16) for key in foreign})
    header = {k: v for k, v in state.items() if k not in PARTS}
    header.update(extra=dict(extra or {}), dtypes=foreign)
    try:
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    except TypeError as error:
        raise CheckpointError(f"extra holds what JSON cannot: {error}") from error
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, header=text, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


@placed
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
            extra, dtypes = header.pop("extra", {}), header.pop("dtypes", {})
            state: dict[str, Any] = {**header, **{part: {} for part in PARTS}}
            for key in file.files:
                part, _, name = key.partition("/")
                if name:
                    array = file[key]
                    wide = dtypes.get(key)
                    state[part][name] = array if wide is None else array.view(np.dtype(wide))
    except Exception as error:
        raise CheckpointError(
            f"{source} is not a readable checkpoint ({type(error).__name__}: {error})\n"
            "restore it from a copy, or start a new run"
        ) from error
    return state, extra
