"""Lanes: relations that share decay and positions, and so one backward recurrence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.types import TensorType

from ..compiler.pieces import axes_of, universe
from ..compiler.structure import HiddenGroup, HiddenParamOpRelation
from ..rules.algebra import Mat, Named, Vec
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
    type
        Type of one array of the recurrence: that of the members' products.
    """

    key: str
    members: tuple[HiddenParamOpRelation, ...]
    type: TensorType

    @property
    def group(self) -> HiddenGroup:
        """The group of all members."""
        return self.members[0].group

    def ahead(self, state: str) -> str:
        """Return the input name of the adjoint for a state."""
        return f"ahead.{self.key}.{state}"

    def product(self, new: str, old: str) -> str:
        """Return the input name of the product of later decays between two states."""
        return f"product.{self.key}.{new}.{old}"

    def vector(self, arrays: Mapping[str, Any], member: HiddenParamOpRelation | None = None) -> Vec:
        """Return arrays by state under the axis letters of a member."""
        return Vec({s: self._named(x, member) for s, x in arrays.items()})

    def matrix(
        self, arrays: Mapping[tuple[str, str], Any], member: HiddenParamOpRelation | None = None
    ) -> Mat:
        """Return arrays by pair of states under the axis letters of a member."""
        return Mat({pair: self._named(x, member) for pair, x in arrays.items()})

    def _named(self, x: Any, member: HiddenParamOpRelation | None) -> Named:
        axes = axes_of((member or self.members[0]).node)
        return Named(x, axes.y, universe(axes))


def lanes_of(linear: Mapping[HiddenParamOpRelation, Linear]) -> tuple[Lane, ...]:
    """Return the relations grouped by decay and positions."""
    found: dict[Any, list[HiddenParamOpRelation]] = {}
    for relation, recurrence in linear.items():
        decay = tuple((k, e.array.value) for k, e in recurrence.decay.entries.items())
        key = (relation.group, relation.y.type, np.asarray(relation.index).tobytes(), decay)
        found.setdefault(key, []).append(relation)
    return tuple(
        Lane(str(i), tuple(members), members[0].y.type) for i, members in enumerate(found.values())
    )
