"""How one gradient stands to another: cosine, relative deviation, ratio of norms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import nan, sqrt
from typing import Any

import numpy as np
from attrs import asdict, frozen

from etp_ir.errors import ETPError, ShapeError, nearest


@frozen
class Alignment:
    r"""How an array :math:`g` stands to a reference :math:`r` of its shape.

    .. math::
        \cos = \frac{\langle g, r\rangle}{\|g\|\,\|r\|}, \qquad
        \text{deviation} = \frac{\|g - r\|}{\|r\|}, \qquad
        \text{ratio} = \frac{\|g\|}{\|r\|}

    A cosine alone says nothing about the size, so the three are kept together:
    :math:`\text{deviation}^2 = 1 - 2\,\text{ratio}\cos + \text{ratio}^2`.

    Attributes
    ----------
    cosine
        Between -1 and 1; nan where one of the two is zero.
    deviation
        Relative deviation; nan where the reference is zero and the other is not, 0 where both
        are.
    ratio
        Ratio of the norms; nan where the reference is zero.
    norm, reference
        Both norms, in the units of the gradient.
    """

    cosine: float
    deviation: float
    ratio: float
    norm: float
    reference: float

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


@frozen
class GradientAlignment:
    """How a gradient stands to a reference, over everything and for each parameter.

    Attributes
    ----------
    overall
        All parameters as one vector.
    parameters
        By dotted path, in the order of the reference.
    missing
        Parameters of the reference without a gradient in the other; they are no part of
        ``overall``.
    """

    overall: Alignment
    parameters: dict[str, Alignment]
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


def alignment(got: Any, reference: Any) -> Alignment:
    """Return how an array stands to a reference of its shape; computed in float64.

    Raises
    ------
    etp.ShapeError
        If the shapes differ.
    """
    g, r = (np.asarray(a, np.float64) for a in (got, reference))
    if g.shape != r.shape:
        raise ShapeError(f"a gradient of shape {g.shape} cannot be compared with {r.shape}")
    return _of_sums(_sums(g, r))


def align(
    got: Mapping[str, Any], reference: Mapping[str, Any], names: Iterable[str] | None = None
) -> GradientAlignment:
    """Return how a gradient stands to another, parameter by parameter and in all.

    Parameters
    ----------
    got, reference
        Gradients by dotted path, as `etp.Learner.grad` returns them; arrays of any backend that
        NumPy can read.
    names
        Parameters to compare; by default all of the reference that both have.

    Raises
    ------
    etp.ETPError
        If there is nothing to compare, or a name has no gradient in the reference.
    etp.ShapeError
        If the shapes of a parameter's gradients differ.
    """
    chosen = list(reference if names is None else names)
    for name in chosen:
        if name not in reference:
            raise ETPError(
                f"the reference has no gradient of {name!r}{nearest(name, list(reference))}"
            )
    shared = [name for name in chosen if name in got]
    if not shared:
        raise ETPError("the two gradients have no parameter in common: compare one model with one")
    total = np.zeros(4)
    parameters = {}
    for name in shared:
        g, r = (np.asarray(a[name], np.float64) for a in (got, reference))
        if g.shape != r.shape:
            raise ShapeError(f"{name!r}: a gradient of shape {g.shape}, the reference {r.shape}")
        sums = _sums(g, r)
        parameters[name] = _of_sums(sums)
        total += sums
    missing = tuple(name for name in chosen if name not in got)
    return GradientAlignment(_of_sums(total), parameters, missing)


def _sums(g: np.ndarray[Any, Any], r: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return <g, r>, <g, g>, <r, r> and |g - r|²; they add up over parameters."""
    d = g - r
    return np.array([np.vdot(g, r), np.vdot(g, g), np.vdot(r, r), np.vdot(d, d)])


def _of_sums(sums: np.ndarray[Any, Any]) -> Alignment:
    inner, gg, rr, dd = (float(x) for x in sums)
    g, r, d = sqrt(gg), sqrt(rr), sqrt(dd)
    if r == 0:
        return Alignment(nan, 0.0 if g == 0 else nan, nan, g, r)
    # Rounding may carry a cosine past 1.
    cosine = nan if g == 0 else max(-1.0, min(1.0, inner / (g * r)))
    return Alignment(cosine, d / r, g / r, g, r)
