"""Records about states: their groups, what passes between them in time, what is cut."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from etp_ir.core import Node, Value

from ..initial import is_flag
from .case import Case, cause
from .coverage import BLOCK
from .kinds import DiagnosticKind as Kind
from .paths import first_source
from .records import CompilationRecord, record
from .structure import HiddenGroup


def state_records(case: Case) -> Iterator[CompilationRecord]:
    """Yield what there is to say about states, groups and transitions."""
    yield from _carried(case)
    yield from _stopped(case)
    yield from _loops(case)
    if case.traceless:
        return
    for group in case.structure.groups:
        yield from _group(case, group)
        yield from _degenerate(case, group)
    for (a, b), how in case.lost.items():
        yield from _within(case, a, b, how) if _joined(case, a, b) else _across(case, a, b)
    yield from _window(case)
    yield from _beyond(case)


def _carried(case: Case) -> Iterator[CompilationRecord]:
    """Yield states that are not assigned, not differentiated, or not read."""
    paths, program = case.paths, case.structure.program
    leaving = {p.role.of[0]: p.value for p in program.outputs_of("state")}
    for port in program.inputs_of("state"):
        name, place = port.name, case.places.get(port.name)
        if is_flag(name):
            continue
        if leaving.get(name) is port.value:
            yield record(
                Kind.STATE_NOT_ASSIGNED, f"state {name} is never assigned in a step", state=name,
                source=place,
            )  # fmt: skip
        elif not port.type.dtype.is_float:
            yield record(
                Kind.NOT_DIFFERENTIATED, f"state {name} holds {port.type}", state=name,
                source=place,
            )  # fmt: skip
        elif name not in paths.live:
            yield record(
                Kind.IDLE_STATE, f"no later step reads state {name} on its way to the loss",
                state=name, source=place,
            )  # fmt: skip


def _stopped(case: Case) -> Iterator[CompilationRecord]:
    """Yield each stop_gradient that cuts a path from something that is learned or carried."""
    paths = case.paths
    starts = [*paths.params.values(), *(paths.old(s) for s in case.structure.states)]
    for node in case.structure.program.nodes:
        if node.primitive.name != "stop_gradient" or not isinstance(node.inputs[0], Value):
            continue
        if _is_extreme(case, node.inputs[0]):
            continue  # what a softmax subtracts has no influence on its result
        if not any(paths.leads(v, node.inputs[0]) for v in starts):
            continue
        after = nx.descendants(paths.everything, node.output)
        ends = [s for s in case.structure.states if paths.new(s) in after]
        if not ends and paths.loss not in after:
            continue
        yield record(
            Kind.STOPPED_GRADIENT,
            f"`stop_gradient` cuts a path to {' and '.join(ends) or 'the loss'}",
            state=ends[0] if ends else None, source=node.source,
        )  # fmt: skip


def _is_extreme(case: Case, value: Value) -> bool:
    """Whether a value is the maximum over axes of another, perhaps in another shape."""
    node = case.paths.program.producers.get(value)
    while node is not None and node.primitive.positions == "structural":
        (value, *_) = (x for x in node.inputs if isinstance(x, Value))
        node = case.paths.program.producers.get(value)
    return node is not None and node.primitive.name == "reduce_max"


def _loops(case: Case) -> Iterator[CompilationRecord]:
    """Yield each loop that is differentiated forwards."""
    paths = case.paths
    starts = [*paths.params.values(), *(paths.old(s) for s in case.structure.states)]
    for node in case.structure.program.nodes:
        if node.primitive.name != "while":
            continue
        if any(paths.leads(v, y) for v in starts for y in node.outputs):
            yield record(
                Kind.FORWARD_LOOP, "the derivative of `while` is its whole Jacobian",
                source=node.source,
            )  # fmt: skip


def _group(case: Case, group: HiddenGroup) -> Iterator[CompilationRecord]:
    """Yield how a group is made, and whether anything is traced in it."""
    paths = case.paths
    first = group.states[0]
    if len(group.states) > 1:
        yield record(
            Kind.JOINED_GROUP, f"{' and '.join(group.states)} form one hidden group",
            state=first, source=case.places.get(first),
        )  # fmt: skip
    for a in group.states:
        for b in group.states:
            new = paths.new(a)
            if a == b or not isinstance(new, Value) or new is paths.new(b):
                continue
            way = paths.chain(new, paths.new(b)) if paths.leads(new, paths.new(b)) else None
            if way:
                yield record(
                    Kind.COUPLED_IN_STEP, f"the new {a} feeds the new {b} in the same step",
                    state=b, source=first_source(way),
                )  # fmt: skip
    moved = any(paths.new(s) is not paths.old(s) for s in group.states)
    traced = any(s in r.places for r in case.structure.relations for s in group.states)
    if moved and not traced and paths.live.intersection(group.states):
        yield record(
            Kind.UNTRAINED_STATE, f"no traced weight acts on {' and '.join(group.states)}",
            state=first, source=case.places.get(first),
        )  # fmt: skip


def _joined(case: Case, a: str, b: str) -> bool:
    return case.paths.group_of[a] is case.paths.group_of[b]


def _degenerate(case: Case, group: HiddenGroup) -> Iterator[CompilationRecord]:
    """Yield that nothing is left of a group's transition in the traces of its weights."""
    paths = case.paths
    related = [r for r in case.lossy_relations if r.group is group]
    acts = [(a, b) for (a, b) in case.lost if a in group.states and b in group.states]
    if not acts or any(edge[0] in group.states for r in related for edge in r.edges):
        return
    old, new = (paths.old(acts[0][0]), paths.new(acts[0][1]))
    cuts = list(paths.cuts_after(old, acts[0][1]))
    way = [case.culprit(old, c) for c in cuts] or paths.chain(old, new) or ()
    yield record(
        Kind.NO_TRANSITION,
        f"nothing of the transition of {' and '.join(group.states)} is position-wise",
        state=group.states[0], source=first_source(way),
        how="" if case.structure.scope.name == "diagonal" else
        'give the state a leak, or compile with scope="full"',
    )  # fmt: skip


def _within(case: Case, a: str, b: str, how: str | None) -> Iterator[CompilationRecord]:
    """Yield what is not followed from one state of a group to another, or to itself."""
    paths = case.paths
    old = paths.old(a)
    ends: dict[Kind, list[Node]] = {}
    for cut in paths.cuts_after(old, b):
        end = case.culprit(old, cut)
        kind = cause(end, Kind.RECURRENT_PRODUCT, Kind.MIXING_TRANSITION)
        kind = Kind.MOVED_POSITIONS if cut.moves else kind
        ends.setdefault(kind, []).append(end)
    own = "traces follow what each position does to itself, and not what others do to it"
    for kind, nodes in ends.items():
        titles = list(dict.fromkeys(paths.title(n) for n in nodes))
        more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
        if kind is Kind.MOVED_POSITIONS:
            titles, more = [f"{titles[0]}, which moves positions"], ""
        yield record(
            kind, f"{a} acts on the next {b} through {titles[0]}{more}", state=b,
            source=first_source(nodes), why=own if how == BLOCK else "",
        )  # fmt: skip
    if not ends:
        way = paths.chain(old, paths.new(b)) or ()
        yield record(
            Kind.MOVED_POSITIONS, f"positions of {a} act on others of the next {b}", state=b,
            source=first_source(way),
        )  # fmt: skip


def _across(case: Case, a: str, b: str) -> Iterator[CompilationRecord]:
    """Yield that a state acts on one of another group, unless a third group lies between."""
    paths = case.paths
    if paths.new(b) not in case.next_to[a]:
        return
    cut = next(paths.cuts_after(paths.old(a), b), None)
    end = case.culprit(paths.old(a), cut) if cut else None
    through = f" through {paths.title(end)}" if end else ""
    way = [end] if end else paths.chain(paths.old(a), paths.new(b)) or ()
    yield record(
        Kind.CROSS_GROUP, f"{a} acts on later values of {b}{through}", state=a,
        source=first_source(way), how="" if case.forward(b, a) else Kind.RECURRENT_PRODUCT.mend,
        why="" if case.forward(b, a) else "it is feedback to an earlier hidden group, which traces "
        'follow under scope="full" only',
    )  # fmt: skip


def _window(case: Case) -> Iterator[CompilationRecord]:
    """Yield the exact hops that window 0 leaves out."""
    if case.window > 0:
        return
    paths = case.paths
    told: set[str] = set()
    for a, b in case.lost:
        cut = next(paths.cuts_after(paths.old(a), b), None)
        if a in told or cut is None or not paths.leads(paths.new(b), paths.loss):
            continue
        told.add(a)
        end = case.culprit(paths.old(a), cut)
        yield record(
            Kind.WINDOW_ZERO, f"the path from {a} to the loss through {paths.title(end)} is not "
            "followed", state=a, source=end.source,
        )  # fmt: skip


def _beyond(case: Case) -> Iterator[CompilationRecord]:
    """Yield parameters whose influence goes on beyond the positions that a scope keeps."""
    how = "" if case.structure.scope.name == "sparse_n" else Kind.RECURRENT_PRODUCT.mend
    for relation in (r for r in case.lossy_relations if not r.coverage.complete):
        for name in case.structure.weights[relation.use].params:
            if case.lossy(name):
                yield record(
                    Kind.BEYOND_SCOPE, f"the influence of {name} goes on beyond the reach of scope "
                    f"{case.structure.scope}", parameter=name, state=relation.states[0],
                    source=relation.node.source, how=how,
                )  # fmt: skip
