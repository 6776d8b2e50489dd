"""Activations: functions of an array, and one with parameters of its own.

``relu``, ``sigmoid``, ``silu``, ``softplus`` and ``tanh`` are those of `etp.xp`; none of the others
overflows either, and all of them can stand in an `etp.nn.Sequential`.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from etp_ir import namespace as xp
from etp_ir.namespace import log_softmax, relu, sigmoid, silu, softmax, softplus, tanh

from ..functional import element_wise
from ..init import constant
from ..model import Module, Param

__all__ = [
    "PReLU", "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_swish", "hard_tanh", "leaky_relu",
    "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax",
    "softplus", "softsign", "tanh", "tanh_shrink",
]  # fmt: skip

# Klambauer et al. 2017, equation 14: the fixed point of mean 0 and variance 1.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """Return ``x`` where it is positive and ``slope * x`` elsewhere (Maas et al., ICML 2013)."""
    return xp.where(xp.greater(x, 0.0), x, xp.multiply(x, slope))


def relu6(x: Any) -> Any:
    """Return ``x`` clipped to the interval from 0 to 6 (Krizhevsky 2010)."""
    return xp.minimum(relu(x), 6.0)


def elu(x: Any, alpha: float = 1.0) -> Any:
    r"""Return $x$ where positive, $\alpha (e^x - 1)$ elsewhere (Clevert et al., ICLR 2016)."""
    below = xp.multiply(xp.expm1(xp.minimum(x, 0.0)), alpha)
    return xp.where(xp.greater(x, 0.0), x, below)


def celu(x: Any, alpha: float = 1.0) -> Any:
    r"""Return $x$ where positive, $\alpha (e^{x/\alpha} - 1)$ elsewhere (Barron 2017)."""
    below = xp.multiply(xp.expm1(xp.divide(xp.minimum(x, 0.0), alpha)), alpha)
    return xp.where(xp.greater(x, 0.0), x, below)


def selu(x: Any) -> Any:
    """Return the scaled `elu` that keeps mean 0 and variance 1 (Klambauer et al., NeurIPS 2017)."""
    return xp.multiply(elu(x, _SELU_ALPHA), _SELU_SCALE)


def gelu(x: Any, approximate: bool = False) -> Any:
    r"""Return $x\,\Phi(x)$ with the normal distribution function (Hendrycks & Gimpel 2016).

    Parameters
    ----------
    approximate
        Use the formula with ``tanh`` of that paper.
    """
    if approximate:
        inner = xp.multiply(xp.add(x, xp.multiply(xp.pow(x, 3), 0.044715)), 0.7978845608028654)
        return xp.multiply(xp.multiply(x, 0.5), xp.add(tanh(inner), 1.0))
    return xp.multiply(xp.multiply(x, 0.5), xp.add(xp.erf(xp.divide(x, sqrt(2.0))), 1.0))


def mish(x: Any) -> Any:
    """Return ``x * tanh(softplus(x))`` (Misra, BMVC 2020)."""
    return xp.multiply(x, tanh(softplus(x)))


def log_sigmoid(x: Any) -> Any:
    """Return the logarithm of the logistic function."""
    return xp.negative(softplus(xp.negative(x)))


def softsign(x: Any) -> Any:
    """Return ``x / (1 + |x|)`` (Turian et al. 2009)."""
    return xp.divide(x, xp.add(xp.abs(x), 1.0))


def tanh_shrink(x: Any) -> Any:
    """Return ``x - tanh(x)``."""
    return xp.subtract(x, tanh(x))


def hard_tanh(x: Any) -> Any:
    """Return ``x`` clipped to the interval from -1 to 1 (Collobert 2004)."""
    return xp.maximum(xp.minimum(x, 1.0), -1.0)


def hard_sigmoid(x: Any) -> Any:
    """Return ``x / 6 + 1 / 2`` clipped to the interval from 0 to 1 (Howard et al., ICCV 2019)."""
    return xp.divide(relu6(xp.add(x, 3.0)), 6.0)


def hard_swish(x: Any) -> Any:
    """Return ``x * hard_sigmoid(x)`` (Howard et al., ICCV 2019)."""
    return xp.multiply(x, hard_sigmoid(x))


def glu(x: Any, axis: int = -1) -> Any:
    """Return the first half of an axis times the logistic function of the second half.

    Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017.
    """
    a, b = xp.split(x, 2, axis=axis)
    return xp.multiply(a, sigmoid(b))


class PReLU(Module):
    r"""Rectifier with a learned slope below zero, $y = \max(x, 0) + a \min(x, 0)$.

    He et al., "Delving deep into rectifiers", ICCV 2015.

    Parameters
    ----------
    shape
        Shape of the slopes: ``()`` for one slope, the number of features for one each.
    init
        Slope at first.
    """

    def __init__(self, shape: Any = (), *, init: float = 0.25) -> None:
        self.slope = Param(constant((shape,) if isinstance(shape, int) else tuple(shape), init))

    def __call__(self, x: Any) -> Any:
        """Return the activation of ``x``."""
        return xp.add(relu(x), xp.multiply(element_wise(self.slope), xp.minimum(x, 0.0)))
