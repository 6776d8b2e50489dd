"""What was learned, put back into a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from etp_ir.errors import ModelError, ShapeError, nearest

from .model import Module, collect
from .variables import Variable

if TYPE_CHECKING:
    from .learner import Learner


def copy_to(learner: Learner, model: Module | None = None) -> Module:
    """Copy trained parameters and buffers into a model, and return it.

    `etp.compile` never changes the model that it is given; this does. States of the model, and
    parameters that are not trained, stay as they are.

    Parameters
    ----------
    model
        The model that was compiled unless given, or another one of the same parameters.

    Raises
    ------
    ModelError
        If parameters or buffers of the model have other names, or it is no `etp.Module`.
    ShapeError
        If one has another shape; nothing is changed then.

    Examples
    --------
    >>> import etp
    >>> net = etp.nn.GRUCell(2, 3, rng=np.random.default_rng(0))
    >>> before = net.r.w_in.value
    >>> learner = etp.compile(net, loss="mse", backend="numpy")
    >>> xs, ys = np.ones((4, 1, 2)), np.zeros((4, 1, 3))
    >>> history = learner.fit([(xs, ys)])
    >>> trained = learner.copy_to()
    >>> trained is net, bool(np.any(net.r.w_in.value != before))
    (True, True)
    """
    model = learner.engine.model if model is None else model
    if not isinstance(model, Module):
        raise ModelError(f"parameters are copied to an etp.Module, got {type(model).__name__}")
    found = collect(model)
    trained = {path: p for path, p in found.params.items() if p.trainable}
    pairs = [
        *_pairs("trained parameter", learner.params, trained),
        *_pairs("buffer", learner.buffers, found.buffers),
    ]
    for variable, array in pairs:
        # A copy: the learner's arrays are not to be written into.
        variable.value = np.array(learner.backend.to_numpy(array))
    return model


def _pairs(kind: str, held: Any, own: Any) -> list[tuple[Variable, Any]]:
    """Return the variables of a model with the arrays for them."""
    for path in held:
        if path not in own:
            raise ModelError(f"the model has no {kind} {path!r}{_known(path, own)}")
    more = [path for path in own if path not in held]
    if more:
        raise ModelError(f"the learner has no {kind} {more[0]!r}{_known(more[0], held)}")
    for path, array in held.items():
        if tuple(array.shape) != own[path].shape:
            raise ShapeError(f"{kind} {path!r} of the model has shape {own[path].shape}, "
                             f"that of the learner {tuple(array.shape)}")  # fmt: skip
    return [(own[path], array) for path, array in held.items()]


def _known(path: str, known: Any) -> str:
    return nearest(path, list(known)) if known else ""
