"""Products of three arrays in the order that costs least."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

from attrs import frozen

from .. import ops
from ..builder import Builder
from ..core import Literal, Node, Operand, Program, Value
from ..primitives.contract import Spec, extents, free_letters, parse_spec
from ..tracer import Tracer, copy_nodes, wrap

# An order is changed only where it saves at least this part of the multiplications.
SAVED = 0.25


def cheapest_order(program: Program) -> Program:
    """Return the program with ``(a b) c`` written as ``a (b c)`` where that is less work.

    A product that is only ever multiplied again, as a matrix of low rank is, need not be formed;
    nor need the gradient of such a matrix. A number in between is multiplied last.
    """
    regions = {n: n.with_regions(cheapest_order) for n in program.nodes if n.regions}
    plans = _plans(program)
    if not plans and all(a is b for a, b in regions.items()):
        return program
    dropped = {n for plan in plans for n in plan.dropped}
    orders = {order.consumer: order for plan in plans for order in plan.orders}
    builder = Builder(program.name, share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in program.inputs
    }
    for node in program.nodes:
        if node in orders:
            with builder.at(node.source):
                result = orders[node].emit(builder, env)
            object.__setattr__(result.value, "hint", node.output.hint)
            env[node.output] = result.value
        elif node not in dropped:
            copy_nodes([regions.get(node, node)], builder, env)
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])


@frozen(eq=False)
class _Order:
    """``(z inner) outer`` in place of a consumer of ``outer inner``.

    Attributes
    ----------
    consumer
        The product that is replaced.
    outer, inner, z
        The three arrays.
    first, second
        Letters of the two products.
    factor
        A number that the result is multiplied with.
    cost
        Multiplications.
    """

    consumer: Node
    outer: Operand
    inner: Operand
    z: Operand
    first: str
    second: str
    factor: Any
    cost: int

    def emit(self, builder: Builder, env: dict[Operand, Operand]) -> Tracer:
        """Append both products."""
        outer, inner, z = (wrap(builder, env.get(x, x)) for x in (self.outer, self.inner, self.z))
        found = ops.contract(ops.contract(z, inner, self.first), outer, self.second)
        result: Tracer = found if self.factor is None else ops.mul(self.factor, found)
        return result


@frozen(eq=False)
class _Plan:
    """A product that is not formed, and what becomes of its consumers."""

    dropped: tuple[Node, ...]
    orders: tuple[_Order, ...]


def _plans(program: Program) -> list[_Plan]:
    readers: dict[Operand, list[Node]] = {}
    for node in program.nodes:
        for x in dict.fromkeys(node.inputs):
            readers.setdefault(x, []).append(node)
    leaving = {out.value for out in program.outputs}
    plans: list[_Plan] = []
    taken: set[Node] = set()
    for node in program.nodes:
        if node.primitive.name == "contract" and node not in taken:
            plan = _plan(node, readers, leaving)
            if plan is not None:
                involved = {*plan.dropped, *(order.consumer for order in plan.orders)}
                if taken.isdisjoint(involved):
                    taken |= involved
                    plans.append(plan)
    return plans


def _plan(node: Node, readers: dict[Operand, list[Node]], leaving: set[Operand]) -> _Plan | None:
    """Return how to do without a product, if it is only multiplied and that is less work."""
    result, factor, dropped = node.output, None, [node]
    using = readers.get(result, [])
    if len(using) == 1 and result not in leaving and using[0].primitive.name == "mul":
        factors = [x for x in using[0].inputs if isinstance(x, Literal)]
        if factors:
            factor = factors[0].value
            dropped.append(using[0])
            result = using[0].output
            using = readers.get(result, [])
    if not using or result in leaving or any(n.primitive.name != "contract" for n in using):
        return None
    now = _cost(node, parse_spec(node.attrs["spec"]))
    orders = []
    for consumer in using:
        if list(consumer.inputs).count(result) != 1:
            return None
        now += _cost(consumer, parse_spec(consumer.attrs["spec"]))
        order = min(_orders(node, consumer, result, factor), key=lambda o: o.cost)
        orders.append(order)
    later = sum(order.cost for order in orders)
    return _Plan(tuple(dropped), tuple(orders)) if later < (1 - SAVED) * now else None


def _cost(node: Node, spec: Spec) -> int:
    x, y = (operand.type for operand in node.inputs)
    return prod(extents(spec, x, y).values())


def _orders(node: Node, consumer: Node, result: Value, factor: Any) -> Iterable[_Order]:
    """Yield both other orders of a product of three."""
    made, read = parse_spec(node.attrs["spec"]), parse_spec(consumer.attrs["spec"])
    at = list(consumer.inputs).index(result)
    z = consumer.inputs[1 - at]
    mine, other = (read.x, read.y) if at == 0 else (read.y, read.x)
    # The consumer's letters, in those of the product where they name its axes.
    names = dict(zip(mine, made.out, strict=True))
    foreign = [c for c in dict.fromkeys(other + read.out) if c not in names]
    names.update(zip(foreign, free_letters(made.x + made.y, len(foreign)), strict=True))
    of_z, out = ("".join(names[c] for c in term) for term in (other, read.out))
    a, b = node.inputs
    sizes = extents(made, a.type, b.type) | dict(zip(of_z, z.type.shape, strict=True))
    for outer, inner, of_outer, of_inner in ((a, b, made.x, made.y), (b, a, made.y, made.x)):
        both = dict.fromkeys(of_z + of_inner)
        middle = "".join(c for c in both if c in of_outer + out)
        spent = prod(sizes[c] for c in both)
        spent += prod(sizes[c] for c in dict.fromkeys(of_outer + middle))
        yield _Order(
            consumer, outer, inner, z, f"{of_z},{of_inner}->{middle}",
            f"{middle},{of_outer}->{out}", factor, spent,
        )  # fmt: skip
