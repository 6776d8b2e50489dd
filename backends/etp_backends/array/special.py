r"""Functions that the array-API standard lacks, written in those it has."""

from __future__ import annotations

from typing import Any

from etp_ir.primitives.linalg import decompose

__all__ = ["decompose", "erf"]

# Beyond the limit erf is 1 to the last bit; within it so many terms of the series are enough.
_DOUBLE = (6.0, 110)
_SINGLE = (4.0, 60)


def erf(xp: Any, x: Any) -> Any:
    r"""Return the error function, element by element, with the functions of a namespace.

    .. math:: \operatorname{erf} x = \frac{2x}{\sqrt\pi}\, e^{-x^2}
              \sum_{n \ge 0} \frac{(2x^2)^n}{1 \cdot 3 \cdots (2n + 1)}

    All terms are positive, so nothing cancels.
    """
    limit, terms = _DOUBLE if x.dtype == xp.float64 else _SINGLE
    x = xp.clip(x, -limit, limit)
    square = x * x
    total = square * 0.0 + 1.0
    for n in range(terms, 0, -1):
        total = total * square * (2.0 / (2 * n + 1)) + 1.0
    return x * total * xp.exp(-square) * 1.1283791670955126
