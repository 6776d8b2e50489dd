"""Learners that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import numpy as np

import etp
from etp_ir.backend import Backend, Executable
from tests.models import build

LENGTH, BATCH = 7, 3


def learner(
    model: str = "rnn", rule: str = "d_rtrl", loss: Any = "mse", **options: Any
) -> etp.Learner:
    """Return a learner in double precision on NumPy, unless told otherwise."""
    return etp.compile(
        build(model), rule, loss, **{"backend": "numpy", "dtype": "float64", **options}
    )


def arrays(given: Any) -> dict[str, np.ndarray]:
    """Return a dict of arrays as copies in NumPy."""
    return {n: np.array(x) for n, x in given.items()}


def same(a: Any, b: Any) -> bool:
    """Whether two nested dicts hold the same bits."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if hasattr(a, "dtype"):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


class Counting(Backend):
    """A backend that counts what it compiles and runs, and can be interrupted in a run."""

    def __init__(self, inner: Backend) -> None:
        self.inner, self.name = inner, inner.name
        self.compiled: list[Any] = []
        self.runs = 0
        self.interrupt_at: int | None = None

    def compile(self, program: Any, *, donate: Any = ()) -> Executable:
        self.compiled.append(self.inner.compile(program, donate=donate))
        return _Counted(self, self.compiled[-1])

    def asarray(self, array: Any) -> Any:
        return self.inner.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return self.inner.to_numpy(array)


class _Counted(Executable):
    def __init__(self, owner: Counting, inner: Executable) -> None:
        self.owner, self.inner, self.program = owner, inner, inner.program

    def __call__(self, given: Any) -> dict[str, Any]:
        self.owner.runs += 1
        out = self.inner(given)
        if self.owner.runs == self.owner.interrupt_at:
            raise KeyboardInterrupt
        return out
