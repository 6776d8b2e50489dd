"""Linear filters of what changes from step to step: of activity, of traces, of gradients.

All are chains of first-order stages, and one object serves twice. Eagerly it filters arrays of any
library, or nested dicts, tuples and lists of them; in a `RuleConfig` the same equation becomes a
part of a learning rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import exp
from typing import Any, ClassVar

from attrs import define, field, setters

from etp_ir.errors import ModelError, ShapeError

from .checks import decay, discount, optional, positive, whole
from .given import mistake
from .trees import Tree, flatten

# Decay and gain of a first-order stage: y <- decay * y + gain * x.
Stage = tuple[float, float]


def chain(stages: Sequence[Stage], kept: Sequence[Any], x: Any) -> list[Any]:
    """Return what the stages hold after a step; the last of them is the output.

    Parameters
    ----------
    kept
        What they held before, None where nothing came yet.
    x
        Anything that can be added and multiplied with numbers.
    """
    found = []
    for (kept_part, gain), y in zip(stages, kept, strict=True):
        fresh = x if gain == 1 else gain * x
        x = fresh if y is None else kept_part * y + fresh
        found.append(x)
    return found


def _decay() -> Any:
    return field(validator=decay, on_setattr=setters.frozen)


def _unit() -> Any:
    return field(validator=discount, on_setattr=setters.frozen)


@define(unsafe_hash=True)
class Filter(ABC):
    r"""A chain of first-order stages, :math:`y \leftarrow a y + g x`, from a start of zero.

    Filters are equal when their parameters are, whatever they have seen.
    """

    word: ClassVar[str]
    _kept: list[Any] = field(init=False, factory=list, eq=False, repr=False)

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""

    def update(self, x: Any) -> Any:
        """Return the output after one more input, which is kept as `value`.

        Parameters
        ----------
        x
            An array or a number, or nested dicts, tuples and lists of them.

        Raises
        ------
        etp.ShapeError
            If the structure, or the shape of an array, is not that of the last input.
        """
        tree = flatten(x)
        held = [flatten(item) for item in self._kept]
        if held and _form(held[0]) != _form(tree):
            raise mistake(
                ShapeError,
                f"{type(self).__name__} held {_form(held[0])}, got {_form(tree)}",
                "call reset() before another kind of input",
            )
        found = [
            chain(self.stages, [h.leaves[i] for h in held] or [None] * len(self.stages), leaf)
            for i, leaf in enumerate(tree.leaves)
        ]
        self._kept = [tree.build([leaf[k] for leaf in found]) for k in range(len(self.stages))]
        return self.value

    @property
    def value(self) -> Any:
        """The output so far; None before the first input."""
        return self._kept[-1] if self._kept else None

    def reset(self) -> None:
        """Forget all inputs."""
        self._kept = []


def _form(tree: Tree) -> str:
    """Return the structure and the shapes of the arrays in it, as text."""
    shapes = ", ".join(str(tuple(getattr(x, "shape", ()))) for x in tree.leaves)
    return f"{shapes} in {tree.structure}" if tree.structure != "*" else f"shape {shapes}"


@define(unsafe_hash=True)
class KappaFilter(Filter):
    r"""Exponential average, :math:`\bar x^t = \kappa\,\bar x^{t-1} + (1-\kappa)\,x^t`.

    Parameters
    ----------
    kappa
        Decay in [0, 1), that of the readout in e-prop.

    References
    ----------
    Bellec et al., Nature Communications 11:3625, 2020.

    Examples
    --------
    >>> import etp
    >>> kappa = etp.KappaFilter(0.5)
    >>> [kappa.update(x) for x in (1.0, 1.0, 0.0)]
    [0.5, 0.75, 0.375]
    """

    word = "kappa"
    kappa: float = _decay()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""
        return ((self.kappa, 1 - self.kappa),)


@define(unsafe_hash=True)
class PresynapticTrace(Filter):
    r"""Trace of what has arrived, :math:`\bar x^t = \lambda\,\bar x^{t-1} + x^t`.

    Parameters
    ----------
    decay
        :math:`\lambda` in [0, 1).

    References
    ----------
    Xiao et al., NeurIPS 2022 (OTTT).

    Examples
    --------
    >>> import etp
    >>> trace = etp.PresynapticTrace(0.5)
    >>> [trace.update(x) for x in (1.0, 0.0, 1.0)]
    [1.0, 0.5, 1.25]
    """

    word = "trace"
    decay: float = _decay()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""
        return ((self.decay, 1.0),)


@define(unsafe_hash=True)
class DoubleExponential(Filter):
    r"""Two exponential averages in a row, a kernel that rises and then decays.

    .. math:: r^t = \rho\,r^{t-1} + (1-\rho)\,x^t, \qquad
              \bar x^t = \delta\,\bar x^{t-1} + (1-\delta)\,r^t

    Parameters
    ----------
    rise, decay
        :math:`\rho` and :math:`\delta` in [0, 1).

    References
    ----------
    Zenke and Ganguli, Neural Computation 30(6), 2018 (SuperSpike).
    """

    word = "double_exponential"
    rise: float = _decay()
    decay: float = _decay()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""
        return ((self.rise, 1 - self.rise), (self.decay, 1 - self.decay))


@define(unsafe_hash=True)
class Cascade(Filter):
    r"""A cascade of exponential averages, whose kernel is greatest after a delay.

    .. math:: z_k^t = a\,z_k^{t-1} + (1-a)\,z_{k-1}^t, \qquad k = 1 \dots q + 1,\; z_0 = x

    Parameters
    ----------
    order
        :math:`q`: 0 is one exponential average.
    decay
        :math:`a` in [0, 1); :math:`e^{-q/T}` puts the maximum at a delay of :math:`T` steps.

    References
    ----------
    Cascaded eligibility traces, arXiv 2506.14598.
    """

    word = "cascade"
    order: int = field(validator=whole, on_setattr=setters.frozen)
    decay: float = _decay()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""
        return ((self.decay, 1 - self.decay),) * (self.order + 1)


@define(unsafe_hash=True)
class GammaLambda(Filter):
    r"""Trace of reward over what it is given, :math:`z^t = \gamma\lambda\,z^{t-1} + x^t`.

    Parameters
    ----------
    discount, decay
        :math:`\gamma` and :math:`\lambda` in [0, 1].

    References
    ----------
    Sutton, Machine Learning 3(1), 1988.
    """

    word = "gamma_lambda"
    discount: float = _unit()
    decay: float = _unit()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""
        return ((self.discount * self.decay, 1.0),)


@define(unsafe_hash=True)
class GradExpon(Filter):
    r"""Gradients that fade out, :math:`g \leftarrow \gamma g + \nabla`.

    Parameters
    ----------
    decay
        :math:`\gamma` in [0, 1); or give ``tau``.
    tau, dt
        Time constant and length of a step, in one unit: :math:`\gamma = e^{-dt/\tau}`.

    Examples
    --------
    >>> import etp
    >>> faded = etp.GradExpon(0.5)
    >>> faded.update({"w": 1.0}), faded.update({"w": 1.0})
    ({'w': 1.0}, {'w': 1.5})
    """

    word = "grad_expon"
    decay: float | None = field(default=None, validator=optional(decay), on_setattr=setters.frozen)
    tau: float | None = field(default=None, validator=optional(positive), on_setattr=setters.frozen)
    dt: float = field(default=1.0, validator=positive, on_setattr=setters.frozen)

    def __attrs_post_init__(self) -> None:
        if (self.decay is None) == (self.tau is None):
            raise mistake(
                ModelError, f"GradExpon got decay={self.decay!r}, tau={self.tau!r}, dt={self.dt!r}",
                "give decay in [0, 1), or tau and dt above 0",
            )  # fmt: skip

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Decay and gain of each stage."""
        gamma = exp(-self.dt / self.tau) if self.tau is not None else self.decay
        assert gamma is not None
        return ((gamma, 1.0),)
