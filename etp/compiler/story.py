"""The whole story of one parameter, or of one state, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from etp_ir.core import Literal, Node
from etp_ir.source import Source

from .kinds import DiagnosticKind, DiagnosticLevel
from .paths import Paths, brief, quoted
from .records import CompilationRecord, by_kind
from .status import Status
from .structure import HiddenParamOpRelation

MOST = 4


def parameter_story(
    paths: Paths, name: str, status: Status | None, records: Sequence[CompilationRecord],
    place: Source | None,
) -> str:  # fmt: skip
    """Return where a parameter enters, what it reaches, what is cut, and what can be mended."""
    value = paths.params[name]
    lines = [f"{name}: {status.status}" if status else name]
    if status:
        lines.append(f"  because {status.reason}")
    lines.append(f"  {value.type}, {_weights(value.type.size)}{_made(place)}")
    lines += _section("enters", _entries(paths, name))
    states = paths.states_of(name)
    lines += _section("in time", _in_time(paths, states))
    lines += _section("records", _records(records))
    return "\n".join(lines)


def state_story(
    paths: Paths, name: str, records: Sequence[CompilationRecord], place: Source | None
) -> str:
    """Return the group of a state, what reaches it, what reads it."""
    port = paths.program.input(name)
    if name not in paths.structure.states:
        lines = [f"{name}: a state that is carried and not differentiated"]
        lines.append(f"  {port.type}{_made(place)}")
        return "\n".join([*lines, *_section("records", _records(records))])
    others = [s for s in paths.group_of[name].states if s != name]
    joined = f"in one hidden group with {', '.join(others)}" if others else "a group of its own"
    lines = [f"{name}: {joined}", f"  {port.type}{_made(place)}"]
    lines += _section("reached by", _reached_by(paths, name))
    lines += _section("read by", _readers(paths, name))
    lines += _section("in time", _in_time(paths, [name]))
    lines += _section("records", _records(records))
    return "\n".join(lines)


def _section(title: str, found: Iterable[str]) -> list[str]:
    lines = list(found)
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _weights(n: int) -> str:
    return "one weight" if n == 1 else f"{n} weights"


def _made(place: Source | None) -> str:
    return f", made at {place}" if place else ""


# -- where a parameter enters, and what it reaches ------------------------------------------
def _entries(paths: Paths, name: str) -> Iterator[str]:
    """Yield each product of a parameter with the states that it reaches."""
    products = paths.products_of(name)
    for node in products[:MOST]:
        weight = paths.structure.weights[node]
        part = _inside(paths, name, node) if weight.name != name else ""
        place = f" at {node.source}" if node.source else ""
        yield f"{quoted(node)}{part}{place}"
        for relation in paths.structure.relations:
            if relation.node is node:
                yield from (f"  {line}" for line in _arrivals(paths, relation))
        yield from (f"  {line}" for line in _losses(paths, node))
    if len(products) > MOST:
        yield f"... and {len(products) - MOST} more products"
    avoid = {n.output for n in paths.marked}
    ends = [(s, paths.new(s)) for s in paths.reached(paths.params[name])]
    for target, end in [*ends, ("the loss", paths.loss)]:
        way = paths.chain(paths.params[name], end, avoid=avoid)
        if way and not any(n.primitive.is_etp for n in way):
            yield f"plain operations, which reach {target} by {_steps(way)}"
            return
    if not products:
        yield "no weight product"


def _inside(paths: Paths, name: str, node: Node) -> str:
    """Return the name of the expression that a parameter is a part of, and its operations."""
    way = paths.chain(paths.params[name], paths.weight_of(node))
    by = f" ({_steps(way, place=False)})" if way else ""
    return f" as part of {paths.structure.weights[node].name}{by}"


def _arrivals(paths: Paths, relation: HiddenParamOpRelation) -> Iterator[str]:
    """Yield the states of a relation's group that its product reaches, with the operations."""
    for state, place in relation.places.items():
        reach = paths.structure.reaches[state]
        cuts = () if place.wide else reach.cuts
        if place.wide and not paths.leads(relation.y, paths.new(state)):
            continue
        if not place.wide and relation.y not in reach.targets:
            continue
        where = "position by position"
        if place.wide:
            where = "everywhere" if place.everywhere else f"at {place.width} positions each"
        way = paths.chain(relation.y, paths.new(state), cuts=cuts)
        by = f", by {_steps(way)}" if way else ""
        yield f"reaches {state} {where}{by}"


def _losses(paths: Paths, node: Node) -> Iterator[str]:
    """Yield the states that a product reaches in a way that no trace follows."""
    reached = paths.reached(node.output)
    told = 0
    for state in reached:
        cut = next(paths.cuts_after(node.output, state), None)
        if cut is None:
            continue
        if told == 2:
            yield "..."
            return
        told += 1
        at = f" ({brief(cut.node.source)})" if cut.node.source else ""
        yield f"reaches {state} also through {paths.title(cut.node)}{at}, which mixes positions"
    if not reached and paths.leads(node.output, paths.loss):
        yield "reaches the loss within the step, and no state"


# -- what happens in time -------------------------------------------------------------------
def _in_time(paths: Paths, states: Sequence[str]) -> Iterator[str]:
    """Yield what passes from states to states of the next step: kept, or cut and where."""
    lines = []
    for a in states:
        old = paths.old(a)
        for b in paths.structure.states:
            if b not in paths.live or not paths.leads(old, paths.new(b)):
                continue
            reach = paths.structure.reaches[b]
            joined = b in paths.group_of[a].states and old in reach.targets
            parts = []
            if joined and paths.structure.influence.stays(b, a):
                way = paths.chain(old, paths.new(b), cuts=reach.cuts)
                parts.append(f"kept: {_steps(way, place=False)}" if way else "kept as it is")
            cuts = {c.node: None for c in paths.cuts_after(old, b)}
            if cuts:
                at = ", ".join(dict.fromkeys(
                    f"{paths.title(n)} ({brief(n.source)})" for n in list(cuts)[:MOST]
                ))  # fmt: skip
                parts.append(f"mixes positions: {at}")
            elif not parts:
                parts.append("joins no hidden group")
            lines.append(f"{a} -> {b}  {'; '.join(parts)}")
        if paths.leads(old, paths.loss):
            lines.append(f"{a} -> the loss")
    yield from lines[: 2 * MOST]
    if len(lines) > 2 * MOST:
        yield f"... and {len(lines) - 2 * MOST} more"


# -- states ---------------------------------------------------------------------------------
def _reached_by(paths: Paths, state: str) -> Iterator[str]:
    relations = [r for r in paths.structure.relations if state in r.places]
    found = [r for r in relations if r.y in paths.structure.reaches[state].targets]
    for r in found[: 2 * MOST]:
        place = f" at {r.node.source}" if r.node.source else ""
        yield f"{r.name} through {quoted(r.node)}{place}"
    if len(found) > 2 * MOST:
        yield f"... and {len(found) - 2 * MOST} more"
    end = paths.new(state)
    if isinstance(end, Literal) or end is paths.old(state):
        yield "nothing: it keeps its value"


def _readers(paths: Paths, state: str) -> Iterator[str]:
    old = paths.old(state)
    later = [b for b in paths.structure.states if paths.leads(old, paths.new(b))]
    if later:
        yield f"{', '.join(later)} of the next step"
    if paths.leads(old, paths.loss):
        yield "the loss of the next step"
    if paths.leads(paths.new(state), paths.loss) and not isinstance(paths.new(state), Literal):
        yield "the loss of the step that assigns it"


# -- pieces of text -------------------------------------------------------------------------
def _steps(way: Sequence[Node] | None, *, place: bool = True) -> str:
    """Return the operations of a path in few words, with the lines they come from."""
    if not way:
        return "nothing in between"
    names = []
    for name, same in groupby(n.primitive.name for n in way):
        count = len(list(same))
        names.append(name if count == 1 else f"{name} x{count}")
    if len(names) > 8:
        names = [*names[:4], "...", *names[-3:]]
    lines = list(dict.fromkeys(brief(n.source) for n in way if n.source))
    at = f" ({', '.join(lines[:3])}{', ...' if len(lines) > 3 else ''})" if lines and place else ""
    return f"{', '.join(names)}{at}"


def _records(records: Sequence[CompilationRecord]) -> Iterator[str]:
    """Yield one line for each kind of record, and the mends of what is lost."""
    mends: dict[str, None] = {}
    for kind, found in by_kind(records).items():
        if kind is DiagnosticKind.TRACED:
            continue
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield f"{kind.code} {kind.level.value}: {found[0].message}{more}"
        if kind.level is not DiagnosticLevel.INFO or kind.code[3] in "46":
            mends[found[0].how] = None
    for mend in list(mends)[:3]:
        yield f"to mend: {mend}"
