"""Which positions of new states each element of a value can reach at all: sets of positions.

Where `positions` follows one position for each element and cuts the rest, this follows all of them,
weight products included, and knows the zeros of constant masks. It is what ``sparse_n`` counts
hops in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.meaning import meaning_of
from etp_ir.primitives.contract import parse_spec

from .influence import Influence
from .letters import met_by_weight, through_letters
from .positions import Known, origins
from .uses import Use, uses_of

# Row: position of the new state; column: element of the value.
Sets = np.ndarray[Any, np.dtype[np.bool_]]

# Elements of sets worked on at once, and in all, where the question is whether positions are kept.
BLOCK, LONGEST = 1 << 19, 1 << 29


class Pattern:
    """The sets for one traced step, computed when they are first asked for."""

    def __init__(self, program: Program, states: Mapping[str, Any], known: Known) -> None:
        self.program, self.states, self.known = program, states, known
        self.support = _supports(program, known)
        self._rows: dict[str, dict[Value, Sets]] = {}

    def within(self, value: Value, state: str) -> Sets:
        """Return which positions of a new state each element of a value reaches in the step."""
        size = self.states[state][0].type.size
        found = self._row(state).get(value)
        return np.zeros((size, value.type.size), bool) if found is None else found

    def onward(self, new: str, old: str) -> Sets:
        """Return which positions of a new state each position of an old one reaches."""
        return self.within(self.states[old][0], new)

    def met(self, use: Use) -> Sets:
        """Return which elements of the result of a product its weight acts on."""
        weight = self.support.get(use.weight) if isinstance(use.weight, Value) else None
        return met_by_weight(use, weight, self.known)

    def keeps_positions(self, new: str, old: str, among: Sets | None = None) -> bool:
        """Whether no position of an old state is known to reach another position of a new one.

        Some positions of the new state at a time: as a rule the first few tell. Where it would
        take too long to make sure, the answer is no.

        Parameters
        ----------
        among
            The positions of the old state that are asked about; all by default.
        """
        before, after = self.states[old][0], self.states[new][1]
        size = after.type.size
        widest = max(v.type.size for n in self.program.nodes for v in (*n.inputs, *n.outputs))
        step = max(1, BLOCK // max(1, widest))
        for start in range(0, size, step):
            if start * widest > LONGEST:
                return False
            found = self._propagate(after, range(start, min(start + step, size))).get(before)
            if found is not None:
                rows, columns = np.nonzero(found)
                moved = rows + start != columns
                if (moved if among is None else moved & among[columns]).any():
                    return False
        return True

    def _row(self, state: str) -> dict[Value, Sets]:
        if state not in self._rows:
            after = self.states[state][1]
            self._rows[state] = self._propagate(after, range(after.type.size))
        return self._rows[state]

    def _propagate(self, after: Operand, rows: range) -> dict[Value, Sets]:
        """Return the sets of some positions of a new state."""
        found: dict[Value, Sets] = {}
        if isinstance(after, Literal):
            return found
        found[after] = np.eye(len(rows), after.type.size, rows.start, dtype=bool)
        _walk(self.program.nodes, found, self.support, self.known)
        return found


def _walk(
    nodes: Sequence[Node], found: dict[Value, Sets], support: dict[Value, np.ndarray], known: Known
) -> None:
    """Extend the sets of values to those they are made of.

    Only values that vary from step to step are followed: sets of weights are never asked for.
    """
    for node in reversed(nodes):
        if node.primitive.jvp is None or not any(v in found for v in node.outputs):
            continue
        for i, x in enumerate(node.inputs):
            if isinstance(x, Value) and x.type.dtype.is_float and x not in support:
                sets = _back(node, i, x, found, support, known)
                found[x] = sets if x not in found else found[x] | sets


def _back(
    node: Node, i: int, x: Value, found: dict[Value, Sets], support: dict[Value, np.ndarray],
    known: Known,
) -> Sets:  # fmt: skip
    """Return what operand ``i`` reaches through a node."""
    use = _by_letters(node, i)
    if use is not None:
        weight = support.get(use.weight) if isinstance(use.weight, Value) else None
        return through_letters(use, x.type.shape, found[node.output], weight, known)
    inside = meaning_of(node) if node.primitive.positions == "mixing" else None
    if inside is not None:
        return _inside(inside, node, i, found, support, known)
    n = next(found[v].shape[0] for v in node.outputs if v in found)
    kind = node.primitive.positions
    outs = [found[v] for v in node.outputs if v in found]
    if len(node.outputs) != 1:
        return _all(outs, n, x)
    (out,), shape = outs, node.output.type.shape
    grid = out.reshape(n, *shape)
    if kind == "elementwise":
        return out
    if kind == "structural" or (kind == "indexed" and node.inputs[1] in known):
        origin = origins(node, i, known)
        sets = np.zeros((x.type.size, n), bool)
        used = origin >= 0
        np.logical_or.at(sets, origin[used], out.T[used])
        return sets.T
    if kind == "scattered" and node.inputs[1] in known:
        index = known[node.inputs[1]]  # type: ignore[index]
        return np.take(grid, index, axis=node.attrs["axis"] + 1).reshape(n, -1)
    if kind == "reduction":
        spread = np.expand_dims(grid, tuple(a + 1 for a in sorted(node.attrs["axes"])))
        return np.broadcast_to(spread, (n, *x.type.shape)).reshape(n, -1).copy()
    if kind == "contraction":
        spec = parse_spec(node.attrs["spec"])
        other = node.inputs[1 - i]
        mask = support.get(other) if isinstance(other, Value) else None
        weight = np.ones(other.type.shape) if mask is None else mask.astype(float)
        mine, theirs = (spec.x, spec.y) if i == 0 else (spec.y, spec.x)
        free = next(c for c in "ZYXWV" if c not in mine + theirs + spec.out)
        equation = f"{free}{spec.out},{theirs}->"
        kept = "".join(c for c in mine if c in spec.out + theirs)
        total = np.einsum(f"{equation}{free}{kept}", grid.astype(float), weight) > 0
        missing = tuple(k + 1 for k, c in enumerate(mine) if c not in kept)
        spread = np.expand_dims(total, missing)
        return np.broadcast_to(spread, (n, *x.type.shape)).reshape(n, -1).copy()
    return _all(outs, n, x)


def _by_letters(node: Node, i: int) -> Use | None:
    """Return the use whose letters say what the input of a weight product reaches."""
    uses = uses_of(node)
    if len(uses) != 1 or uses[0].operand == i or uses[0].trained.input is not None:
        return None
    return uses[0]


def _inside(
    program: Program, node: Node, i: int, found: dict[Value, Sets],
    support: dict[Value, np.ndarray], known: Known,
) -> Sets:  # fmt: skip
    """Return what operand ``i`` reaches through a composite node."""
    ports = {p.value: x for p, x in zip(program.inputs, node.inputs, strict=True)}
    steady = {v: support[x] for v, x in ports.items() if isinstance(x, Value) and x in support}
    fixed = {v: known[x] for v, x in ports.items() if isinstance(x, Value) and x in known}
    _extend(steady, program.nodes)
    result = program.outputs[0].value
    assert isinstance(result, Value)
    inner = {result: found[node.output]}
    _walk(program.nodes, inner, steady, fixed)
    port = program.inputs[i].value
    shape = (inner[result].shape[0], port.type.size)
    return inner[port] if port in inner else np.zeros(shape, bool)


def neighbours(
    start: Mapping[str, Sets], influence: Influence, pattern: Pattern, hops: int
) -> tuple[dict[str, Sets], bool]:
    """Return the sets reached in ``hops - 1`` further steps, and whether more would add nothing."""
    sets = dict(start)
    for k in range(hops):
        grown = dict(sets)
        for old, reached in sets.items():
            for new in influence.live:
                if influence.onward(new, old):
                    step = pattern.onward(new, old).astype(np.uint8) @ reached.astype(np.uint8) > 0
                    grown[new] = grown[new] | step if new in grown else step
        if grown.keys() == sets.keys() and all(np.array_equal(grown[s], sets[s]) for s in sets):
            return sets, True
        if k == hops - 1:
            return sets, False
        sets = grown
    return sets, False


def _all(outs: list[Sets], n: int, x: Value) -> Sets:
    touched = np.zeros(n, bool)
    for out in outs:
        touched |= out.any(axis=1) if out.shape[0] == n else True
    return np.repeat(touched[:, None], x.type.size, axis=1)


def _supports(program: Program, known: Known) -> dict[Value, np.ndarray]:
    """Return where values that are the same at every step can differ from zero."""
    support: dict[Value, np.ndarray] = {v: a != 0 for v, a in known.items()}
    for port in program.inputs_of("param", "const"):
        support.setdefault(port.value, np.ones(port.type.shape, bool))
    _extend(support, program.nodes)
    return support


def _extend(support: dict[Value, np.ndarray], nodes: Sequence[Node]) -> None:
    """Add where the results of nodes that take nothing else can differ from zero."""
    for node in nodes:
        if node.outputs[0] in support or node.primitive.is_etp:
            continue
        if not all(isinstance(x, Literal) or x in support for x in node.inputs):
            continue
        masks = [np.array(x.value != 0) if isinstance(x, Literal) else support[x]
                 for x in node.inputs]  # fmt: skip
        for value in node.outputs:
            support[value] = _support(node, value, masks)


def _support(node: Node, value: Value, masks: list[np.ndarray]) -> np.ndarray:
    name, shape = node.primitive.name, value.type.shape
    if name == "mul":
        return np.broadcast_to(masks[0] & masks[1], shape)
    if name in ("add", "sub"):
        return np.broadcast_to(masks[0] | masks[1], shape)
    if name in ("abs", "neg", "stop_gradient", "tanh", "sign"):
        return masks[0]
    if name == "div":
        return np.broadcast_to(masks[0], shape)
    if node.primitive.positions == "structural":
        moved = node.primitive.reference(*(m.astype(int) for m in masks), **node.attrs)
        return np.asarray(moved) != 0
    return np.ones(shape, bool)
