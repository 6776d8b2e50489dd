"""What following more would cost: status, bytes and arithmetic of each parameter by scope."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from attrs import frozen

from etp_ir.core import Program
from etp_ir.errors import NotSupportedError
from etp_ir.passes import lower
from etp_ir.types import DType

from ..compiler.axes import float_dtype
from ..compiler.coverage import DENSE, WISE
from ..compiler.report import cost, shares
from ..compiler.scope import Scope
from ..compiler.status import EXACT, statuses
from ..compiler.structure import Structure, analyse
from ..rules.base import LearningRule
from .memory import TraceMemory, memory_of
from .probe import coinciding

# Counting hops looks at every pair of positions, so it is priced only where it is in use.
LADDER = ("diagonal", "coupled", "group", "layered", "full")


@frozen
class Price:
    """Status of a parameter under a scope, bytes of its traces and flops to advance them."""

    status: str
    trace_bytes: int
    flops: int


@frozen
class ScopePrice:
    """What a scope gives and takes, for the batch.

    Attributes
    ----------
    parameters
        By dotted path.
    transition_flops
        Flops per step for the transition and the tails, which all parameters share.
    """

    parameters: dict[str, Price]
    transition_flops: int

    @property
    def exact(self) -> int:
        """Number of parameters whose gradient equals back-propagation through time."""
        return sum(p.status == EXACT for p in self.parameters.values())

    @property
    def trace_bytes(self) -> int:
        """Bytes of all traces."""
        return sum(p.trace_bytes for p in self.parameters.values())

    @property
    def flops(self) -> int:
        """Flops of one step in which all traces advance."""
        return self.transition_flops + sum(p.flops for p in self.parameters.values())


def prices(
    program: Program, constants: Mapping[str, Any], params: Mapping[str, Any], rule: LearningRule,
    window: int, tail: str, stored: DType | None, batch: int, *, inside: Scope,
) -> dict[str, ScopePrice]:  # fmt: skip
    """Return what each scope would give and take.

    Parameters
    ----------
    inside
        The scope in use.
    """
    scopes = [Scope(name) for name in LADDER]
    scopes += [] if inside in scopes else [inside]

    found = {}
    for scope in scopes:
        structure = analyse(program, constants, scope=scope, tail=tail)
        try:
            found[str(scope)] = _price(structure, constants, params, rule, window, stored, batch)
        except NotSupportedError:
            # A rule may have no meaning there; where it is in use, it has said so already.
            if scope == inside:
                raise
    return found


def _price(
    s: Structure, constants: Mapping[str, Any], params: Mapping[str, Any], rule: LearningRule,
    window: int, stored: DType | None, batch: int,
) -> ScopePrice:  # fmt: skip
    same = cache(lambda: coinciding(s, rule, window, constants, params))
    found = statuses(s, rule, window, coinciding=same)
    memory = memory_of(s, rule, float_dtype(s.program), stored)
    assert isinstance(memory, TraceMemory)
    sizes = dict.fromkeys(found, 0)
    flops = dict.fromkeys(found, 0)
    for array in memory.arrays:
        relation = array.relation
        if relation is None:
            continue
        work = 2
        if array.state is not None:
            for (new, old), how in relation.edges.items():
                if new == array.state:
                    work += 2 * (relation.places[old].width if how == DENSE else 1)
        for name, share in shares(s, relation.use).items():
            sizes[name] += round(batch * array.type.nbytes * share)
            flops[name] += round(batch * array.type.size * work * share)
    step, _ = cost(lower(s.program))
    rows = sum(
        s.states[state][0].type.size if _needs_all(s, state) else 1
        for state in dict.fromkeys(n for r in s.relations for n in r.places)
    )
    parameters = {n: Price(found[n].status, sizes[n], flops[n]) for n in found}
    return ScopePrice(parameters, batch * rows * 2 * step)


def _needs_all(s: Structure, state: str) -> bool:
    """Whether derivatives of a new state are wanted one position at a time."""
    return any(
        r.places[state].wide or any(n == state and how != WISE for (n, _), how in r.edges.items())
        for r in s.relations if state in r.places
    )  # fmt: skip
