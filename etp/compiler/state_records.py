"""Records about states: their groups, what passes between them in time, what is cut."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from etp_ir.core import Node, Value

from ..initial import is_flag
from .case import Case, cause
from .kinds import DiagnosticKind as Kind
from .paths import first_source
from .positions import Cut
from .records import CompilationRecord, record
from .structure import HiddenGroup


def state_records(case: Case) -> Iterator[CompilationRecord]:
    """Yield what there is to say about states, groups and transitions."""
    yield from _carried(case)
    yield from _stopped(case)
    yield from _loops(case)
    if case.follows_all:
        return
    for group in case.structure.groups:
        yield from _group(case, group)
        if not case.lossy_group(group):
            continue
        yield from _transition(case, group)
        yield from _onward(case, group)
        if case.window == 0:
            yield from _window(case, group)


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
    if moved and not case.structure.of(group) and paths.live.intersection(group.states):
        yield record(
            Kind.UNTRAINED_STATE, f"no traced weight acts on {' and '.join(group.states)}",
            state=first, source=case.places.get(first),
        )  # fmt: skip


def _transition(case: Case, group: HiddenGroup) -> Iterator[CompilationRecord]:
    """Yield what of a group's transition is not followed."""
    paths, reaches = case.paths, case.structure.reaches
    kept = acts = False
    found: list[CompilationRecord] = []
    for b in group.states:
        for a in group.states:
            old = paths.old(a)
            if b not in paths.live or not paths.leads(old, paths.new(b)):
                continue
            acts = True
            if old in reaches[b].targets:
                if case.structure.influence.stays(b, a):
                    kept = True
                else:
                    way = paths.chain(old, paths.new(b), cuts=reaches[b].cuts)
                    found.append(record(
                        Kind.MOVED_POSITIONS, f"positions of {a} act on others of the next {b}",
                        state=b, source=first_source(way or ()),
                    ))  # fmt: skip
            found += _pair(case, a, b, list(paths.cuts_after(old, b)))
    if acts and not kept:
        way = paths.chain(paths.old(group.states[0]), paths.new(group.states[0]))
        yield record(
            Kind.NO_TRANSITION,
            f"nothing of the transition of {' and '.join(group.states)} is position-wise",
            state=group.states[0], source=next((r.source for r in found if r.source), None)
            or first_source(way or ()),
        )  # fmt: skip
    yield from found


def _pair(case: Case, a: str, b: str, cuts: list[Cut]) -> Iterator[CompilationRecord]:
    """Yield one record for each kind of operation that cuts the way from one state to another."""
    ends: dict[Kind, list[Node]] = {}
    for cut in cuts:
        end = case.culprit(case.paths.old(a), cut)
        ends.setdefault(
            cause(end, Kind.RECURRENT_PRODUCT, Kind.MIXING_TRANSITION), []
        ).append(end)  # fmt: skip
    for kind, nodes in ends.items():
        titles = list(dict.fromkeys(case.paths.title(n) for n in nodes))
        more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
        yield record(
            kind, f"{a} acts on the next {b} through {titles[0]}{more}",
            state=b, source=first_source(nodes),
        )  # fmt: skip


def _onward(case: Case, group: HiddenGroup) -> Iterator[CompilationRecord]:
    """Yield the groups whose later states a group acts on without another group between."""
    paths = case.paths
    others = {s: g for g in case.structure.groups if g is not group for s in g.states}
    ends = {v: s for s in others if isinstance(v := paths.new(s), Value)}
    seen: set[Value] = {paths.old(s) for s in group.states}
    stack = list(seen)
    graph = case.structure.dependence.graph
    hit: dict[HiddenGroup, str] = {}
    while stack:
        value = stack.pop()
        if value in ends and ends[value] in paths.live:
            hit.setdefault(others[ends[value]], ends[value])
            continue
        for after in graph.successors(value):
            if after not in seen:
                seen.add(after)
                stack.append(after)
    for other in sorted(hit, key=case.structure.groups.index):
        state = next(s for s in other.states if paths.new(s) in seen)
        start = next(s for s in group.states if paths.leads(paths.old(s), paths.new(state)))
        cut = next(
            (c for c in case.structure.reaches[state].cuts if c.node.inputs[c.operand] in seen),
            None,
        )
        end = case.culprit(paths.old(start), cut) if cut else None
        through = f" through {paths.title(end)}" if end else ""
        yield record(
            Kind.CROSS_GROUP, f"{start} acts on later values of {state}{through}",
            state=start, source=end.source if end else None,
        )  # fmt: skip


def _window(case: Case, group: HiddenGroup) -> Iterator[CompilationRecord]:
    """Yield the first exact hop that window 0 leaves out."""
    paths = case.paths
    for cut in case.structure.cuts(group).values():
        operand = cut.node.inputs[cut.operand]
        for state in group.states:
            old = paths.old(state)
            if paths.leads(old, operand) and paths.leads(cut.node.outputs[0], paths.loss):
                end = case.culprit(old, cut)
                yield record(
                    Kind.WINDOW_ZERO, f"the path from {state} to the loss through "
                    f"{paths.title(end)} is not followed", state=state, source=end.source,
                )  # fmt: skip
                return
