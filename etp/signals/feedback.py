"""Feedback through other weights than those of the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from etp_ir import ops
from etp_ir.errors import ModelError
from etp_ir.tracer import Tracer

from ..checks import decay, not_negative, optional, seed
from .base import Array, Arriving, Shared, Signal

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


def drawn(seed: int, name: str, shape: tuple[int, ...], scale: float | None, fan: int) -> Array:
    """Return a normally distributed array that depends on seed and name only.

    By default its standard deviation is ``1 / sqrt(fan)``.
    """
    words = [seed, *name.encode()]
    std = scale if scale is not None else 1 / np.sqrt(max(fan, 1))
    return np.random.default_rng(words).normal(size=shape) * std


def has_products(structure: Structure, what: str) -> None:
    """Raise if no product of a weight leads from a state to the loss.

    Raises
    ------
    ModelError
        Then there is nothing that such a signal would replace.
    """
    from ..compiler.emission import onward_products

    if not onward_products(structure):
        raise ModelError(
            f"{what} replaces what products of weights hand back, and none leads from a state "
            "to the loss\n"
            "read the states through a layer such as etp.nn.Linear, or use signal 'symmetric'"
        )


class _Feedback(Signal):
    """Weights of products are replaced on the way back, of every product on the way."""

    why = "credit comes back through other weights than those of the forward pass"
    seed: int
    scale: float | None

    def _arrays(self, structure: Structure) -> dict[str, tuple[str, tuple[int, ...], int]]:
        """Return name, shape and fan by the name of the weight replaced."""
        from ..compiler.emission import onward_products

        found = {}
        for use, (_, x) in onward_products(structure).items():
            w = structure.weights[use]
            found[w.name] = (f"feedback.{w.name}", w.value.type.shape, x.type.size)
        return found

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        has_products(structure, type(self).__name__)
        return {
            name: Shared(drawn(self.seed, name, shape, self.scale, fan), shape)
            for name, shape, fan in self._arrays(structure).values()
        }

    def arriving(self, at: Boundary) -> Arriving:
        weights = at.pieces.structure.weights
        return at.pull(weights={
            use: self.back(at, weights[use].value, f"feedback.{weights[use].name}")
            for use in at.products
        })  # fmt: skip

    def back(self, at: Boundary, weight: Any, name: str) -> Tracer:
        """Return the weight of the way back, given that of the way forth and an array's name."""
        return at.shared[name]


@frozen
class Random(_Feedback):
    r"""Feedback alignment: fixed random weights on the way back.

    .. math:: \ell = B\,\delta \quad\text{instead of}\quad W^\top\delta

    in every product of a weight between states and loss. With one readout this is the random
    broadcast of the error, :math:`L_j = \sum_k B_{jk}(y_k - y^*_k)`.

    Parameters
    ----------
    seed
        Seed of the weights.
    scale
        Their standard deviation, by default one over the square root of the width they are
        summed from.

    References
    ----------
    Lillicrap et al., Nature Communications 7:13276, 2016; Bellec et al., Nature Communications
    11:3625, 2020.
    """

    words = ("feedback_alignment",)
    seed: int = field(default=0, validator=seed)
    scale: float | None = field(default=None, validator=optional(not_negative))


@frozen
class SignMatched(_Feedback):
    r"""Random feedback weights with the signs of the forward ones, :math:`|B|\,\mathrm{sign}(W)`.

    Parameters
    ----------
    seed, scale
        See `Random`.

    References
    ----------
    Liao, Leibo and Poggio, AAAI 2016.
    """

    words = ("sign",)
    seed: int = field(default=0, validator=seed)
    scale: float | None = field(default=None, validator=optional(not_negative))

    def back(self, at: Boundary, weight: Any, name: str) -> Tracer:
        forth = Tracer(at.pieces.builder, weight)
        signs: Tracer = ops.mul(ops.abs_(at.shared[name]), ops.sign(forth))
        return signs


@frozen
class Adaptive(_Feedback):
    r"""Random feedback weights that take part in every change of the forward ones.

    .. math:: B^t = W^t + (1 - d)^t (B^0 - W^0)

    with :math:`t` the steps that were run, which is what equal increments and a common decay come
    to. Without decay the distance between the two stays as it was.

    Parameters
    ----------
    decay
        Decay :math:`d` of the distance in [0, 1). It acts in each step that is run, also where
        parameters change only after a sequence: a sequence of T steps takes
        :math:`(1 - d)^T` of the distance.
    seed, scale
        See `Random`.

    Notes
    -----
    The distance is kept, and not the weights :math:`B`. Through every change of the forward
    weights it stays, also through one from outside such as ``learner.params = ...`` or loaded
    weights: the feedback weights then move by as much. Its start, :math:`B^0 - W^0`, is taken
    from the parameters at the first step that a learner runs.

    Weight decay of an optimiser is not known to it. Where that shrinks the forward weights by a
    factor :math:`1 - \eta\,w` in each update, give :math:`d = \eta\,w` for updates after every
    step; a rate on a schedule has no constant counterpart.

    References
    ----------
    Bellec et al., Nature Communications 11:3625, 2020 (adaptive e-prop); Kolen and Pollack, ICNN
    1994.
    """

    decay: float = field(default=0.0, validator=decay)
    seed: int = field(default=0, validator=seed)
    scale: float | None = field(default=None, validator=optional(not_negative))

    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        has_products(structure, type(self).__name__)
        own = {p.name for p in structure.program.inputs_of("param")}
        found = {}
        for weight, (name, shape, fan) in self._arrays(structure).items():
            start = drawn(self.seed, name, shape, self.scale, fan)
            if weight not in own:
                raise ModelError(
                    f"adaptive feedback follows the changes of a parameter, and {weight!r} is an "
                    "expression of parameters\nuse Random() feedback, or a plain readout"
                )

            def distance(
                params: Mapping[str, Array], start: Array = start, weight: str = weight
            ) -> Array:
                return start - params[weight]

            found[name] = Shared(distance, shape, learned=self.decay > 0)
        return found

    def back(self, at: Boundary, weight: Any, name: str) -> Tracer:
        total: Tracer = ops.add(Tracer(at.pieces.builder, weight), at.shared[name])
        return total

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        return {n: ops.mul(1 - self.decay, x) for n, x in at.shared.items()} if self.decay else {}
