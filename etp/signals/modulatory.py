"""Signals that are given or computed, and no derivative of the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.tracer import Tracer

from ..checks import flag, function, optional, text
from ..control_checks import mistaken
from .base import Arriving, Signal
from .own import called, taken

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


@frozen
class Modulatory(Signal):
    r"""A modulator that all units of a group share, such as a reward: a third factor.

    .. math:: \ell_j = m^t

    at what each unit emits; where units emit into no product, at their states.

    Parameters
    ----------
    function
        A function ``(output, target) -> modulator`` on ``etp.xp``, or None where the modulator is
        given beside the data: ``learner.step(x, y, modulator=m)``, ``learner.grad(xs, ys,
        modulator=ms)`` with ``ms`` of shape (T,), (T, B), or (T, B, groups) with ``per_group``.
        The sign is that of a loss: a positive modulator lowers what the traces speak for.
    per_group
        Whether there is one number for each hidden group.

    References
    ----------
    Frémaux and Gerstner, Frontiers in Neural Circuits 9:85, 2016.
    """

    function: Callable[[Any, Any], Any] | None = field(default=None, validator=optional(function))
    per_group: bool = field(default=False, validator=flag)

    why = "a modulator takes the place of the derivative of the loss"

    @property
    def modulated(self) -> bool:
        """Whether the modulator is given beside the data."""
        return self.function is None

    def modulators(self, structure: Structure) -> tuple[int, ...]:
        return (len(structure.groups),) if self.per_group and self.modulated else ()

    def arriving(self, at: Boundary) -> Arriving:
        structure = at.pieces.structure
        if self.function is None:
            assert at.modulator is not None
            m = at.modulator
        else:
            found = called(
                at.pieces.builder,
                self,
                "function",
                self.function,
                output=at.output,
                target=at.target,
            )
            shapes = [(), *([(len(structure.groups),)] if self.per_group else [])]
            m = taken(at, self, "function", self.function, found, *shapes)
        m = at.scaled(m)
        if m.ndim:
            names = list(at.states)
            number = next(i for i, g in enumerate(structure.groups) if names[0] in g.states)
            m = ops.reshape(ops.slice_(m, (number,), (number + 1,), (1,)), ())
        return spread(at, m)


def spread(at: Boundary, m: Tracer) -> Arriving:
    """Return one number as the cotangent of everything that units emit, or of their states."""
    if at.emitted:
        every = {n: ops.broadcast(m, v.type.shape, ()) for n, v in at.emitted.items()}
        found = at.pull(emitted=every, loss=False)
        # Units of the group may emit nothing that a product takes on.
        if found[0]:
            return found
    return {n: ops.broadcast(m, v.type.shape, ()) for n, v in at.new.items()}, {}


def _one(output: Any, target: Any) -> float:
    return 1.0


# For rules that descend nothing and need no third factor.
CONSTANT = Modulatory(_one)


@frozen
class Function(Signal):
    """A signal of one's own.

    Parameters
    ----------
    function
        Called with the step, a `Boundary`: ``at.error`` (derivative of the loss by the output),
        ``at.output``, ``at.target``, ``at.emitted`` (what units emit, by weight). It returns the
        cotangent of what units emit, by the same names.
    why
        What is approximate about it, in words.
    """

    function: Callable[[Boundary], Any] = field(validator=function)
    why: str = field(default="the learning signal is a function of the user's", validator=text)

    def arriving(self, at: Boundary) -> Arriving:
        given = called(at.pieces.builder, self, "function", self.function, at=at)
        if not isinstance(given, Mapping):
            raise mistaken(
                f"the function of Function returned {_shown(given)}, and a dict is expected",
                "return the cotangent of what units emit, by the names of at.emitted: "
                f"{', '.join(map(repr, at.emitted)) or 'none'}", self.function,
            )  # fmt: skip
        unknown = [n for n in given if n not in at.emitted]
        if unknown:
            raise mistaken(
                f"no units emit into {unknown[0]!r}",
                f"the names of at.emitted are {', '.join(map(repr, at.emitted)) or 'none'}",
                self.function,
            )  # fmt: skip
        found = {
            n: taken(at, self, f"function for {n!r}", self.function, x, at.emitted[n].type.shape)
            for n, x in given.items()
        }
        return at.pull(emitted=found)


def _shown(x: Any) -> str:
    return "None" if x is None else f"a {type(x).__name__}"
