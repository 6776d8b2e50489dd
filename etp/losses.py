"""Losses: functions ``(output, target) -> scalar`` of one example and one step, on ``etp.xp``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError, compose, nearest
from etp_ir.types import type_of

from .place import place_of
from .sequences import DataError

Function = Callable[[Any, Any], Any]


@frozen
class Loss:
    """A loss function with the metrics that are reported beside it.

    Attributes
    ----------
    name
        Name under which it is known, or that of the function.
    function
        ``(output, target) -> scalar``, smaller is better.
    metrics
        Further functions ``(output, target) -> scalar`` by name; nothing is derived from them.
    labels
        Whether integer targets are classes, numbered from 0, with -1 for none.
    """

    name: str
    function: Function
    metrics: Mapping[str, Function] = field(factory=dict)
    labels: bool = False

    def __call__(self, output: Any, target: Any) -> Any:
        """Return the loss of one example."""
        return self.function(output, target)


def get(loss: str | Loss | Function) -> Loss:
    """Return the loss of a name, or the one a function stands for.

    A function may carry metrics in an attribute ``metrics``.

    Raises
    ------
    ModelError
        If there is no loss of that name.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        _check_arguments(loss)
        known = next((entry for entry in LOSSES.values() if entry.function is loss), None)
        name = getattr(loss, "__name__", type(loss).__name__)
        return known or Loss(name, loss, dict(getattr(loss, "metrics", {})))
    found = LOSSES.get(str(loss).lower())
    if found is None:
        raise ModelError(
            compose(f"no loss {loss!r}{nearest(str(loss), list(LOSSES))}",
                    how="give a name, or a function (output, target) -> scalar")
        )  # fmt: skip
    return found


def _check_arguments(loss: Function) -> None:
    try:
        inspect.signature(loss).bind(None, None)
    except TypeError:
        raise ModelError(
            compose(f"the loss {loss!r} does not take two arguments", where=place_of(loss),
                    how="give a function (output, target) -> scalar")
        ) from None  # fmt: skip
    except ValueError:
        pass  # written in C, without a signature


def available() -> list[str]:
    """Return the names of the losses."""
    return list(LOSSES)


def check_labels(loss: Loss, target: Any, mask: Any, classes: int) -> None:
    """Raise if unmasked integer labels are no classes.

    Parameters
    ----------
    target, mask
        Labels and their weights, (T, B).
    classes
        Width of the model's output.

    Raises
    ------
    etp.DataError
        With the first such label; -1 marks a step without a label.
    """
    labels = np.asarray(target)
    if not loss.labels or labels.dtype.kind not in "iu":
        return
    counted = (np.asarray(mask) > 0).reshape(mask.shape + (1,) * (labels.ndim - mask.ndim))
    wrong = ((labels < -1) | (labels >= classes)) & counted
    if wrong.any():
        raise DataError(
            f"label {int(labels[wrong][0])} is no class: the model has {classes} outputs, "
            f"so labels are 0 to {classes - 1}\nuse -1, or a mask of 0, where there is no label"
        )


# -- classification ------------------------------------------------------------------------
def softmax_cross_entropy(output: Any, target: Any) -> Any:
    """Return ``-sum(p * log_softmax(output))`` for a label, or for probabilities ``p``.

    The target is an integer label, or has the shape of the output. A label that is no class,
    such as -1, contributes nothing.
    """
    chosen = _distribution("softmax_cross_entropy", output, target)
    return xp.mean(-xp.sum(chosen * xp.log_softmax(output), axis=-1))


def accuracy(output: Any, target: Any) -> Any:
    """Return 1 if the largest output is the target's class, else 0."""
    target = xp.asarray(target)
    label = xp.argmax(target, axis=-1) if target.ndim == len(output.shape) else target
    hit = xp.equal(xp.argmax(output, axis=-1), label)
    return xp.mean(xp.astype(hit, type_of(output).dtype))


def _distribution(name: str, output: Any, target: Any) -> Any:
    """Return the target as probabilities of the classes."""
    target, out = xp.asarray(target), type_of(output)
    if target.ndim == out.rank:
        return _checked(name, output, target)
    if tuple(target.shape) != out.shape[:-1]:
        raise _misfit(name, output, target, "give one label, or one probability for each class")
    if type_of(target).dtype.is_float:
        raise ModelError(
            compose(f"{name} got a label of type {type_of(target)}",
                    how="give integer labels, or one probability for each class")
        )  # fmt: skip
    return xp.one_hot(target, out.shape[-1], dtype=out.dtype)


def sigmoid_cross_entropy(output: Any, target: Any) -> Any:
    """Return the mean binary cross-entropy of ``sigmoid(output)``, computed without overflow."""
    target = _checked("sigmoid_cross_entropy", output, target)
    return xp.mean(xp.softplus(output) - output * target)


def binary_cross_entropy(output: Any, target: Any) -> Any:
    """Return the mean of ``-t log p - (1 - t) log(1 - p)`` for probabilities ``p = output``."""
    target = _checked("binary_cross_entropy", output, target)
    p = xp.clip(output, 1e-7, 1 - 1e-7)
    return -xp.mean(target * xp.log(p) + (1 - target) * xp.log(1 - p))


def _share_above(threshold: float) -> Function:
    def binary_accuracy(output: Any, target: Any) -> Any:
        hit = xp.equal(xp.greater(output, threshold), xp.greater(target, 0.5))
        return xp.mean(xp.astype(hit, type_of(output).dtype))

    return binary_accuracy


# -- regression ----------------------------------------------------------------------------
def mse(output: Any, target: Any) -> Any:
    """Return the mean squared error."""
    return xp.mean(xp.square(output - _checked("mse", output, target)))


def l1(output: Any, target: Any) -> Any:
    """Return the mean absolute error."""
    return xp.mean(xp.abs(output - _checked("l1", output, target)))


def huber(output: Any, target: Any) -> Any:
    """Return the mean of ``e²/2`` where the error ``|e| < 1``, and of ``|e| - 1/2`` beyond."""
    size = xp.abs(output - _checked("huber", output, target))
    small = xp.minimum(size, 1.0)
    return xp.mean(small * (size - 0.5 * small))


def _checked(name: str, output: Any, target: Any) -> Any:
    """Return the target as an array of the output's shape."""
    target = xp.asarray(target)
    if tuple(target.shape) != tuple(output.shape):
        raise _misfit(name, output, target, "give a target of the shape of the output")
    return target


def _misfit(name: str, output: Any, target: Any, how: str) -> ShapeError:
    return ShapeError(
        compose(f"{name} got an output {type_of(output)} and a target {type_of(target)} of one "
                "example", how=how)
    )  # fmt: skip


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("softmax_cross_entropy", softmax_cross_entropy, {"accuracy": accuracy}, labels=True),
        Loss("sigmoid_cross_entropy", sigmoid_cross_entropy, {"accuracy": _share_above(0.0)}),
        Loss("binary_cross_entropy", binary_cross_entropy, {"accuracy": _share_above(0.5)}),
        Loss("mse", mse),
        Loss("l1", l1),
        Loss("huber", huber),
    )
}
