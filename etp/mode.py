"""Training and evaluation: what a model may ask while its step runs or is traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from etp_ir.errors import ModelError

from .given import mistake
from .variables import current_trace

_TRAINING: ContextVar[bool] = ContextVar("etp_training", default=True)
_DECLARED: ContextVar[bool] = ContextVar("etp_declared", default=False)


def training() -> bool:
    """Return whether the model is being trained, for use inside ``__call__``.

    It is true in `Learner.grad`, `Learner.fit` and `Learner.step`, false in `Learner.predict`, and
    outside of a learner true unless inside of `evaluation`. A model that asks is compiled once for
    each of the two, so the answer is an ordinary Python truth value.

    Examples
    --------
    >>> training()
    True
    >>> with evaluation():
    ...     training()
    False
    """
    if _DECLARED.get():
        raise mistake(
            ModelError, "etp.training() inside of a registered operation, which has one meaning",
            "give it as a keyword-only argument: operation(x, w, training=etp.training())",
        )  # fmt: skip
    trace = current_trace()
    if trace is not None:
        trace.asked = True
    return _TRAINING.get()


@contextmanager
def declared() -> Iterator[None]:
    """Refuse the question inside the block: what is traced there holds for either mode."""
    token = _DECLARED.set(True)
    try:
        yield
    finally:
        _DECLARED.reset(token)


@contextmanager
def evaluation(on: bool = True) -> Iterator[None]:
    """Run models called inside the block in evaluation mode, or in training mode for False."""
    token = _TRAINING.set(not on)
    try:
        yield
    finally:
        _TRAINING.reset(token)
