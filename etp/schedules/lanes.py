"""Lanes: relations whose traces move alike, and so share one backward recurrence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from etp_ir.types import TensorType

from ..compiler.coverage import Place
from ..compiler.structure import HiddenParamOpRelation
from ..rules.algebra import BEFORE, FIXED, POSITION, Mat, Named, Vec, named
from ..rules.linear import Recurrence

# A trace, and the state it speaks of.
Coordinate = tuple[str, str]
Pair = tuple[Coordinate, Coordinate]


@frozen(eq=False)
class Lane:
    """Relations with one backward recurrence.

    Attributes
    ----------
    key
        Name of the recurrence.
    members
        The relations.
    slots
        The traces that each of them has.
    """

    key: str
    members: tuple[HiddenParamOpRelation, ...]
    slots: tuple[str, ...]

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """The pairs of a trace and a state, of all members."""
        return tuple((slot, s) for slot in self.slots for s in self.members[0].states)

    def _label(self, at: Coordinate) -> str:
        return at[1] if len(self.slots) == 1 else ".".join(at)

    def ahead(self, at: Coordinate) -> str:
        """Return the input name of the adjoint for a trace of a state."""
        return f"ahead.{self.key}.{self._label(at)}"

    def product(self, new: Coordinate, old: Coordinate) -> str:
        """Return the input name of the product of later transitions between two of them."""
        return f"product.{self.key}.{self._label(new)}.{self._label(old)}"

    def ahead_type(self, at: Coordinate) -> TensorType:
        """Return the type of the adjoint for a trace of a state."""
        return self._type([self._place(at)])

    def product_type(self, new: Coordinate, old: Coordinate) -> TensorType:
        """Return the type of a product: positions of the new state before those of the old one."""
        return self._type([self._place(new), self._place(old)])

    def vector(
        self, arrays: Mapping[Coordinate, Any], member: HiddenParamOpRelation | None = None
    ) -> dict[str, Vec]:
        """Return adjoints by trace and state under the axis letters of a member."""
        return {
            slot: Vec({
                at[1]: self._named(x, [(at, POSITION)], member)
                for at, x in arrays.items() if at[0] == slot
            })
            for slot in self.slots
        }  # fmt: skip

    def row(self, new: Coordinate, arrays: Mapping[Pair, Any]) -> dict[str, Vec]:
        """Return the products of one new coordinate as vectors over old ones."""
        return {
            slot: Vec({
                old[1]: self._named(arrays[new, old], [(new, FIXED), (old, POSITION)])
                for old in self.coordinates if old[0] == slot
            })
            for slot in self.slots
        }  # fmt: skip

    def applied(
        self, new: str, arrays: Mapping[Pair, Any], to: Mapping[str, Vec],
        member: HiddenParamOpRelation,
    ) -> Vec:  # fmt: skip
        """Return the products applied to one vector for each trace, for one new trace."""
        total = Vec({})
        for slot, vector in to.items():
            matrix = Mat({
                (a[1], b[1]): self._named(x, [(a, POSITION), (b, BEFORE)], member)
                for (a, b), x in arrays.items() if a[0] == new and b[0] == slot
            })  # fmt: skip
            total = total + matrix @ vector
        return total

    def _place(self, at: Coordinate) -> Place:
        return self.members[0].places[at[1]]

    def _type(self, places: list[Place]) -> TensorType:
        """Return the type of an array over places: axes of ``y``, then those of wide places."""
        one = self.members[0]
        head = () if all(p.everywhere for p in places) else one.at_shape
        return one.y.type.with_shape(head + tuple(p.width for p in places if p.wide))

    def _named(
        self, x: Any, letters: list[tuple[Coordinate, str]],
        member: HiddenParamOpRelation | None = None,
    ) -> Named:  # fmt: skip
        return named(x, self.axes(letters, member), (member or self.members[0]).axes.frame)

    def axes(
        self, letters: list[tuple[Coordinate, str]], member: HiddenParamOpRelation | None = None
    ) -> str:
        """Return the letters of an array over places of states, several positions as given."""
        places = [self._place(at) for at, _ in letters]
        head = "" if all(p.everywhere for p in places) else (member or self.members[0]).axes.at
        return head + "".join(c for (_, c), p in zip(letters, places, strict=True) if p.wide)


def lanes_of(linear: Mapping[HiddenParamOpRelation, Recurrence]) -> tuple[Lane, ...]:
    """Return the relations grouped by how their traces move, and by places."""
    found: dict[Any, list[HiddenParamOpRelation]] = {}
    slots: dict[Any, tuple[str, ...]] = {}
    for relation, moved in linear.items():
        places = tuple(p.key for p in relation.places.values())
        shared = all(p.everywhere for p in relation.places.values())
        key = (places, None if shared else relation.at_shape, moved.key())
        found.setdefault(key, []).append(relation)
        slots[key] = moved.slots
    return tuple(
        Lane(str(i), tuple(members), slots[key]) for i, (key, members) in enumerate(found.items())
    )
