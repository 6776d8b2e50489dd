"""What records are derived from: a structure, the statuses, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from attrs import define, field

from etp_ir.core import Node, Value
from etp_ir.source import Source
from etp_ir.types import DType

from ..rules.base import LearningRule, TraceRule
from .kinds import DiagnosticKind
from .paths import Paths
from .positions import Cut
from .status import EXACT, UNREACHABLE, Status
from .structure import HiddenGroup, Structure


@define(slots=False, eq=False)
class Case:
    """A compiled step, its statuses, and the choices that led to them.

    Attributes
    ----------
    truncated
        Steps after which a rule that keeps nothing forgets, because weights change there.
    trace_dtype
        Element type of traces, if it was chosen.
    places
        Where parameters and states were made, by dotted path.
    """

    structure: Structure
    statuses: Mapping[str, Status]
    rule: LearningRule
    window: int
    truncated: int | None = None
    trace_dtype: DType | None = None
    places: Mapping[str, Source] = field(factory=dict)

    @cached_property
    def paths(self) -> Paths:
        """The paths of the structure."""
        return Paths(self.structure)

    @property
    def follows_all(self) -> bool:
        """Whether rule and scope follow every path through time."""
        return not isinstance(self.rule, TraceRule) or self.structure.scope.name == "full"

    def lossy(self, parameter: str) -> bool:
        """Whether some path through time of a parameter is not followed."""
        found = self.statuses.get(parameter)
        return found is not None and found.status not in (EXACT, UNREACHABLE)

    @cached_property
    def _lossy_groups(self) -> set[HiddenGroup]:
        weights = self.structure.weights
        return {
            r.group for r in self.structure.relations
            if any(self.lossy(p) for p in weights[r.node].params)
        }  # fmt: skip

    def lossy_group(self, group: HiddenGroup) -> bool:
        """Whether a parameter with traces in a group loses something."""
        return group in self._lossy_groups

    def culprit(self, start: Value, cut: Cut) -> Node:
        """Return the operation that mixes positions on the way from a value to a cut.

        The cut is where positions are found to be mixed, reading backwards; what a user wrote is
        the reduction or product before it.
        """
        operand = cut.node.inputs[cut.operand]
        if cut.node.primitive.is_etp or cut.node.regions or not isinstance(operand, Value):
            return cut.node
        before = self.paths.chain(start, operand) or []
        mixes = ("reduction", "contraction", "mixing")
        return next((n for n in reversed(before) if n.primitive.positions in mixes), cut.node)


def cause(node: Node, product: DiagnosticKind, mixing: DiagnosticKind) -> DiagnosticKind:
    """Return the kind for an operation that mixes positions: a product, a region, or another."""
    if node.primitive.is_etp:
        return product
    return DiagnosticKind.OPAQUE_REGION if node.regions else mixing
