"""Loop tiling: long chains of element-wise nodes run block by block, within the cache.

An array library passes over whole arrays, one operation at a time; where they are larger than
the cache, each operation waits for memory. A group of element-wise nodes of one shape becomes a
scan over blocks of its leading axis, whose intermediate values are as small as a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.loop import Loop
from etp_ir.primitives.contract import parse_spec
from etp_ir.tracer import Tracer, bind

from .order import on_demand
from .regions import regions
from .views import uniform_of

# A group is tiled when its arrays together take more than LARGE bytes, into blocks as near to
# BLOCK bytes as divisors of the leading axis allow, and not far from it.
LARGE = 4 << 20
BLOCK = 1 << 16
BLOCKS = range(1 << 12, 1 << 18)


def tile(program: Program) -> Program:
    """Return the program with large groups of element-wise nodes as scans over blocks."""
    nodes = [_tiled_body(node) for node in program.nodes]
    groups = [g for g in regions(nodes) if _rows(nodes, g)]
    program = evolve(program, nodes=tuple(nodes))
    return _grouped(program, groups) if groups else program


def _tiled_body(node: Node) -> Node:
    if node.primitive.name != "scan":
        return node
    return evolve(node, attrs={**node.attrs, "body": tile(node.attrs["body"])})


def _rows(nodes: Sequence[Node], group: Sequence[int]) -> int:
    """Return how many leading rows make a block, or 0 where tiling does not pay."""
    type = nodes[group[0]].output.type
    touched = {v for i in group for v in (*nodes[i].inputs, *nodes[i].outputs)}
    if type.rank < 2 or sum(v.type.nbytes for v in touched) < LARGE:
        return 0
    extent, row = type.shape[0], type.nbytes // max(type.shape[0], 1)
    sizes = [k for k in range(1, extent) if extent % k == 0 and k * row in BLOCKS]
    return min(sizes, key=lambda k: abs(k * row - BLOCK), default=0)


def _grouped(program: Program, groups: Sequence[Sequence[int]]) -> Program:
    """Return the program with each group replaced by one scan."""
    nodes = program.nodes
    place = {value: i for i, node in enumerate(nodes) for value in node.outputs}
    leader = {i: group[0] for group in groups for i in group}
    members = {group[0]: group for group in groups}
    before: list[set[int]] = [set() for _ in nodes]
    for i, node in enumerate(nodes):
        mine = leader.get(i, i)
        needed = {leader.get(place[x], place[x]) for x in node.inputs if x in place}
        before[mine] |= needed - {mine}
    builder = Builder(program.name)
    builder.inputs = list(program.inputs)
    uniform = {n.output: number for n in nodes if (number := uniform_of(n)) is not None}
    env: dict[Operand, Operand] = {}
    for i in on_demand(before, ()):
        if i in members:
            read = _read_outside(program, set(members[i]))
            rows = _rows(nodes, members[i])
            _Tiling(builder, env, uniform, nodes[i].output.type.shape[0], rows).run(
                [nodes[j] for j in members[i]], read
            )
        elif i not in leader:
            inputs = tuple(env.get(x, x) for x in nodes[i].inputs)
            builder.nodes.append(evolve(nodes[i], inputs=inputs))
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])


def _read_outside(program: Program, group: set[int]) -> set[Operand]:
    """Return what nodes outside of a group read, and the outputs."""
    read = {x for i, node in enumerate(program.nodes) if i not in group for x in node.inputs}
    return read | {out.value for out in program.outputs}


class _Tiling:
    """A scan over blocks of the leading axis, under construction."""

    def __init__(
        self, outer: Builder, env: dict[Operand, Operand], uniform: dict[Value, Literal],
        extent: int, rows: int,
    ) -> None:  # fmt: skip
        self._outer = outer
        self._env = env
        self._uniform = uniform
        self._rows = rows
        self._loop = Loop(outer, "tile", extent // rows, reverse=False)
        self._inner: dict[Operand, Tracer] = {}
        self._given: dict[tuple[Operand, int | None], Tracer] = {}

    def run(self, nodes: Sequence[Node], read: set[Operand]) -> None:
        """Append the scan of some nodes, and each result that is read in its own shape."""
        for node in nodes:
            with self._loop.builder.at(node.source):
                self._add(node)
        results = [v for node in nodes for v in node.outputs if v in read]
        stacks = [self._loop.stack(self._inner[v]) for v in results]
        found = self._loop.run()
        for value, key in zip(results, stacks, strict=True):
            self._env[value] = ops.reshape(found[key], value.type.shape).value

    def _add(self, node: Node) -> None:
        """Append a node to the body, for one block."""
        attrs = dict(node.attrs)
        axes: list[int | None] = [0] * len(node.inputs)
        if node.primitive.name == "broadcast":
            axes = [0 if attrs["axes"][:1] == (0,) else None]
            attrs["shape"] = (self._rows, *attrs["shape"][1:])
        elif node.primitive.name == "contract":
            spec = parse_spec(attrs["spec"])
            first, terms = spec.out[0], (spec.x, spec.y)
            axes = [term.index(first) if first in term else None for term in terms]
            moved = [first + term.replace(first, "") if first in term else term for term in terms]
            attrs["spec"] = f"{moved[0]},{moved[1]}->{spec.out}"
        operands = [self._operand(x, axis) for x, axis in zip(node.inputs, axes, strict=True)]
        self._inner[node.output] = bind(node.primitive, *operands, hint=node.output.hint, **attrs)

    def _operand(self, x: Operand, axis: int | None) -> Any:
        """Return one block along an axis of an operand, the axis in front, or all of it."""
        if isinstance(x, Literal) or x in self._inner:
            return self._inner.get(x, x)
        if (x, axis) not in self._given:
            self._given[x, axis] = self._input(x, axis)
        return self._given[x, axis]

    def _input(self, x: Value, axis: int | None) -> Tracer:
        if x in self._uniform:
            shape = x.type.shape if axis is None else self._block(x.type.shape, axis)
            number = self._uniform[x]
            return ops.full(self._loop.builder, shape, number.value, number.dtype)
        source = Tracer(self._outer, self._env.get(x, x))  # type: ignore[arg-type]
        if axis is None:
            return self._loop.add("const", source, x.type, x.hint or "x")
        shape = self._block(x.type.shape, axis)
        order = (axis, *(i for i in range(x.type.rank) if i != axis))
        blocks = ops.reshape(ops.permute(source, order), (self._loop.length, *shape))
        return self._loop.add("slot", blocks, x.type.with_shape(shape), x.hint or "x")

    def _block(self, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        return (self._rows, *shape[:axis], *shape[axis + 1 :])
