"""What a learning signal is: how credit for the loss arrives at the states of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from etp_ir.tracer import Tracer

    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure

Array = np.ndarray[Any, Any]
# Signals on the new values and on the old values of states, by path.
Arriving = tuple[Mapping[str, "Tracer"], Mapping[str, "Tracer"]]


@frozen(eq=False)
class Shared:
    """An array that all examples share and that a learner keeps among its buffers.

    Attributes
    ----------
    initial
        Its first value, or a function of the parameters by path that returns it.
    learned
        Whether it changes from step to step.
    """

    initial: Array | Callable[[Mapping[str, Array]], Array]
    shape: tuple[int, ...]
    learned: bool = False


class Signal(ABC):
    """Base of learning signals.

    Attributes
    ----------
    words
        Words for it beside the name of its class in snake case.
    symmetric
        Whether it is the derivative of the loss.
    why
        What is approximate about it.
    """

    words: ClassVar[tuple[str, ...]] = ()
    symmetric: ClassVar[bool] = False
    why: str = "the learning signal is no derivative of the loss"

    @property
    def modulated(self) -> bool:
        """Whether it asks for a modulator beside the data."""
        return False

    def modulators(self, structure: Structure) -> tuple[int, ...]:
        """Return the shape of the modulator for one step of one example."""
        return ()

    def check(self, loss: Any, window: int) -> None:  # noqa: B027
        """Raise if it does not go with a loss and a window that a learner is compiled for."""

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        """Return the arrays it needs, by name."""
        return {}

    def kept(self, structure: Structure) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of arrays it keeps for each example from step to step, by name."""
        return {}

    @abstractmethod
    def arriving(self, at: Boundary) -> Arriving:
        """Return the signals on the new values of states, and on the old ones past the new."""

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        """Return the arrays it learns or keeps after the step, by name."""
        return {}


@frozen
class Symmetric(Signal):
    r"""The derivative of the loss: back-propagation in space.

    .. math:: \ell^t = \partial L^t/\partial h^t

    with the other new states of the group held fixed.
    """

    symmetric = True

    def arriving(self, at: Boundary) -> Arriving:
        return at.pull()


SYMMETRIC = Symmetric()
