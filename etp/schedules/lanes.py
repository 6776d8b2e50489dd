"""Lanes: relations that share decay and positions, and so one backward recurrence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from etp_ir.types import TensorType

from ..compiler.coverage import Place
from ..compiler.structure import HiddenParamOpRelation
from ..rules.algebra import BEFORE, FIXED, POSITION, Mat, Named, Vec, named
from ..rules.base import Linear


@frozen(eq=False)
class Lane:
    """Relations with one backward recurrence.

    Attributes
    ----------
    key
        Name of the recurrence.
    members
        The relations.
    """

    key: str
    members: tuple[HiddenParamOpRelation, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """The states of all members."""
        return self.members[0].states

    def ahead(self, state: str) -> str:
        """Return the input name of the adjoint for a state."""
        return f"ahead.{self.key}.{state}"

    def product(self, new: str, old: str) -> str:
        """Return the input name of the product of later decays between two states."""
        return f"product.{self.key}.{new}.{old}"

    def ahead_type(self, state: str) -> TensorType:
        """Return the type of the adjoint for a state."""
        return self._type([self._place(state)])

    def product_type(self, new: str, old: str) -> TensorType:
        """Return the type of a product: positions of the new state before those of the old one."""
        return self._type([self._place(new), self._place(old)])

    def vector(self, arrays: Mapping[str, Any], member: HiddenParamOpRelation | None = None) -> Vec:
        """Return adjoints by state under the axis letters of a member."""
        return Vec({s: self._named(x, [(s, POSITION)], member) for s, x in arrays.items()})

    def row(self, new: str, arrays: Mapping[tuple[str, str], Any]) -> Vec:
        """Return the products of one new state as a vector over old states."""
        return Vec({
            old: self._named(arrays[new, old], [(new, FIXED), (old, POSITION)])
            for old in self.states
        })  # fmt: skip

    def matrix(
        self, arrays: Mapping[tuple[str, str], Any], member: HiddenParamOpRelation | None = None
    ) -> Mat:
        """Return products by pair of states under the axis letters of a member."""
        return Mat({
            (new, old): self._named(x, [(new, POSITION), (old, BEFORE)], member)
            for (new, old), x in arrays.items()
        })  # fmt: skip

    def _place(self, state: str) -> Place:
        return self.members[0].places[state]

    def _type(self, places: list[Place]) -> TensorType:
        """Return the type of an array over places: axes of ``y``, then those of wide places."""
        one = self.members[0]
        head = () if all(p.everywhere for p in places) else one.at_shape
        return one.y.type.with_shape(head + tuple(p.width for p in places if p.wide))

    def _named(
        self, x: Any, letters: list[tuple[str, str]], member: HiddenParamOpRelation | None = None
    ) -> Named:
        return named(x, self.axes(letters, member), (member or self.members[0]).axes.frame)

    def axes(
        self, letters: list[tuple[str, str]], member: HiddenParamOpRelation | None = None
    ) -> str:
        """Return the letters of an array over places of states, several positions as given."""
        places = [self._place(s) for s, _ in letters]
        head = "" if all(p.everywhere for p in places) else (member or self.members[0]).axes.at
        return head + "".join(c for (_, c), p in zip(letters, places, strict=True) if p.wide)


def lanes_of(linear: Mapping[HiddenParamOpRelation, Linear]) -> tuple[Lane, ...]:
    """Return the relations grouped by decay and places."""
    found: dict[Any, list[HiddenParamOpRelation]] = {}
    for relation, recurrence in linear.items():
        decay = tuple((k, e.array.value) for k, e in recurrence.decay.entries.items())
        places = tuple(p.key for p in relation.places.values())
        shared = all(p.everywhere for p in relation.places.values())
        key = (places, None if shared else relation.at_shape, decay)
        found.setdefault(key, []).append(relation)
    return tuple(Lane(str(i), tuple(members)) for i, members in enumerate(found.values()))
