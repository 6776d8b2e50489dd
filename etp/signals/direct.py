"""Credit that goes straight to the units of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.tracer import Tracer

from ..checks import not_negative, optional, seed
from .base import Arriving, Shared, Signal
from .feedback import drawn, has_products

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


class _Direct(Signal):
    """A fixed random matrix for what each layer emits, and a vector as wide as the output."""

    seed: int
    scale: float | None

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        from ..compiler.emission import emitted_values

        has_products(structure, type(self).__name__)
        wide = structure.program.output("output").type
        found = {}
        for weight, value in emitted_values(structure).items():
            name, shape = f"feedback.{weight}", (*value.type.shape, *wide.shape)
            found[name] = Shared(drawn(self.seed, name, shape, self.scale, wide.size), shape)
        return found

    def arriving(self, at: Boundary) -> Arriving:
        vector = self.vector(at)
        return at.pull(
            emitted={n: at.along(at.shared[f"feedback.{n}"], vector) for n in at.emitted}
        )

    def vector(self, at: Boundary) -> Tracer:
        """Return what is projected, of the shape of the output."""
        raise NotImplementedError


@frozen
class DirectRandom(_Direct):
    r"""Direct feedback alignment: the output's error through a fixed random matrix to each layer.

    .. math:: \ell_l = B_l\,\partial L/\partial y

    Parameters
    ----------
    seed, scale
        Seed and standard deviation of the matrices; the deviation is by default one over the
        square root of the number of outputs.

    References
    ----------
    Nøkland, NeurIPS 2016.
    """

    words = ("direct", "direct_feedback_alignment")
    why = "the error reaches each layer through a fixed random matrix"
    seed: int = field(default=0, validator=seed)
    scale: float | None = field(default=None, validator=optional(not_negative))

    def vector(self, at: Boundary) -> Tracer:
        return at.error


@frozen
class DirectTarget(_Direct):
    r"""Direct random target projection: the target itself through a fixed random matrix.

    .. math:: \ell_l = B_l\,y^*

    The target of a classification is the unit vector of its class. No layer waits for the output.

    Parameters
    ----------
    seed, scale
        See `DirectRandom`.

    References
    ----------
    Frenkel, Lefebvre and Bol, Frontiers in Neuroscience 15:629892, 2021; Ortner et al., Frontiers
    in Neuroscience 2023 (OSTTP).
    """

    words = ("target",)
    why = "the target reaches each layer through a fixed random matrix, and no error does"
    seed: int = field(default=0, validator=seed)
    scale: float | None = field(default=None, validator=optional(not_negative))

    def vector(self, at: Boundary) -> Tracer:
        return at.scaled(target_vector(at))


def target_vector(at: Boundary) -> Any:
    """Return the target in the shape of the output: of a class, its unit vector."""
    target, like = at.target, at.output
    if target.dtype.is_float and target.shape == like.shape:
        return target
    if target.shape == like.shape[:-1] and not target.dtype.is_float:
        n = like.shape[-1]
        from etp_ir.types import I32

        classes = at.iota(n)
        axes = tuple(range(target.ndim))
        label = ops.broadcast(ops.cast(target, I32), like.shape, axes)
        every = ops.broadcast(classes, like.shape, (like.ndim - 1,))
        return ops.cast(ops.eq(label, every), like.dtype)
    from etp_ir.errors import ShapeError

    raise ShapeError(
        f"a target of {target.type} cannot be projected as the output {like.type}\n"
        "give targets of the shape of the output, or class labels"
    )
