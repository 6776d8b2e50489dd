"""Products with marked weights beyond `matmul`: by letters, in groups, of low rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError, TypeRuleError
from etp_ir.namespace.dispatch import alike, extension
from etp_ir.primitive import get
from etp_ir.primitives.contract import free_letters, parse_spec
from etp_ir.tracer import bind, unwrap

from .functional import element_wise, matmul
from .given import mistake

__all__ = ["einsum", "grouped_matmul", "lora_matmul"]


@extension(lambda spec, x, w: np.einsum(spec, x, w))
def _einsum(spec: str, x: Any, w: Any) -> Any:
    x, w = alike(x, w, floating=True)
    return bind(get("etp.einsum"), x, w, spec=spec)


def einsum(spec: str, x: Any, w: Any, bias: Any = None) -> Any:
    """Return a product of named axes with the weight marked for eligibility traces.

    Parameters
    ----------
    spec
        The letters of input, weight and result, such as ``"gi,gio->go"``. Letters that the
        result lacks are summed over; none may be repeated within one term.
    x
        Input.
    w
        Weight: a `Param`, or an expression of parameters.
    bias
        Added to the product, see `element_wise`.

    Raises
    ------
    ETPError
        If the letters do not fit the arrays, or are not of this form, with the user's line.

    Examples
    --------
    >>> import numpy as np
    >>> einsum("i,io->o", np.ones(2), np.ones((2, 3)))
    array([2., 2., 2.])
    """
    if not isinstance(spec, str):
        what = f"etp.einsum was given {spec!r} in place of letters"
        raise mistake(ModelError, what, 'write them as in "i,io->o"')
    try:
        parsed = parse_spec(spec)
    except TypeRuleError as error:
        raise mistake(
            TypeRuleError, f"etp.einsum: {error}",
            "name every axis of both arrays with a letter of its own; take a diagonal or an "
            "ellipsis apart with xp first",
        ) from None  # fmt: skip
    for letters, item in ((parsed.x, x), (parsed.y, w)):
        shape = tuple(np.shape(unwrap(item)))
        if len(shape) != len(letters):
            raise mistake(
                ShapeError, f"etp.einsum {spec!r} names {len(letters)} axes for an array of shape "
                f"{shape}", "give one letter for each axis",
            )  # fmt: skip
    lone = [i for i, c in enumerate(parsed.y) if c not in parsed.x + parsed.out]
    if lone:  # the trace lives on what meets the input
        w = xp.sum(w, axis=tuple(lone))
        kept = "".join(c for i, c in enumerate(parsed.y) if i not in lone)
        parsed = parse_spec(f"{parsed.x},{kept}->{parsed.out}")
    return _biased(_einsum(str(parsed), x, w), bias)


def grouped_matmul(x: Any, w: Any, bias: Any = None) -> Any:
    r"""Return one matrix product for each group, $y_g = x_g W_g + b_g$.

    Parameters
    ----------
    x
        Input of shape (..., groups, inputs).
    w
        Weight of shape (groups, inputs, outputs), marked for eligibility traces.
    bias
        Of shape (groups, outputs).

    Raises
    ------
    ShapeError
        If groups or inputs differ, with the user's line.
    """
    of_x, of_w = tuple(np.shape(unwrap(x))), tuple(np.shape(unwrap(w)))
    if len(of_w) != 3 or len(of_x) < 2 or of_x[-2:] != of_w[:2]:
        raise mistake(
            ShapeError, f"etp.grouped_matmul of an input of shape {of_x} and a weight of {of_w}",
            "give an input (..., groups, inputs) and a weight (groups, inputs, outputs)",
        )  # fmt: skip
    lead = free_letters("gio", len(of_x) - 2)
    return _biased(_einsum(f"{lead}gi,gio->{lead}go", x, w), bias)


@extension(lambda x, b, a, alpha: alpha * xp.matmul(xp.matmul(x, b), a))
def _lora(x: Any, b: Any, a: Any, alpha: Any) -> Any:
    return matmul(x, xp.multiply(alpha, xp.matmul(b, a)))


def lora_matmul(x: Any, b: Any, a: Any, *, alpha: float = 1.0, bias: Any = None) -> Any:
    r"""Return $\alpha\, x B A$, a product with a matrix of low rank.

    Both factors are trained through one trace, that of the matrix $\alpha B A$: a trace of $B$
    itself would be larger by the rank, since each element of it acts on every output. Gradients
    are pulled back to the factors. Products are computed in the order that is cheapest.

    Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.

    Parameters
    ----------
    x
        Input of shape (..., inputs).
    b, a
        Factors of shapes (inputs, rank) and (rank, outputs).
    alpha
        Scale $\alpha$, a number.
    bias
        Of shape (outputs,).

    Raises
    ------
    ShapeError
        If the shapes do not chain, with the user's line.
    """
    of_x, of_b, of_a = (tuple(np.shape(unwrap(v))) for v in (x, b, a))
    if np.shape(unwrap(alpha)) != ():
        raise mistake(ModelError, "etp.lora_matmul was given an array as alpha", "give a number")
    if len(of_b) != 2 or len(of_a) != 2 or not of_x or (of_x[-1], of_b[1]) != (of_b[0], of_a[0]):
        raise mistake(
            ShapeError, f"etp.lora_matmul of shapes {of_x}, {of_b} and {of_a}",
            "give an input (..., inputs) and factors (inputs, rank) and (rank, outputs)",
        )  # fmt: skip
    return _biased(_lora(x, b, a, alpha), bias)


def _biased(y: Any, bias: Any) -> Any:
    return y if bias is None else xp.add(y, element_wise(bias))
