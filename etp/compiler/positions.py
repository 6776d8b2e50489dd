"""Which position of a new hidden state each element of a step's values reaches.

Read backwards from a new state: every element of every value gets the one position of the state
that it influences inside the step, or ``NONE``. Where an element would reach several positions,
the operand is cut there, and the cut is remembered: it is what a position-wise trace loses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir.core import Literal, Node, Program, Value
from etp_ir.primitives.contract import Spec, parse_spec

NONE = -1
MANY = -2
Targets = np.ndarray[Any, np.dtype[np.int64]]
Known = Mapping[Value, np.ndarray[Any, Any]]
# Operands of nodes.
Operands = Mapping[Node, Collection[int]]
# A use of a value: node, operand, and the targets of its elements there.
_Edge = tuple[Node | None, int, Targets]


@frozen
class Cut:
    """An operand through which no position-wise path leads.

    Attributes
    ----------
    moves
        Whether elements only change places there, against other uses that leave them where they
        are; otherwise positions mix.
    """

    node: Node
    operand: int
    reason: str
    moves: bool = False


@frozen(eq=False)
class Reach:
    """How the values of a step reach one new state by position-wise paths.

    Attributes
    ----------
    targets
        For each value with such a path: the position reached by each element (row-major
        position in the state), or ``NONE``.
    cuts
        Operands cut because positions mix there.
    """

    targets: dict[Value, Targets] = field(repr=False)
    cuts: tuple[Cut, ...]

    @property
    def detach(self) -> set[tuple[Node, int]]:
        """The cuts as pairs of node and operand position."""
        return {(cut.node, cut.operand) for cut in self.cuts}


def known_values(program: Program, constants: Mapping[str, Any]) -> Known:
    """Return the values of a program that depend on nothing but constants.

    Parameters
    ----------
    constants
        Arrays of inputs of role ``const``, by name.
    """
    known: dict[Value, np.ndarray[Any, Any]] = {
        port.value: np.asarray(constants[port.name])
        for port in program.inputs_of("const") if port.name in constants
    }  # fmt: skip
    for node in program.nodes:
        if len(node.outputs) != 1 or node.primitive.lower is not None or node.regions:
            continue
        if all(isinstance(x, Literal) or x in known for x in node.inputs):
            arrays = [x.value if isinstance(x, Literal) else known[x] for x in node.inputs]
            result = node.primitive.reference(*arrays, **node.attrs)
            known[node.output] = np.asarray(result, node.output.type.dtype.numpy())
    return known


def reach(
    program: Program, state: Value | Literal, trained: Operands | None = None,
    known: Known | None = None,
) -> Reach:  # fmt: skip
    """Return how the values of a program reach the value ``state``.

    Parameters
    ----------
    trained
        By node, the operands that relations follow, so that nothing else does.
    known
        Values that are constants, by which an index array is followed.
    """
    if isinstance(state, Literal):
        return Reach({}, ())
    own = np.arange(state.type.size)
    met: dict[Value, list[_Edge]] = {state: [(None, 0, own.reshape(state.type.shape))]}
    targets: dict[Value, Targets] = {}
    cuts: list[Cut] = []
    for node in reversed(program.nodes):
        if node.primitive.jvp is None:
            continue
        for value in node.outputs:
            _settle(value, met, own, targets, cuts)
        outgoing = [targets.get(v) for v in node.outputs]
        if all(t is None for t in outgoing):
            continue
        for i, (x, arriving) in enumerate(
            zip(node.inputs, back(node, outgoing, trained, known), strict=True)
        ):
            if arriving is None or not isinstance(x, Value) or not x.type.dtype.is_float:
                continue
            if (arriving == MANY).any():
                cuts.append(Cut(node, i, _reason(node, i)))
            elif (arriving != NONE).any():
                met.setdefault(x, []).append((node, i, arriving))
    for port in program.inputs:
        _settle(port.value, met, own, targets, cuts)
    place = {node: k for k, node in enumerate(program.nodes)}
    return Reach(targets, tuple(sorted(cuts, key=lambda c: (place[c.node], c.operand))))


def _settle(
    value: Value, met: Mapping[Value, list[_Edge]], own: Targets, targets: dict[Value, Targets],
    cuts: list[Cut],
) -> None:  # fmt: skip
    """Join what all uses of a value reach.

    Where they contradict each other, those are kept that leave each element at its own position,
    and the others are cut.
    """
    if value in targets or value not in met:
        return
    edges = met[value]
    joined = _join(t for _, _, t in edges)
    if (joined == MANY).any():
        stay = [e for e in edges if stays(e[2], own.size)]
        cuts += [
            Cut(node, i, f"`{node.primitive.name}` moves positions", moves=True)
            for node, i, t in edges if node is not None and not stays(t, own.size)
        ]  # fmt: skip
        if not stay:
            return
        joined = _join(t for _, _, t in stay)
    targets[value] = joined


def stays(targets: Targets, size: int) -> bool:
    """Whether each element reaches its own position of so many, or nothing."""
    flat = targets.ravel()
    return flat.size == size and bool(((flat == NONE) | (flat == np.arange(size))).all())


def _join(found: Iterable[Targets]) -> Targets:
    joined: Targets | None = None
    for targets in found:
        joined = merge(joined, targets)
    assert joined is not None
    return joined


def _reason(node: Node, operand: int) -> str:
    if node.primitive.is_etp:
        return f"`{node.primitive.name}` mixes positions through its weight"
    if node.primitive.across is not None:
        return f"`{node.primitive.name}` joins the examples of a batch"
    return f"`{node.primitive.name}` mixes positions"


def merge(held: Targets | None, arriving: Targets) -> Targets:
    """Return the union of two sets of targets; different targets of one element are many."""
    if held is None:
        return arriving
    out = np.where(held == NONE, arriving, held)
    out[(held != NONE) & (arriving != NONE) & (held != arriving)] = MANY
    return out


def back(
    node: Node, outgoing: list[Targets | None], trained: Operands | None = None,
    known: Known | None = None,
) -> list[Targets | None]:  # fmt: skip
    """Return the targets of each operand given those of the outputs."""
    from .through import through

    known = known or {}
    if trained and node in trained:
        # A weight product is what a trace is about: it is followed by its relation, never by
        # the transition, even where it happens to have a single input.
        return [
            None if i in trained[node] else _everywhere(x.type.shape)
            for i, x in enumerate(node.inputs)
        ]
    inside = through(node, outgoing)
    if inside is not None:
        return inside
    kind = node.primitive.positions
    (out,) = outgoing if len(outgoing) == 1 else (None,)
    if out is None:
        return [_everywhere(x.type.shape) for x in node.inputs]
    if kind == "elementwise":
        return [None if isinstance(x, Literal) else out for x in node.inputs]
    if kind == "structural" or (kind == "indexed" and node.inputs[1] in known):
        return _structural(node, out, known)
    if kind == "scattered" and node.inputs[1] in known:
        index = known[node.inputs[1]]  # type: ignore[index]
        return [np.take(out, index, axis=node.attrs["axis"]), None]
    if kind == "reduction":
        axes = node.attrs["axes"]
        shape = node.inputs[0].type.shape
        spread = np.expand_dims(out, tuple(sorted(axes)))
        return [np.broadcast_to(spread, shape).copy()]
    if kind == "contraction":
        return _contraction(node, parse_spec(node.attrs["spec"]), out)
    return [_everywhere(x.type.shape) for x in node.inputs]


def _everywhere(shape: tuple[int, ...]) -> Targets:
    return np.full(shape, MANY)


def _structural(node: Node, out: Targets, known: Known) -> list[Targets | None]:
    """Find where elements went by running the reference on their indices."""
    results: list[Targets | None] = []
    for i, x in enumerate(node.inputs):
        if isinstance(x, Literal) or not x.type.dtype.is_float:
            results.append(None)
            continue
        origin = origins(node, i, known)
        flat = out.ravel()
        used = (origin >= 0) & (flat != NONE)
        low = np.full(x.type.size, np.iinfo(np.int64).max)
        high = np.full(x.type.size, NONE)
        np.minimum.at(low, origin[used], flat[used])
        np.maximum.at(high, origin[used], flat[used])
        merged = np.where((high != NONE) & (low != high), MANY, high)
        results.append(merged.reshape(x.type.shape))
    return results


def origins(node: Node, i: int, known: Known) -> np.ndarray[Any, Any]:
    """Return for each element of a rearrangement the element of operand ``i`` it comes from.

    It is -1 where the element comes from elsewhere.
    """
    numbered = [
        np.arange(1, y.type.size + 1).reshape(y.type.shape) if j == i
        else known[y] if isinstance(y, Value) and y in known and not y.type.dtype.is_float
        else np.zeros(y.type.shape, dtype=np.int64)
        for j, y in enumerate(node.inputs)
    ]  # fmt: skip
    return np.asarray(node.primitive.reference(*numbered, **node.attrs)).ravel() - 1


def _contraction(node: Node, spec: Spec, out: Targets) -> list[Targets | None]:
    results: list[Targets | None] = []
    for term, x in zip((spec.x, spec.y), node.inputs, strict=True):
        shared = "".join(c for c in spec.out if c in term)
        others = tuple(i for i, c in enumerate(spec.out) if c not in term)
        low = np.where(out == NONE, np.iinfo(np.int64).max, out)
        low = low.min(axis=others) if others else low
        high = out.max(axis=others) if others else out
        merged = np.where((high != NONE) & (low != high), MANY, high)
        # A letter summed away reaches the same output from every place.
        order = "".join(c for c in term if c in shared)
        merged = np.transpose(merged, [shared.index(c) for c in order])
        missing = tuple(i for i, c in enumerate(term) if c not in shared)
        results.append(np.broadcast_to(np.expand_dims(merged, missing), x.type.shape).copy())
    return results
