"""When values die, and which memory they can share.

A plan gives every intermediate value a buffer. A buffer is free again after the last use of the
value in it; an element-wise node may write over an operand that dies there, because it reads an
element just before it writes that element and no other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import frozen

from ..core import Node, Program, Value
from ..types import TensorType


def last_uses(program: Program) -> dict[Node, tuple[Value, ...]]:
    """Return, for each node, the values nobody reads after it.

    Values the node defines and nobody reads are among them; inputs and outputs of the program
    never are.
    """
    kept = {port.value for port in program.inputs} | _results(program)
    seen: set[Value] = set()
    found: dict[Node, tuple[Value, ...]] = {}
    for node in reversed(program.nodes):
        touched = dict.fromkeys((*node.inputs, *node.outputs))
        dying = [v for v in touched if isinstance(v, Value) and v not in seen and v not in kept]
        seen.update(dying)
        found[node] = tuple(dying)
    return {node: found[node] for node in program.nodes}


def _results(program: Program) -> set[Value]:
    return {out.value for out in program.outputs if isinstance(out.value, Value)}


@frozen(eq=False)
class Plan:
    """Memory of the intermediate values of a program.

    Attributes
    ----------
    buffers
        Bytes of each buffer.
    place
        The buffer of each value. Values that are missing have memory of their own: inputs that
        are not donated, and results of the program, which outlive the call.
    donated
        The buffer that is the memory of each donated input.
    """

    buffers: tuple[int, ...]
    place: Mapping[Value, int]
    donated: Mapping[Value, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers but those of donated inputs."""
        lent = set(self.donated.values())
        return sum(n for i, n in enumerate(self.buffers) if i not in lent)


def plan(program: Program, *, donate: Collection[str] = (), views: Collection[str] = ()) -> Plan:
    """Return a plan of memory for a program that runs node by node.

    Parameters
    ----------
    donate
        Names of inputs whose memory may be overwritten once they are dead.
    views
        Names of primitives whose result shares the memory of their first operand.
    """
    owner = _owners(program, views)
    shared = _shared(program, owner)
    dying = _ends(program, owner, shared, donate)
    pool = _Pool()
    donated = {
        port.value: pool.new(port.type.nbytes) for port in program.inputs
        if port.name in donate and port.value not in shared
    }  # fmt: skip
    place: dict[Value, int] = dict(donated)
    for node in program.nodes:
        ends = [v for v in dying[node] if v in place]
        over = next((v for v in ends if may_overwrite(node, v, owner)), None)
        for value in node.outputs:
            root = owner[value]
            if root in shared:
                over = None
            elif root is not value:
                if root in place:
                    place[value] = place[root]
            else:
                place[value] = pool.take(value.type) if over is None else place[over]
        for value in dying[node]:
            if value in place and value is not over:
                pool.give(place[value])
    return Plan(tuple(pool.sizes), place, donated)


def may_overwrite(node: Node, value: Value, owner: Mapping[Value, Value] | None = None) -> bool:
    """Whether the result of the node may take the memory of an operand that dies there.

    Only where every operand in that memory is read at exactly the element being written: an
    element-wise node and a value of the type of its result, not a view of it.
    """
    owner = owner or {}
    if node.primitive.positions != "elementwise" or len(node.outputs) != 1:
        return False
    there = [x for x in node.inputs if isinstance(x, Value) and owner.get(x, x) is value]
    return all(x is value for x in there) and value.type == node.output.type and bool(there)


def _owners(program: Program, views: Collection[str]) -> dict[Value, Value]:
    """Return the value whose memory each value lies in."""
    owner = {port.value: port.value for port in program.inputs}
    for node in program.nodes:
        source = node.inputs[0] if node.inputs else None
        for value in node.outputs:
            lies = node.primitive.name in views and isinstance(source, Value)
            owner[value] = owner[source] if lies else value  # type: ignore[index]
    return owner


def _shared(program: Program, owner: Mapping[Value, Value]) -> set[Value]:
    """Return the owners whose memory a result of the program lies in."""
    return {owner[v] for v in _results(program)}


def _ends(
    program: Program, owner: Mapping[Value, Value], shared: Collection[Value],
    donate: Collection[str],
) -> dict[Node, list[Value]]:  # fmt: skip
    """Return, for each node, the owners whose memory nobody reads after it."""
    kept = set(shared) | {p.value for p in program.inputs if p.name not in donate}
    seen: set[Value] = set()
    found: dict[Node, list[Value]] = {}
    for node in reversed(program.nodes):
        touched = [owner[x] for x in (*node.inputs, *node.outputs) if isinstance(x, Value)]
        found[node] = [v for v in dict.fromkeys(touched) if v not in seen and v not in kept]
        seen.update(found[node])
    return found


class _Pool:
    """Buffers by size: the smallest free one that fits is taken, else a new one is made."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._free: list[int] = []

    def new(self, nbytes: int) -> int:
        self.sizes.append(nbytes)
        return len(self.sizes) - 1

    def take(self, type: TensorType) -> int:
        fitting = [i for i in self._free if self.sizes[i] >= type.nbytes]
        if not fitting:
            return self.new(type.nbytes)
        best = min(fitting, key=lambda i: (self.sizes[i], i))
        self._free.remove(best)
        return best

    def give(self, buffer: int) -> None:
        self._free.append(buffer)
