"""Operations through which a weight takes part in eligibility traces, and spikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etp_ir import namespace as xp
from etp_ir.core import Program
from etp_ir.errors import ModelError, compose, nearest
from etp_ir.namespace.activation import stop_gradient
from etp_ir.namespace.dispatch import align, alike, extension
from etp_ir.primitive import get
from etp_ir.primitives.spike import SURROGATES
from etp_ir.source import user_source
from etp_ir.tracer import bind, trace
from etp_ir.types import TensorType

__all__ = ["element_wise", "matmul", "spike", "stop_gradient"]


@extension(xp.matmul)
def _matmul(x: Any, w: Any) -> Any:
    return bind(get("etp.matmul"), *alike(x, w))


@extension(lambda w: w)
def _mark(w: Any) -> Any:
    (w,) = align("element_wise", w, floating=True)
    return bind(get("etp.element_wise"), w)


def matmul(x: Any, w: Any, bias: Any = None) -> Any:
    """Return ``x @ w + bias`` with the weight and the bias marked for eligibility traces.

    Parameters
    ----------
    x
        Input, features on the last axis.
    w
        Weight of shape (inputs, outputs): a `Param`, or an expression of parameters such as
        ``mask * w``; the trace then lives on the effective weight.
    bias
        Added to the product; it is an element-wise parameter, see `element_wise`.

    Raises
    ------
    ShapeError
        If the width of ``x`` is not the number of inputs of ``w``, with the user's line.
    """
    product = _matmul(x, w)
    return product if bias is None else xp.add(product, element_wise(bias))


def element_wise(w: Any, fn: Callable[[Any], Any] | None = None) -> Any:
    """Return ``fn(w)`` marked for eligibility traces: one weight for each position.

    Use it for weights that act position by position: biases, gains, time constants.

    Parameters
    ----------
    w
        A `Param` or an expression of parameters.
    fn
        Function from the parameter to the effective weight, for example ``xp.sigmoid`` for a
        decay; the trace lives on the effective weight.
    """
    return _mark(w if fn is None else fn(w))


def spike(x: Any, surrogate: str | Callable[[Any], Any] = "fast_sigmoid") -> Any:
    """Return 1 where ``x > 0`` and 0 elsewhere, with a surrogate for the derivative.

    Parameters
    ----------
    surrogate
        The derivative: ``"fast_sigmoid"``, ``"triangle"``, ``"sigmoid"``, ``"arctan"``,
        ``"boxcar"``, ``"straight_through"``, or a function of ``x`` written on ``etp.xp``.

    Raises
    ------
    ModelError
        If the surrogate is unknown or is not a function of one element.
    """
    if isinstance(surrogate, str) and surrogate not in SURROGATES:
        raise _bad_surrogate(
            f"no surrogate derivative {surrogate!r}{nearest(surrogate, list(SURROGATES))}"
        )
    return _spike(x, surrogate)


@extension(lambda x, surrogate: xp.astype(xp.greater(x, 0), xp.asarray(x).dtype))
def _spike(x: Any, surrogate: Any) -> Any:
    (x,) = align("spike", x, floating=True)
    if not isinstance(surrogate, str):
        surrogate = _slope(surrogate, TensorType(x.dtype))
    return bind(get("spike"), x, surrogate=surrogate)


def _slope(function: Callable[[Any], Any], scalar: TensorType) -> Program:
    """Return a surrogate derivative traced on one element."""
    name = getattr(function, "__name__", "surrogate")
    program, captured = trace(
        lambda x: function(x),
        {"x": scalar}, name=name if name.isidentifier() else "surrogate", outputs=["output"],
    )  # fmt: skip
    if captured:
        raise _bad_surrogate("the surrogate derivative uses arrays besides its argument")
    if program.outputs[0].type != scalar:
        raise _bad_surrogate(
            f"the surrogate derivative returns {program.outputs[0].type} for {scalar}"
        )
    return program


def _bad_surrogate(what: str) -> ModelError:
    source = user_source()
    return ModelError(
        compose(what, where=f"at {source}" if source else "",
                how="give a name, or a function of one element that uses numbers only")
    )  # fmt: skip
