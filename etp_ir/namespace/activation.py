"""Functions that networks need and the standard lacks; all of them never overflow."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..primitive import get
from ..tracer import bind
from .creation import arange, astype
from .dispatch import align, array, builder_of, extension
from .elementwise import add, divide, equal, exp, log, logaddexp, maximum, multiply, subtract, tanh
from .manipulation import expand_dims
from .reduction import max, sum


@extension(lambda x: x)
def stop_gradient(x: Any, /) -> Any:
    """Return the array as a constant for differentiation."""
    return ops.stop_gradient(array(builder_of(x), x))


@extension(lambda x: multiply(add(tanh(multiply(x, 0.5)), 1.0), 0.5))
def sigmoid(x: Any, /) -> Any:
    """Return the logistic function ``1 / (1 + exp(-x))``."""
    (x,) = align("sigmoid", x, floating=True)
    return ops.logistic(x)


logistic = sigmoid


@extension(lambda x: bind(get("erf"), x))
def erf(x: Any, /) -> Any:
    """Return the error function."""
    (x,) = align("erf", x, floating=True)
    return ops.erf(x)


def softplus(x: Any, /) -> Any:
    """Return ``log(1 + exp(x))``."""
    return logaddexp(x, 0.0)


def relu(x: Any, /) -> Any:
    """Return the positive part."""
    return maximum(x, 0.0)


def silu(x: Any, /) -> Any:
    """Return ``x * sigmoid(x)``."""
    return multiply(x, sigmoid(x))


def logsumexp(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return ``log(sum(exp(x)))`` over axes."""
    top = stop_gradient(max(x, axis=axis, keepdims=True))
    total = sum(exp(subtract(x, top)), axis=axis, keepdims=keepdims)
    if not keepdims:
        top = stop_gradient(max(x, axis=axis))
    return add(log(total), top)


def log_softmax(x: Any, /, *, axis: int = -1) -> Any:
    """Return the logarithm of `softmax`."""
    shifted = subtract(x, stop_gradient(max(x, axis=axis, keepdims=True)))
    return subtract(shifted, log(sum(exp(shifted), axis=axis, keepdims=True)))


def softmax(x: Any, /, *, axis: int = -1) -> Any:
    """Return ``exp(x)`` scaled to sum to one along an axis."""
    top = stop_gradient(max(x, axis=axis, keepdims=True))
    raised = exp(subtract(x, top))
    return divide(raised, sum(raised, axis=axis, keepdims=True))


def one_hot(index: Any, size: int, /, *, dtype: Any = "float32") -> Any:
    """Return ones where the last, new axis equals the index, zeros elsewhere."""
    return astype(equal(expand_dims(index, axis=-1), arange(size)), dtype)
