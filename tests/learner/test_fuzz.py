"""Whatever is passed to a learner, only our own errors come out, and nothing is changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from tests.learner.setups import BATCH, LENGTH, learner, same
from tests.models import N_IN, build, data

X, Y = data(LENGTH, BATCH)

JUNK: dict[str, Any] = {
    "None": None, "number": 1.5, "text": "text", "empty": [], "list": [1, "a", None],
    "ragged": [[1, 2], [3]], "object": object(), "function": len, "type": float, "dict": {"a": 1},
    "empty dict": {}, "nested": {"a": {"b": 1}}, "set": {1, 2}, "tuple": (1, 2), "bytes": b"ab",
    "complex": np.ones((LENGTH, BATCH, N_IN), complex), "strings": np.array([["a"]]),
    "dates": np.zeros((LENGTH, BATCH), "M8[s]"), "objects": np.array([[None]], object),
    "record": np.zeros((LENGTH, BATCH), [("a", "f4")]), "scalar": np.float32(1.0),
    "flat": np.ones(LENGTH), "matrix": np.ones((LENGTH, BATCH)), "deep": np.ones((7, 3, 2, 2)),
    "wide": np.ones((LENGTH, BATCH, 9)), "no width": np.ones((LENGTH, BATCH, 0)),
    "no steps": np.ones((0, BATCH, N_IN)), "bools": np.ones((LENGTH, BATCH, N_IN), bool),
    "ints": np.ones((LENGTH, BATCH, N_IN), int), "big": np.full((LENGTH, BATCH, N_IN), 2**40),
    "unsigned": np.ones((LENGTH, BATCH, N_IN), "u8"), "half": np.ones((LENGTH, BATCH, N_IN), "f2"),
    "longdouble": np.ones((LENGTH, BATCH, N_IN), "g"), "masked": np.ma.masked_all((7, 3, 2)),
    "nan": np.full((LENGTH, BATCH, N_IN), np.nan), "other": np.ones((4, 5, N_IN)),
    "module": build("leaky"),
    "negative": -1, "huge": 10**30, "class": etp.nn.GRUCell, "generator": (i for i in range(2)),
    "mixed": (X, None), "pairs": {"a": X, "b": Y}, "true": True, "slice": slice(3),
}  # fmt: skip


def calls(lr: etp.Learner, junk: Any) -> dict[str, Callable[[], Any]]:
    """Return every way to pass something to a learner."""
    return {
        "predict": lambda: lr.predict(junk),
        "grad xs": lambda: lr.grad(junk, Y),
        "grad ys": lambda: lr.grad(X, junk),
        "grad mask": lambda: lr.grad(X, Y, junk),
        "grad reduction": lambda: lr.grad(X, Y, reduction=junk),
        "step x": lambda: lr.step(junk, Y[0]),
        "step y": lambda: lr.step(X[0], junk),
        "step mask": lambda: lr.step(X[0], Y[0], junk),
        "step optimizer": lambda: lr.step(X[0], Y[0], optimizer=junk),
        "fit batches": lambda: lr.fit(junk),
        "fit batch": lambda: lr.fit([junk]),
        "fit xs": lambda: lr.fit([(junk, Y)]),
        "fit ys": lambda: lr.fit([(X, junk)]),
        "fit mask": lambda: lr.fit([(X, Y, junk)]),
        "fit optimizer": lambda: lr.fit([(X, Y)], junk),
        "fit update": lambda: lr.fit([(X, Y)], update=junk),
        "fit epochs": lambda: lr.fit(
            [(X, Y)], epochs="huge" if junk is JUNK["huge"] or junk is True else junk
        ),
        "params": lambda: setattr(lr, "params", junk),
        "param": lambda: setattr(lr, "params", {"readout.bias": junk}),
        "load": lambda: lr.load_state_dict(junk),
        "load params": lambda: lr.load_state_dict({**lr.state_dict(), "params": junk}),
        "load stream": lambda: lr.load_state_dict({**lr.state_dict(), "stream": junk}),
        "load moments": lambda: lr.load_state_dict({**lr.state_dict(), "optimizer": junk}),
        "specialise x": lambda: lr.specialise(junk, Y[0, 0]),
        "specialise y": lambda: lr.specialise(X[0, 0], junk),
        "specialise length": lambda: lr.specialise(X[0, 0], Y[0, 0], length=junk),
        "explain": lambda: lr.graph.explain(junk),
    }


OPTIONS = (
    "rule", "loss", "backend", "batch_size", "window", "schedule", "trace_dtype", "dtype",
    "example", "length",
)  # fmt: skip


def tolerated(call: Callable[[], Any]) -> BaseException | None:
    """Return what a call raised that is not one of our errors."""
    try:
        call()
    except etp.ETPError as error:
        # What went wrong is said in words, not by quoting somebody else's exception.
        return error if "Error:" in str(error) else None
    except BaseException as error:
        return error
    return None


SLOW = [pytest.param(name, "jax", marks=pytest.mark.slow) for name in JUNK]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "backend"), [*((name, "numpy") for name in JUNK), *SLOW])
def test_whatever_is_passed_only_our_errors_come_out(name: str, backend: str) -> None:
    if backend == "jax":
        pytest.importorskip("jax")
    junk = JUNK[name]
    lr = learner("leaky", backend=backend, dtype="float32", example=(X[0, 0], Y[0, 0]))
    before = lr.state_dict()
    escaped = {}
    for key, call in calls(lr, junk).items():
        error = tolerated(call)
        if error is not None:
            escaped[key] = repr(error)
        lr.reset()
        lr.load_state_dict(before)
    for option in OPTIONS:
        given = {"backend": backend, "example": (X[0, 0], Y[0, 0]), option: junk}
        error = tolerated(lambda given=given: etp.compile(build("leaky"), **given))  # type: ignore[misc]
        if error is not None:
            escaped[f"compile {option}"] = repr(error)
    error = tolerated(lambda: etp.compile(junk, backend=backend, example=(X[0, 0], Y[0, 0])))
    if error is not None:
        escaped["compile model"] = repr(error)
    assert not escaped, "\n".join(itertools.starmap("{}: {}".format, escaped.items()))
    assert same(lr.state_dict(), before)
