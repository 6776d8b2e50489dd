"""The compiled structure as a user asks about it: groups, relations, records, stories."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from attrs import field, frozen

from etp_ir.errors import ModelError, nearest
from etp_ir.source import Source

from ..place import placed
from .diagnostics import LOSSES
from .kinds import DiagnosticKind, DiagnosticLevel, kind_of, level_of
from .paths import Paths
from .records import CompilationRecord
from .status import LOSSLESS, Status
from .story import parameter_story, state_story
from .structure import HiddenGroup, HiddenParamOpRelation, Structure


@frozen(eq=False, slots=False)
class ETraceGraph:
    """What the compiler made of a model: groups, relations, statuses and records.

    Attributes
    ----------
    structure
        All that rules are given.
    statuses
        Status of each parameter by dotted path.
    diagnostics
        Records of what was found and left out, by code.
    places
        Where parameters and states were made, by dotted path.
    """

    structure: Structure = field(repr=False)
    statuses: dict[str, Status] = field(repr=False)
    diagnostics: tuple[CompilationRecord, ...] = field(default=(), repr=False)
    places: Mapping[str, Source] = field(factory=dict, repr=False)

    @property
    def groups(self) -> tuple[HiddenGroup, ...]:
        """Hidden groups."""
        return self.structure.groups

    @property
    def relations(self) -> tuple[HiddenParamOpRelation, ...]:
        """Weight products that reach a hidden group."""
        return self.structure.relations

    @property
    def states(self) -> tuple[str, ...]:
        """Dotted paths of all states, those that are not differentiated included."""
        return tuple(p.name for p in self.structure.program.inputs_of("state"))

    @cached_property
    def paths(self) -> Paths:
        """What leads where in the step."""
        return Paths(self.structure)

    def __repr__(self) -> str:
        groups = "; ".join(" ".join(g.states) for g in self.groups)
        return (
            f"<ETraceGraph of {self.structure.program.name}: groups {groups}; "
            f"{len(self.relations)} relations, {len(self.diagnostics)} records>"
        )

    # -- records ----------------------------------------------------------------------------
    @placed
    def find(
        self, parameter: str | None = None, state: str | None = None,
        kind: DiagnosticKind | str | None = None, level: DiagnosticLevel | str | None = None,
    ) -> tuple[CompilationRecord, ...]:  # fmt: skip
        """Return the records that meet all of what is given.

        Parameters
        ----------
        parameter
            Dotted path. The records about it, and those about the states it acts on that name no
            other parameter.
        state
            Dotted path of a state.
        kind
            A kind, its code (``"ETP401"``) or its slug (``"recurrent-product"``).
        level
            A level, or ``"info"``, ``"warning"``, ``"error"``.

        Raises
        ------
        etp.ETPError
            If a name is unknown.
        """
        found = list(self.diagnostics)
        if parameter is not None:
            self._known(parameter, self.paths.params, "parameter")
            states = self._states_of(parameter)
            status = self.statuses.get(parameter)
            lossy = status is None or status.status not in LOSSLESS
            found = [
                r for r in found
                if r.parameter == parameter
                or (r.parameter is None and r.state in states and (lossy or r.kind not in LOSSES))
            ]  # fmt: skip
        if state is not None:
            self._known(state, self.states, "state")
            found = [r for r in found if r.state == state]
        if kind is not None:
            wanted = kind_of(kind)
            found = [r for r in found if r.kind is wanted]
        if level is not None:
            grave = level_of(level)
            found = [r for r in found if r.level is grave]
        return tuple(found)

    def _states_of(self, parameter: str) -> set[str]:
        paths = self.paths
        return {*paths.states_of(parameter), *paths.reached(paths.params[parameter])}

    # -- stories ----------------------------------------------------------------------------
    @placed
    def explain(
        self, path: str | None = None, *, state: str | None = None, full: bool = False
    ) -> str:
        """Return the story of one parameter or of one state.

        Of a parameter: where it enters, which states it reaches by which operations, what
        happens to its influence in time, its status, and what could be mended. Of a state: its
        group, what reaches it, and what reads it. Records come with what would mend them.

        Parameters
        ----------
        path
            Dotted path of a parameter or of a state.
        state
            Dotted path of a state, where a parameter has the same.
        full
            Shorten nothing, and show every record with its line.

        Raises
        ------
        etp.ModelError
            If there is no such parameter or state.
        """
        if (path is None) == (state is None):
            raise ModelError("explain takes one name\ngive a parameter, or state=...")
        name = path if path is not None else state
        known: dict[str, None] = dict.fromkeys(self.states)
        if path is not None:
            known = {**dict.fromkeys(self.paths.params), **known}
        self._known(name, known, "parameter or state" if path is not None else "state")
        assert name is not None
        if name in self.paths.params and state is None:
            return parameter_story(
                self.paths, name, self.statuses.get(name), self.find(parameter=name),
                self.places.get(name), full,
            )  # fmt: skip
        return state_story(self.paths, name, self.find(state=name), self.places.get(name), full)

    def _known(self, name: object, known: object, what: str) -> None:
        names = list(known)  # type: ignore[call-overload]
        if not isinstance(name, str) or name not in names:
            raise ModelError(f"no {what} {name!r}{nearest(str(name), names)}")
