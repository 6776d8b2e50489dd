"""What a user gives as parameters, as arrays of a learner's backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from etp_ir.errors import ModelError, ShapeError, nearest

from .sequences import as_array

if TYPE_CHECKING:
    from .learner import Learner


def as_params(learner: Learner, new: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays as parameters of this model, on the backend.

    Raises
    ------
    etp.ModelError
        If a path is unknown.
    etp.ShapeError
        If a shape differs.
    etp.DataError
        If something is no array of numbers.
    """
    if not isinstance(new, Mapping):
        raise ModelError(f"parameters are a dict of arrays by path, got {type(new).__name__}")
    found = {}
    for name, array in new.items():
        if name not in learner._params:
            raise ModelError(f"no parameter {name!r}{nearest(str(name), list(learner._params))}")
        data = learner.backend.to_numpy(as_array(array, f"parameter {name!r}"))
        shape = tuple(learner._params[name].shape)
        if data.shape != shape:
            raise ShapeError(f"parameter {name!r} has shape {shape}, got {data.shape}")
        # A copy: the caller may go on writing into his array.
        found[name] = learner.backend.asarray(np.array(data, learner.engine.dtype.numpy()))
    return found
