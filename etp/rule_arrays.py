"""The arrays that a rule and its learning signal keep for all examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from etp_ir.errors import ShapeError

from .compiled import Compiled

if TYPE_CHECKING:
    from .learner import Learner


def fresh_arrays(learner: Learner, compiled: Compiled, names: Iterable[str]) -> dict[str, Any]:
    """Return first values of arrays by name, on the backend."""
    params = {n: np.asarray(learner.backend.to_numpy(x)) for n, x in learner.params.items()}
    kind = learner.engine.dtype.numpy()
    found = {}
    for name in names:
        spec = compiled.steps.shared[name]
        value = np.asarray(spec.initial(params) if callable(spec.initial) else spec.initial)
        if value.shape != spec.shape:
            raise ShapeError(f"{name} of the rule has shape {value.shape}, expected {spec.shape}")
        found[name] = learner.backend.asarray(np.array(value, kind))
    return found
