"""What records are derived from: a structure, the statuses, and what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from attrs import define, field

from etp_ir.core import Node, Value
from etp_ir.source import Source
from etp_ir.types import DType

from ..rules.base import LearningRule, OnlineRule
from .kinds import DiagnosticKind
from .losses import lost_edges
from .paths import Paths
from .positions import Cut
from .status import LOSSLESS, Status
from .structure import HiddenParamOpRelation, Structure, no_feedback


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
    streamed
        Whether steps come one at a time.
    size
        Examples in a batch, if that is known.
    """

    structure: Structure
    statuses: Mapping[str, Status]
    rule: LearningRule
    window: int
    truncated: int | None = None
    trace_dtype: DType | None = None
    places: Mapping[str, Source] = field(factory=dict)
    streamed: bool = False
    size: int | None = None

    @cached_property
    def paths(self) -> Paths:
        """The paths of the structure."""
        return Paths(self.structure)

    @property
    def traceless(self) -> bool:
        """Whether the rule keeps no traces, and sees whole sequences instead."""
        return not isinstance(self.rule, OnlineRule)

    def lossy(self, parameter: str) -> bool:
        """Whether some path through time of a parameter is not followed."""
        found = self.statuses.get(parameter)
        return found is not None and found.status not in LOSSLESS

    @cached_property
    def lossy_relations(self) -> tuple[HiddenParamOpRelation, ...]:
        """Relations of weights whose gradient leaves something out."""
        weights = self.structure.weights
        return tuple(
            r for r in self.structure.relations
            if any(self.lossy(p) for p in weights[r.use].params)
        )  # fmt: skip

    @cached_property
    def lost(self) -> dict[tuple[str, str], str | None]:
        """Pairs (old, new) of states between which some influence is not followed, and how it is.

        The value is the mode of the edge, or None where nothing is followed.
        """
        found: dict[tuple[str, str], str | None] = {}
        for relation in self.lossy_relations:
            for old, new, how in lost_edges(self.structure, relation):
                found.setdefault((old, new), how)
        return found

    @cached_property
    def next_to(self) -> dict[str, set[Value]]:
        """Values that each state acts on without a live new state of another group between."""
        paths = self.paths
        ends = {s: v for s in paths.live if isinstance(v := paths.new(s), Value)}
        stops = {
            g: {v for s, v in ends.items() if paths.group_of[s] is not g}
            for g in self.structure.groups
        }
        return {s: paths.spread(paths.old(s), stops[g]) for s, g in paths.group_of.items()}

    @cached_property
    def forward(self) -> Callable[[str, str], bool]:
        """Whether (new, old) is no feedback from a later hidden group to an earlier one."""
        s = self.structure
        return no_feedback(s.program, s.groups, s.influence)

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
