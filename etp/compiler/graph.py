"""The compiled structure as a user asks about it: groups, relations, and one parameter's story."""

from __future__ import annotations

from attrs import frozen

from etp_ir.errors import ModelError, nearest

from ..place import placed
from .status import Status
from .structure import HiddenGroup, HiddenParamOpRelation, Structure


@frozen(eq=False)
class ETraceGraph:
    """Hidden groups, relations and statuses of a compiled model."""

    structure: Structure
    statuses: dict[str, Status]

    @property
    def groups(self) -> tuple[HiddenGroup, ...]:
        """Hidden groups."""
        return self.structure.groups

    @property
    def relations(self) -> tuple[HiddenParamOpRelation, ...]:
        """Weight products that reach a hidden group."""
        return self.structure.relations

    @placed
    def explain(self, path: str) -> str:
        """Return where a parameter enters, what it reaches, and what its gradient is.

        Raises
        ------
        etp.ModelError
            If there is no such parameter.
        """
        if not isinstance(path, str) or path not in self.statuses:
            raise ModelError(f"no parameter {path!r}{nearest(str(path), list(self.statuses))}")
        status = self.statuses[path]
        lines = [f"{path}: {status.status}", f"  because {status.reason}"]
        for node, weight in self.structure.weights.items():
            if path not in weight.params:
                continue
            place = f" at {node.source}" if node.source else ""
            through = "" if weight.name == path else f" as part of {weight.name}"
            lines.append(f"  enters `{node.primitive.name}`{through}{place}")
            for relation in self.structure.relations:
                if relation.node is node:
                    states = ", ".join(relation.states)
                    lines.append(f"    and reaches, position by position: {states}")
        return "\n".join(lines)
