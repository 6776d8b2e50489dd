"""States that hold a rearrangement of a value which the rest of the step reads as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Operand, Output, Program, Value, freeze
from etp_ir.primitive import Hole
from etp_ir.tracer import Tracer, copy_nodes


def through_states(program: Program) -> Program:
    """Return the step in which what states hold rearranged is read from the states.

    Learning signals arrive at the new values of states. Of a value that is reshaped, joined to
    others or taken apart to be held, and read as it was, the state would be a branch that leads
    nowhere. Of a value that is held in part, the part is read from the state.
    """
    found = _Held(program)
    if not found.again:
        return program
    program = _once(program, found.ways)
    found = _Held(program)
    b = Builder(program.name)
    b.inputs = list(program.inputs)
    made: dict[Operand, Operand] = {}
    again: dict[Operand, Operand] = {}
    done: set[Node] = set()

    def put(last: Node) -> None:
        """Append a node behind those that it needs."""
        stack = [last]
        while stack:
            node = stack[-1]
            made_by = (program.producers.get(x) for x in node.inputs if isinstance(x, Value))
            behind = [n for n in made_by if n is not None and n not in done]
            if behind:
                stack += reversed(behind)
                continue
            stack.pop()
            if node not in done:
                done.add(node)
                # What leads into a state is no reading of it.
                env = {x: made.get(x, x) for x in node.inputs}
                env |= {x: again[x] for x in node.inputs if x in again and node not in found.ways}
                copy_nodes([node], b, env)
                made.update((v, env[v]) for v in node.outputs)

    # Ways into states come as early as they may, so that all that can read the states does.
    waiting = {value: found.needs(value) for value in found.again}
    for way in sorted(found.ways, key=lambda n: (found.ready[n], found.order[n])):
        put(way)
        for value in [v for v, needed in waiting.items() if needed <= done]:
            del waiting[value]
            again[value] = found.back(value, b, made).value
    for node in program.nodes:
        put(node)
    read = {**made, **again}
    return b.finish([
        ((made if o.role.kind == "state" else read).get(o.value, o.value), o.role)
        for o in program.outputs
    ])  # fmt: skip


def _once(program: Program, ways: Collection[Node]) -> Program:
    """Return the step with equal rearrangements on the way to different states made once."""
    seen: dict[Any, Value] = {}
    same: dict[Operand, Operand] = {}
    nodes, made = [], {way.output for way in ways}
    new = {o.value for o in program.outputs_of("state")}
    for node in program.nodes:
        node = evolve(node, inputs=tuple(same.get(x, x) for x in node.inputs))
        if not made.isdisjoint(node.outputs) and node.output not in new:
            key = (node.primitive, node.inputs, freeze(node.attrs))
            first = seen.setdefault(key, node.output)
            if first is not node.output:
                same[node.output] = first
                continue
        nodes.append(node)
    outputs = tuple(Output(same.get(o.value, o.value), o.role) for o in program.outputs)
    return Program(program.name, program.inputs, tuple(nodes), outputs)


class _Held:
    """Which values states hold rearranged, and the ways on which they get there."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.order = {node: k for k, node in enumerate(program.nodes)}
        self.new = _carried(program)
        self.ways: set[Node] = set()
        self.ready: dict[Node, int] = {}
        self.uses: dict[Value, list[Node]] = {}
        held: set[Operand] = set(self.new)
        for node in reversed(program.nodes):
            if not _rearranges(node) or held.isdisjoint(node.outputs):
                continue
            self.ways.add(node)
            held.update(node.inputs)
            for x in dict.fromkeys(node.inputs):
                if isinstance(x, Value):
                    self.uses.setdefault(x, []).append(node)
        computed: set[Operand] = set()
        for node in program.nodes:
            if node not in self.ways or not computed.isdisjoint(node.inputs):
                computed.update(node.outputs)
            if node in self.ways:
                made = (program.producers.get(x) for x in node.inputs)  # type: ignore[arg-type]
                self.ready[node] = max(
                    (self.ready.get(n, self.order[n]) for n in made if n is not None), default=-1
                )
        elsewhere = {x for n in program.nodes if n not in self.ways for x in n.inputs}
        elsewhere |= {o.value for o in program.outputs if o.role.kind != "state"}
        self.again = [
            x for x in self.uses
            if x in computed and x in elsewhere and x not in self.new and self.from_(x)
        ]  # fmt: skip

    def from_(self, value: Value) -> list[Node]:
        """Return the ways by which a value is read back: one that keeps all of it, or slices."""
        uses = [n for n in self.uses.get(value, ()) if self._returns(n.output)]
        whole = [n for n in uses if _joins(n)]
        if whole:
            return [min(whole, key=lambda n: (self.ready[n], self.order[n]))]
        axes = [_axis(n) for n in uses]
        axis = next((a for a in axes if a is not None), None)
        return [n for n, a in zip(uses, axes, strict=True) if axis is not None and a == axis]

    def _returns(self, value: Value) -> bool:
        return value in self.new or bool(self.from_(value))

    def needs(self, value: Value) -> set[Node]:
        """Return the nodes behind which a value can be read back."""
        if value in self.new:
            return set()
        return {m for n in self.from_(value) for m in ({n} | self.needs(n.output))}

    def back(self, value: Value, b: Builder, made: Mapping[Operand, Operand]) -> Tracer:
        """Return a value put together from what states hold of it."""
        own = Tracer(b, made[value])  # type: ignore[arg-type]
        if value in self.new:
            return own
        ways = self.from_(value)
        held = [self.back(n.output, b, made) for n in ways]
        if not _joins(ways[0]):
            return _put_together(own, ways, held)
        # What drops nothing and repeats nothing is undone by its transpose.
        node, at = ways[0], ways[0].inputs.index(value)
        assert node.primitive.transpose is not None
        of = [Hole(x.type) if i == at else Tracer(b, x) for i, x in enumerate(node.inputs)]  # type: ignore[arg-type]
        undone: Tracer = node.primitive.transpose(held, of, **node.attrs)[at]
        return undone


def _carried(program: Program) -> set[Operand]:
    """Return the new values of states that a step reads: no signal arrives at others."""
    read: set[Operand] = {x for node in program.nodes for x in node.inputs}
    read |= {o.value for o in program.outputs}
    old = {p.name for p in program.inputs_of("state") if p.value in read}
    return {o.value for o in program.outputs_of("state") if o.role.of[0] in old}


def _rearranges(node: Node) -> bool:
    return (
        node.primitive.positions == "structural" and node.outputs[0].type.dtype.is_float
        and (_joins(node) or node.primitive.name == "slice")
    )  # fmt: skip


def _joins(node: Node) -> bool:
    """Whether a rearrangement has all elements of its operands once."""
    return sum(x.type.size for x in node.inputs) == node.output.type.size


def _axis(node: Node) -> int | None:
    """Return the axis along which a slice takes a part, if there is but one."""
    shapes = zip(node.inputs[0].type.shape, node.output.type.shape, strict=True)
    cut = [axis for axis, (whole, part) in enumerate(shapes) if whole != part]
    return cut[0] if len(cut) == 1 else None


def _put_together(x: Tracer, ways: Sequence[Node], held: Sequence[Tracer]) -> Tracer:
    """Return ``x`` with slices along one axis read from where they are held."""
    axis = _axis(ways[0])
    assert axis is not None
    arrays, extent = (x, *held), x.shape[axis]
    # For each row along the axis, the array that it is read from and its row there.
    owner, row = np.zeros(extent, int), np.arange(extent)
    for k, node in enumerate(ways, 1):
        start, stop, step = (node.attrs[key][axis] for key in ("start", "stop", "step"))
        rows = np.arange(start, stop, step)
        owner[rows], row[rows] = k, np.arange(len(rows))
    ends = np.flatnonzero((np.diff(owner) != 0) | (np.diff(row) != 1)) + 1
    pieces = []
    for a, z in zip([0, *ends], [*ends, extent], strict=True):
        array = arrays[owner[a]]
        low, high = [0] * array.ndim, list(array.shape)
        low[axis], high[axis] = int(row[a]), int(row[z - 1]) + 1
        whole = tuple(high) == array.shape and not low[axis]
        pieces.append(array if whole else ops.slice_(array, low, high, [1] * array.ndim))
    return pieces[0] if len(pieces) == 1 else ops.concat(pieces, axis)
