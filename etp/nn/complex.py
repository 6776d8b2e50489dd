"""Complex numbers as pairs of real arrays: states that turn and decay, and maps into them."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from etp_ir import namespace as xp

from ..functional import element_wise, matmul
from ..init import Rng, normal
from ..model import Module, Param, State


@frozen
class Complex:
    """A complex array as its real and imaginary part."""

    re: Any
    im: Any

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.re + other.re, self.im + other.im)

    def __mul__(self, other: Any) -> Complex:
        if not isinstance(other, Complex):
            return Complex(self.re * other, self.im * other)
        return Complex(
            self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re
        )

    def plus(self, real: Any) -> Complex:
        """Return the sum with a real number."""
        return Complex(self.re + real, self.im)

    def inverse(self) -> Complex:
        """Return one over this."""
        square = self.re * self.re + self.im * self.im
        return Complex(self.re / square, -self.im / square)

    def exp(self) -> Complex:
        """Return the exponential."""
        size = xp.exp(self.re)
        return Complex(size * xp.cos(self.im), size * xp.sin(self.im))

    def expm1(self) -> Complex:
        """Return the exponential less one, without cancellation near zero."""
        growth, half = xp.expm1(self.re), xp.sin(self.im / 2)
        # cos y - 1 = -2 sin²(y / 2)
        return Complex(
            growth * xp.cos(self.im) - 2 * half * half, xp.exp(self.re) * xp.sin(self.im)
        )


class ComplexState(Module):
    """A complex state, zero at first, as two real ones: ``re`` and ``im``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.re = State(shape)
        self.im = State(shape)

    def read(self) -> Complex:
        """Return the current value."""
        return Complex(self.re.value, self.im.value)

    def write(self, new: Complex) -> Complex:
        """Set the value and return it."""
        self.re.value, self.im.value = new.re, new.im
        return new


class ComplexLinear(Module):
    """A complex matrix as two trained real ones: ``re`` and ``im``.

    Parameters
    ----------
    weight
        The initial matrix, inputs by outputs.
    """

    def __init__(self, weight: Any) -> None:
        self.re = Param(np.asarray(weight.real, np.float32))
        self.im = Param(np.asarray(weight.imag, np.float32))

    def __call__(self, x: Any) -> Complex:
        """Return the product of a real vector with the matrix."""
        return Complex(matmul(x, self.re), matmul(x, self.im))

    def real(self, z: Complex) -> Any:
        """Return the real part of the product of a complex vector with the matrix."""
        return matmul(z.re, self.re) - matmul(z.im, self.im)


def complex_normal(rng: Rng, shape: tuple[int, ...], std: float) -> Any:
    """Return complex numbers whose two parts are normal."""
    rng = np.random.default_rng(rng)
    return normal(rng, shape, std) + 1j * normal(rng, shape, std)


class Ring(Module):
    r"""Trained factors $\lambda = e^{-e^{\nu} + i e^{\theta}}$ inside of the unit circle.

    They start uniform on a ring. Orvieto et al., "Resurrecting recurrent neural networks for
    long sequences", ICML 2023, lemma 3.2.

    Parameters
    ----------
    count
        Number of factors.
    r_min, r_max, max_phase
        Bounds of the initial modulus, and of the angle.
    rng
        Generator or seed of the initial factors.
    """

    def __init__(
        self, count: int, *, r_min: float, r_max: float, max_phase: float, rng: Rng
    ) -> None:
        rng = np.random.default_rng(rng)
        area, turn = 1 - rng.uniform(size=count), 1 - rng.uniform(size=count)  # never zero
        nu = -0.5 * np.log(area * (r_max**2 - r_min**2) + r_min**2)
        # At a modulus of one there is no logarithm.
        self.nu_log = Param(np.log(np.maximum(nu, 1e-6)).astype(np.float32))
        self.theta_log = Param(np.log(max_phase * turn).astype(np.float32))

    def read(self) -> tuple[Complex, Any]:
        r"""Return $\lambda$, and $\sqrt{1 - |\lambda|^2}$."""
        decay, turn = xp.exp(element_wise(self.nu_log)), xp.exp(element_wise(self.theta_log))
        return Complex(-decay, turn).exp(), xp.sqrt(-xp.expm1(-2 * decay))
