"""Records about weights: which have traces, which have none and why, which reach nothing."""

from __future__ import annotations

from collections.abc import Iterator

from etp_ir.core import Literal, Node, Value

from .case import Case, cause
from .kinds import DiagnosticKind as Kind
from .paths import first_source, quoted
from .records import CompilationRecord, record
from .status import UNREACHABLE
from .uses import Use


def weight_records(case: Case) -> Iterator[CompilationRecord]:
    """Yield what there is to say about each product and each parameter."""
    yield from _products(case)
    for name, value in case.paths.params.items():
        if not case.traceless:
            yield from _shared(case, name)
        status = case.statuses.get(name)
        if status is not None and status.status == UNREACHABLE:
            yield _unreachable(case, name, value)
        elif case.lossy(name) and not case.traceless:
            yield from _varying(case, name, value)
            yield from _plain(case, name, value)
            for use in case.paths.products_of(name):
                yield from _tail(case, name, use)


def _products(case: Case) -> Iterator[CompilationRecord]:
    """Yield products that have traces, and those whose weight is no weight."""
    s, paths = case.structure, case.paths
    for relation in () if case.traceless else s.relations:
        weight = s.weights[relation.use]
        for name in weight.params:
            yield record(
                Kind.TRACED,
                f"{name} acts on {' and '.join(relation.states)} through "
                f"{quoted(relation.node)}",
                parameter=name, state=relation.states[0], source=relation.node.source,
            )  # fmt: skip
    for use in paths.marked:
        if use in s.weights or any(paths.leads(v, use.weight) for v in paths.params.values()):
            continue
        yield record(
            Kind.UNTRAINED_WEIGHT,
            f"the weight of {quoted(use.node)} depends on no parameter", source=use.node.source,
        )  # fmt: skip


def _shared(case: Case, name: str) -> Iterator[CompilationRecord]:
    """Yield that a parameter is used by several products, or inside an expression."""
    uses = case.paths.products_of(name)
    if len(uses) > 1:
        yield record(
            Kind.TIED_WEIGHT, f"{name} is used by {len(uses)} products",
            parameter=name, source=first_source(use.node for use in uses),
        )  # fmt: skip
    inside = {w.name: u.node for u in uses if (w := case.structure.weights[u]).name != name}
    for weight, node in inside.items():
        yield record(
            Kind.WEIGHT_EXPRESSION, f"{name} enters {quoted(node)} inside an expression",
            parameter=name, source=node.source,
            why=f"the trace is that of the expression, called {weight}; its gradient is pulled "
                "back to the parameters",
        )  # fmt: skip


# -- parameters that reach nothing ----------------------------------------------------------
def _unreachable(case: Case, name: str, value: Value) -> CompilationRecord:
    """Return why no gradient reaches a parameter."""
    place = case.places.get(name)
    way = _way_to_loss(case, value)
    if way is None:
        return record(
            Kind.UNREACHABLE, f"no path leads from {name} to the loss", parameter=name,
            source=place,
        )  # fmt: skip
    graph = case.structure.dependence.graph
    end = next((n for n in way if n.primitive.jvp is None), None) or next(
        (n for n in way if not any(graph.has_predecessor(n.outputs[0], x) for x in n.inputs
                                   if isinstance(x, Value) and x in graph)), way[-1],
    )  # fmt: skip
    message = f"every path from {name} to the loss ends at {quoted(end)}"
    kind = Kind.UNREACHABLE if end.primitive.name == "stop_gradient" else Kind.ZERO_DERIVATIVE
    how = "remove the stop_gradient, or declare the parameter with trainable=False"
    return record(
        kind, message, parameter=name, source=end.source or place,
        how=how if kind is Kind.UNREACHABLE else "",
    )  # fmt: skip


def _way_to_loss(case: Case, value: Value) -> list[Node] | None:
    """Return operations from a value to the loss, also through time and without derivative."""
    paths = case.paths
    entering = {p.name: p.value for p in paths.program.inputs_of("state")}
    leaving = {p.role.of[0]: p.value for p in paths.program.outputs_of("state")}
    seen: set[str] = set()
    stack: list[tuple[Value, list[Node]]] = [(value, [])]
    while stack:
        start, way = stack.pop(0)
        found = paths.chain(start, paths.loss, every=True)
        if found is not None:
            return way + found
        for state, end in leaving.items():
            if state in seen or state not in entering:
                continue
            found = paths.chain(start, end, every=True)
            if found is not None:
                seen.add(state)
                stack.append((entering[state], way + found))
    return None


# -- parameters without a trace -------------------------------------------------------------
def _varying(case: Case, name: str, value: Value) -> Iterator[CompilationRecord]:
    """Yield products whose weight depends on the parameter and on something that varies."""
    paths = case.paths
    for use in paths.marked:
        node, weight = use.node, use.weight
        if use in case.structure.weights or isinstance(weight, Literal):
            continue
        if not paths.leads(value, weight) or not paths.reached(node.output):
            continue
        state = paths.reached(node.output)[0]
        yield record(
            Kind.VARYING_WEIGHT,
            f"the weight that {name} makes for {quoted(node)} changes from step to step",
            parameter=name, state=state, source=node.source,
            why=f"it depends on {_moving(case, weight)}, so it has no trace, and {name} gets the "
                "gradient of each step only",
        )  # fmt: skip


def _moving(case: Case, weight: Value) -> str:
    """Return which states and inputs a value depends on."""
    paths = case.paths
    named = [
        f"{p.role.kind} {p.name}"
        for p in paths.program.inputs_of("state", "input", "target", "noise")
        if paths.chain(p.value, weight, every=True) is not None
    ]  # fmt: skip
    return " and ".join(named) or "what varies"


def _plain(case: Case, name: str, value: Value) -> Iterator[CompilationRecord]:
    """Yield the first use outside of the parameter's own products that acts on a state."""
    paths = case.paths
    avoid = {use.output for use in paths.marked if paths.leads(value, use.weight)}
    around = paths.spread(value, avoid) - avoid
    for state in (s for s in paths.reached(value) if paths.new(s) in around):
        way = paths.chain(value, paths.new(state), avoid=avoid)
        if not way:
            continue
        node = next((n for n in way if paths.varying.intersection(n.outputs)), way[-1])
        products = [u for u in paths.products_of(name) if paths.reached(u.output)]
        kind = Kind.MIXED_USE if products else Kind.PLAIN_USE
        message = f"{name} acts on {state} through {paths.title(node)}, which is no weight product"
        if node.primitive.is_etp:
            message = f"{name} acts on {state} as the input of {paths.title(node)}"
        if node.regions:
            kind = Kind.OPAQUE_REGION
            message = f"{name} acts on {state} inside {paths.title(node)}"
        yield record(
            kind, f"{message}{' too' if products else ''}", parameter=name, state=state,
            source=node.source or case.places.get(name),
        )  # fmt: skip
        return


# -- tails of products ----------------------------------------------------------------------
def _tail(case: Case, name: str, use: Use) -> Iterator[CompilationRecord]:
    """Yield what is lost between a product and the states that it reaches."""
    paths, node, y = case.paths, use.node, use.output
    reached = paths.reached(y)
    related = [r for r in case.structure.relations if use in r.uses]
    if reached and not related:
        yield _untraced(case, name, node, reached[0])
        return
    closed = {v for r in related for s in r.places if isinstance(v := paths.new(s), Value)}
    told: set[Kind] = set()
    around = paths.spread(y, closed)
    for state in reached:
        places = [r.places[state] for r in related if state in r.places]
        if any(p.wide for p in places) or (places and case.structure.influence.wise(y, state)):
            continue
        if not places and paths.new(state) not in around:
            continue  # by way of the states that have traces: that is a matter of their group
        cut = next(paths.cuts_after(y, state), None)
        if cut is None:
            yield _several(Kind.PARTLY_MIXING_TAIL, name, node, state)
            continue
        end = case.culprit(y, cut)
        kind = cause(end, Kind.PARTLY_THROUGH_WEIGHT, Kind.PARTLY_MIXING_TAIL)
        if kind in told:
            continue
        told.add(kind)
        yield record(
            kind, f"the product of {name} reaches {state} also through {paths.title(end)}",
            parameter=name, state=state, source=end.source or node.source,
        )  # fmt: skip


def _untraced(case: Case, name: str, node: Node, state: str) -> CompilationRecord:
    """Return why a product that reaches a state has no trace."""
    paths, y = case.paths, node.output
    cut = next(paths.cuts_after(y, state), None)
    if cut is None:
        return _several(Kind.MIXING_TAIL, name, node, state)
    end = case.culprit(y, cut)
    return record(
        cause(end, Kind.THROUGH_WEIGHT, Kind.MIXING_TAIL),
        f"the product of {name} reaches {state} only through {paths.title(end)}",
        parameter=name, state=state, source=end.source or node.source,
    )  # fmt: skip


def _several(kind: Kind, name: str, node: Node, state: str) -> CompilationRecord:
    return record(
        kind, f"elements of the product of {name} reach several positions of {state}",
        parameter=name, state=state, source=node.source,
    )  # fmt: skip
