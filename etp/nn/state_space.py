"""Diagonal linear systems in continuous time: spectra to start from, and their steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, nearest

from ..functional import element_wise
from ..init import Rng, uniform
from ..model import Module, Param
from .complex import Complex

STEPS = ("zoh", "bilinear")
SPECTRA = ("legs", "lin", "inv")


def discretise(a: Complex, dt: Any, method: str) -> tuple[Complex, Complex]:
    r"""Return the factors of state and input in a step of $\dot h = a h + u$.

    With a zero-order hold, $e^{a\,dt}$ and $(e^{a\,dt} - 1) / a$; by the bilinear rule,
    $(1 + a\,dt/2) / (1 - a\,dt/2)$ and $dt / (1 - a\,dt/2)$.
    """
    if method == "zoh":
        change = (a * dt).expm1()
        return change.plus(1), change * a.inverse()
    half = a * (dt / 2)
    below = (half * -1).plus(1).inverse()
    return half.plus(1) * below, below * dt


class DiagonalSystem(Module):
    r"""Trained system $\dot h = a h + u$, where $a = -e^{\alpha} + i \omega$, in steps of $dt$.

    Parameters
    ----------
    a
        Its initial eigenvalues.
    shape
        Shape of the step lengths, which spreads over that of the eigenvalues.
    dt_min, dt_max
        Bounds of the initial step lengths, whose logarithms are uniform.
    method
        ``"zoh"`` or ``"bilinear"``, see `discretise`.
    rng
        Generator or seed of the initial step lengths.

    Raises
    ------
    ModelError
        If there is no such method.
    """

    def __init__(
        self, a: Any, shape: tuple[int, ...], *, dt_min: float, dt_max: float, method: str, rng: Rng
    ) -> None:
        if method not in STEPS:
            raise ModelError(f"no method {method!r}{nearest(method, STEPS)}")
        self.a_log = Param(np.log(-a.real).astype(np.float32))
        self.omega = Param(a.imag.astype(np.float32))
        self.dt_log = Param(uniform(rng, shape, float(np.log(dt_min)), float(np.log(dt_max))))
        self.method = method

    def step(self) -> tuple[Complex, Complex]:
        """Return the factors of state and input in a step."""
        a = Complex(-xp.exp(element_wise(self.a_log)), element_wise(self.omega))
        # Spread before it is marked: the trace is kept where each state feels the step length.
        spread = xp.broadcast_to(self.dt_log, self.omega.shape)
        return discretise(a, xp.exp(element_wise(spread)), self.method)


def spectrum(name: str, count: int) -> Any:
    """Return the ``count`` eigenvalues with positive imaginary part of a system of twice as many.

    ``"legs"``: of the normal part of the HiPPO-LegS matrix; ``"inv"`` and ``"lin"``: the two
    formulas that stand in for it. Gu et al., "On the parameterization and initialization of
    diagonal state space models", NeurIPS 2022, section 4.
    """
    if name not in SPECTRA:
        raise ModelError(f"no spectrum {name!r}{nearest(name, SPECTRA)}")
    if name == "legs":
        return legs(count)[0]
    n = np.arange(count)
    if name == "lin":
        return -0.5 + 1j * np.pi * n
    return -0.5 + 1j * (2 * count / np.pi) * (2 * count / (2 * n + 1) - 1)


def legs(count: int) -> tuple[Any, Any]:
    """Return eigenvalues with positive imaginary part, and eigenvectors, of HiPPO-LegS.

    They are those of the normal part of the matrix of ``2 count`` states; the eigenvectors are
    the columns. Gu et al., "HiPPO: recurrent memory with optimal polynomial projections",
    NeurIPS 2020.
    """
    root = np.sqrt(2 * np.arange(2 * count) + 1.0)
    lower = np.tril(np.outer(root, root), -1) / 2
    # The normal part is -1/2 plus this antisymmetric matrix, so its spectrum lies on a line.
    turns, vectors = np.linalg.eigh(-1j * (lower.T - lower))
    return -0.5 + 1j * turns[count:], vectors[:, count:]
