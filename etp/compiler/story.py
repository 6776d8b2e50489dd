"""The whole story of one parameter, or of one state, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from etp_ir.core import Literal, Node
from etp_ir.source import Source

from .coverage import BLOCK, DENSE, WISE
from .kinds import DiagnosticKind, DiagnosticLevel
from .paths import Paths, brief, quoted
from .records import CompilationRecord
from .status import Status
from .structure import HiddenParamOpRelation
from .uses import Use

MOST = 4
# Lines of a section, unless all is asked for; what is longer ends in "... and N more lines".
ENTRIES, TIMES, RECORDS = 7, 5, 8


def parameter_story(
    paths: Paths, name: str, status: Status | None, records: Sequence[CompilationRecord],
    place: Source | None, full: bool = False,
) -> str:  # fmt: skip
    """Return where a parameter enters, what it reaches, what is cut, and what can be mended.

    Parameters
    ----------
    full
        Shorten nothing.
    """
    value = paths.params[name]
    lines = [f"{name}: {status.status}" if status else name]
    if status:
        lines.append(f"  because {status.reason}")
    lines.append(f"  {value.type}, {_weights(value.type.size)}{_made(place)}")
    lines += _section("enters", _entries(paths, name, full), ENTRIES, full)
    uses = set(paths.products_of(name))
    mine = [r for r in paths.structure.relations if uses.intersection(r.uses)]
    lines += _section("in time", _in_time(paths, mine, paths.states_of(name), full), TIMES, full)
    lines += _told(records, full)
    return "\n".join(lines)


def state_story(
    paths: Paths, name: str, records: Sequence[CompilationRecord], place: Source | None,
    full: bool = False,
) -> str:  # fmt: skip
    """Return the group of a state, what reaches it, what reads it."""
    port = paths.program.input(name)
    if name not in paths.structure.states:
        lines = [f"{name}: a state that is carried and not differentiated"]
        lines.append(f"  {port.type}{_made(place)}")
        return "\n".join([*lines, *_told(records, full)])
    others = [s for s in paths.group_of[name].states if s != name]
    joined = f"in one hidden group with {', '.join(others)}" if others else "a group of its own"
    lines = [f"{name}: {joined}", f"  {port.type}{_made(place)}"]
    lines += _section("reached by", _reached_by(paths, name), ENTRIES, full)
    lines += _section("read by", _readers(paths, name), TIMES, full)
    lines += _section(
        "in time", _in_time(paths, paths.structure.relations, [name], full), TIMES, full
    )
    lines += _told(records, full)
    return "\n".join(lines)


def _section(title: str, found: Iterable[str], most: int, full: bool) -> list[str]:
    lines = list(found)
    if len(lines) > most and not full:
        lines[most - 1 :] = [f"... and {len(lines) - most + 1} more lines (shown with full=True)"]
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _weights(n: int) -> str:
    return "one weight" if n == 1 else f"{n} weights"


def _made(place: Source | None) -> str:
    return f", made at {place}" if place else ""


# -- where a parameter enters, and what it reaches ------------------------------------------
def _entries(paths: Paths, name: str, full: bool) -> Iterator[str]:
    """Yield each product of a parameter with the states that it reaches."""
    products = paths.products_of(name)
    for use in products:
        weight = paths.structure.weights[use]
        part = _inside(paths, name, use) if weight.name != name else ""
        place = f" at {use.node.source}" if use.node.source else ""
        yield f"{quoted(use.node)}{part}{place}"
        for relation in paths.structure.relations:
            if use in relation.uses:
                yield from (f"  {line}" for line in _arrivals(paths, relation, full))
        yield from (f"  {line}" for line in _losses(paths, use, full))
    avoid = {use.output for use in paths.marked}
    ends = [(s, paths.new(s)) for s in paths.reached(paths.params[name])]
    for target, end in [*ends, ("the loss", paths.loss)]:
        way = paths.chain(paths.params[name], end, avoid=avoid)
        if way and not any(n.primitive.is_etp for n in way):
            yield f"plain operations, which reach {target} by {_steps(way, full=full)}"
            return
    if not products:
        yield "no weight product"


def _inside(paths: Paths, name: str, use: Use) -> str:
    """Return the name of the expression that a parameter is a part of, and its operations."""
    way = paths.chain(paths.params[name], use.weight)
    by = f" ({_steps(way, place=False)})" if way else ""
    return f" as part of {paths.structure.weights[use].name}{by}"


def _arrivals(paths: Paths, relation: HiddenParamOpRelation, full: bool) -> Iterator[str]:
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
        by = f", by {_steps(way, full=full)}" if way else ""
        yield f"reaches {state} {where}{by}"


def _losses(paths: Paths, use: Use, full: bool) -> Iterator[str]:
    """Yield the states that a product reaches in a way that no trace follows."""
    reached = paths.reached(use.output)
    related = [r for r in paths.structure.relations if use in r.uses]
    told = 0
    for state in reached:
        cut = next(paths.cuts_after(use.output, state), None)
        if cut is None or any(r.places[state].wide for r in related if state in r.places):
            continue
        if told == 2 and not full:
            yield "... (more with full=True)"
            return
        told += 1
        also = "also " if related else "only "
        yield f"reaches {state} {also}through {_place(paths, cut.node)}: not followed"
    if not reached and paths.leads(use.output, paths.loss):
        yield "reaches the loss within the step, and no state"


def _place(paths: Paths, node: Node) -> str:
    return paths.title(node) + (f" ({brief(node.source)})" if node.source else "")


# -- what happens in time -------------------------------------------------------------------
def _in_time(
    paths: Paths, relations: Sequence[HiddenParamOpRelation], states: Sequence[str], full: bool
) -> Iterator[str]:
    """Yield how states act on those of the next step, and what of it traces follow."""
    influence = paths.structure.influence
    for a in states:
        for b in influence.live:
            if not influence.onward(b, a):
                continue
            modes = {r.edges.get((b, a)) for r in relations}
            yield f"{a} -> {b}  {_transition(paths, a, b, modes, full)}"
        if paths.leads(paths.old(a), paths.loss):
            yield f"{a} -> the loss"


def _transition(paths: Paths, a: str, b: str, modes: set[str | None], full: bool) -> str:
    """Return which operations of a transition are followed, and which are not."""
    old, reach = paths.old(a), paths.structure.reaches[b]
    if DENSE in modes:
        return "followed on all paths"
    parts = []
    if BLOCK in modes:
        parts.append("followed: each position by itself")
    elif WISE in modes:
        way = paths.chain(old, paths.new(b), cuts=reach.cuts)
        parts.append(f"followed: {_steps(way, False, full)}" if way else "followed: it is kept")
    ends = list(dict.fromkeys(_place(paths, c.node) for c in paths.cuts_after(old, b)))
    if len(ends) > MOST and not full:
        ends[MOST:] = ["..."]
    if ends:
        parts.append(f"not followed: {', '.join(ends)}")
    return "; ".join(parts) or "not followed"


# -- states ---------------------------------------------------------------------------------
def _reached_by(paths: Paths, state: str) -> Iterator[str]:
    relations = [r for r in paths.structure.relations if state in r.places]
    found = [r for r in relations if r.y in paths.structure.reaches[state].targets]
    for r in found:
        place = f" at {r.node.source}" if r.node.source else ""
        yield f"{r.name} through {quoted(r.node)}{place}"
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
def _steps(way: Sequence[Node] | None, place: bool = True, full: bool = False) -> str:
    """Return the operations of a path in few words, with the lines they come from."""
    if not way:
        return "nothing in between"
    names = []
    for name, same in groupby(n.primitive.name for n in way):
        count = len(list(same))
        names.append(name if count == 1 else f"{name} x{count}")
    if len(names) > 8 and not full:
        names = [*names[:4], "...", *names[-3:]]
    lines = list(dict.fromkeys(brief(n.source) for n in way if n.source))
    if len(lines) > 3 and not full:
        lines[3:] = ["..."]
    at = f" ({', '.join(lines)})" if lines and place else ""
    return f"{', '.join(names)}{at}"


def _told(records: Sequence[CompilationRecord], full: bool) -> list[str]:
    """Return one line for each kind of record, or for each record, with what would mend it."""
    lines: list[str] = []
    for how, found in groupby(_lines(records, full), lambda line: line[1]):
        lines += (text for text, _ in found)
        lines += [f"  to mend: {how}"] if how else []
    return _section("records", lines, RECORDS, full)


def _lines(records: Sequence[CompilationRecord], full: bool) -> Iterator[tuple[str, str]]:
    """Yield what is said of records, and how to mend what is lost."""
    alike: dict[tuple[DiagnosticKind, str], list[CompilationRecord]] = {}
    for one in records:
        alike.setdefault((one.kind, one.how), []).append(one)
    for (kind, how), found in alike.items():
        if kind is DiagnosticKind.TRACED:
            continue
        mended = kind.level is not DiagnosticLevel.INFO or kind.code[3] in "46"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 and not full else ""
        for one in found if full else found[:1]:
            at = f" ({brief(one.source)})" if one.source and full else ""
            yield f"{kind.code} {kind.level.value}: {one.message}{at}{more}", how if mended else ""
