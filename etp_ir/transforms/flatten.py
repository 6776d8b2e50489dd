"""Control flow written out: choices as `select`, loops as copies of their bodies.

Where a choice differs between examples both of its regions are computed for all of them. What is
computed for an example that chose otherwise must do no harm: its indices must exist, its loops
must end, and, where derivatives are going to be taken, nothing in it may be infinite or NaN,
because zero times that is no zero. So operands are replaced there by harmless numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define, evolve, field

from .. import ops
from ..builder import Builder
from ..core import Literal, Node, Operand, Program, Role, Value
from ..primitive import get
from ..tracer import Tracer, copy_nodes, operand, wrap
from ..types import BOOL, TensorType

# What a floating-point operand is where nothing may go wrong: every primitive is finite and
# smooth there.
HARMLESS = 0.5


@define
class Flattener:
    """Copies nodes into a builder, writing some of them out.

    Parameters
    ----------
    builder
        Receives the nodes.
    opens
        Whether a node with regions is written out.
    finite
        Replace floating-point operands too where a region is not taken. Otherwise values are
        right and derivatives may be NaN.
    steady
        Values of the builder that are the same for every example; they are never replaced.
    """

    builder: Builder
    opens: Callable[[Node], bool]
    finite: bool = True
    steady: set[Operand] = field(factory=set)
    _made: dict[Any, Any] = field(init=False, factory=dict)

    def run(self, nodes: Sequence[Node], env: dict[Operand, Operand], live: Any = None) -> None:
        """Append nodes with their operands renamed by ``env``, which is extended in place.

        Parameters
        ----------
        live
            A traced truth value: whether what the nodes compute is wanted. None if it always is.
        """
        for node in nodes:
            opening = self.rules.get(node.primitive.name) if self.opens(node) else None
            inputs = [env.get(x, x) for x in node.inputs]
            with self.builder.at(node.source):
                if opening is not None:
                    outs = opening(self, node, inputs, live)
                    env.update(zip(node.outputs, outs, strict=True))
                    continue
                node = self._harmless(node, inputs, live)
            renamed: dict[Operand, Operand] = {}
            copy_nodes([node], self.builder, renamed)
            env.update(renamed)
            if all(isinstance(x, Literal) or x in self.steady for x in node.inputs):
                self.steady.update(renamed.values())

    # -- writing out ------------------------------------------------------------------------
    def _cond(self, node: Node, inputs: Sequence[Operand], live: Any) -> list[Operand]:
        predicate = wrap(self.builder, inputs[0])
        if not isinstance(predicate, Tracer):
            region = node.attrs["then" if predicate else "otherwise"]
            env = {p.value: x for p, x in zip(region.inputs, inputs[1:], strict=True)}
            self.run(region.nodes, env, live)
            return [env.get(o.value, o.value) for o in region.outputs]
        chosen: list[list[Operand]] = []
        for region, holds in ((node.attrs["then"], True), (node.attrs["otherwise"], False)):
            taken = predicate if holds else ops.not_(predicate)
            env = {p.value: x for p, x in zip(region.inputs, inputs[1:], strict=True)}
            self.run(region.nodes, env, taken if live is None else ops.and_(live, taken))
            chosen.append([env.get(o.value, o.value) for o in region.outputs])
        return [
            self._select(predicate, a, b, v.type)
            for v, a, b in zip(node.outputs, *chosen, strict=True)
        ]

    def _select(self, predicate: Any, a: Operand, b: Operand, type: TensorType) -> Operand:
        if a == b:
            return a
        x, y = wrap(self.builder, a), wrap(self.builder, b)
        if not isinstance(x, Tracer) and not isinstance(y, Tracer):
            x = ops.full(self.builder, type.shape, x, type.dtype)
        return operand(self.builder, ops.select(self._spread(predicate, type.shape), x, y))

    def _scan(self, node: Node, inputs: Sequence[Operand], live: Any) -> list[Operand]:
        body, consts, carries = node.attrs["body"], node.attrs["consts"], node.attrs["carries"]
        length = node.attrs["length"]
        carry = list(inputs[consts : consts + carries])
        rows: list[list[Operand]] = [[] for _ in range(length)]
        for t in range(length - 1, -1, -1) if node.attrs["reverse"] else range(length):
            slices = [row_of(wrap(self.builder, x), t).value for x in inputs[consts + carries :]]
            if all(x in self.steady for x in inputs[consts + carries :]):
                self.steady.update(slices)
            given = [*inputs[:consts], *carry, *slices]
            env = {p.value: x for p, x in zip(body.inputs, given, strict=True)}
            self.run(body.nodes, env, live)
            results = [env.get(o.value, o.value) for o in body.outputs]
            carry, rows[t] = results[:carries], results[carries:]
        stacks = [
            stacked(self.builder, [row[k] for row in rows], out.type).value
            for k, out in enumerate(body.outputs[carries:])
        ]
        return [*carry, *stacks]

    rules = {"cond": _cond, "scan": _scan}

    # -- what is computed in vain -----------------------------------------------------------
    def _harmless(self, node: Node, inputs: list[Operand], live: Any) -> Node:
        """Return the node with operands that do no harm where it is not live."""
        if live is None:
            return evolve(node, inputs=tuple(inputs))
        if node.primitive.name in ("gather", "scatter_add"):
            inputs[1] = self._replaced(inputs[1], 0, live)
        if self.finite and curved(node):
            inputs = [self._replaced(x, HARMLESS, live) for x in inputs]
        node = evolve(node, inputs=tuple(inputs))
        return ending(node, live.value) if loops_forever(node) else node

    def _replaced(self, x: Operand, number: float, live: Any) -> Operand:
        wanted = x.type.dtype.is_float is isinstance(number, float)
        if isinstance(x, Literal) or x in self.steady or not wanted:
            return x
        key = (live.value, x, number)
        if key not in self._made:
            mask = self._spread(live, x.type.shape)
            self._made[key] = ops.select(mask, Tracer(self.builder, x), number).value
        found: Operand = self._made[key]
        return found

    def _spread(self, predicate: Tracer, shape: tuple[int, ...]) -> Tracer:
        key = (predicate.value, shape)
        if key not in self._made:
            self._made[key] = ops.broadcast(predicate, shape, ()) if shape else predicate
        mask: Tracer = self._made[key]
        return mask


def curved(node: Node) -> bool:
    """Whether the derivative of a node depends on where it is taken."""
    if node.regions:
        return True
    if node.primitive.jvp is None:
        return False
    scratch = Builder("scratch")
    values = [x if isinstance(x, Literal) else Value(x.type) for x in (*node.inputs, *node.outputs)]
    xs = [wrap(scratch, x) for x in values]
    n = len(node.inputs)
    tangents = [
        Tracer(scratch, Value(x.type)) if isinstance(x, Value) and x.type.dtype.is_float else None
        for x in node.inputs
    ]
    if all(t is None for t in tangents):
        return False
    node.primitive.jvp(xs[:n], tangents, xs[n:], **node.attrs)
    where = {x for x in values if isinstance(x, Value) and x.type.dtype.is_float}
    return any(x in where for made in scratch.nodes for x in made.inputs)


def row_of(x: Any, t: int) -> Any:
    """Return ``x[t]``."""
    start, stop = [0] * x.ndim, list(x.shape)
    start[0], stop[0] = t, t + 1
    return ops.reshape(ops.slice_(x, start, stop, [1] * x.ndim), x.shape[1:])


def stacked(builder: Builder, rows: Sequence[Operand], type: TensorType) -> Any:
    """Return arrays of a type joined along a new first axis."""
    if not rows:
        return ops.full(builder, (0, *type.shape), 0, type.dtype)
    arrays = [
        Tracer(builder, x) if isinstance(x, Value) else
        ops.full(builder, type.shape, x.value, type.dtype) for x in rows
    ]  # fmt: skip
    return ops.concat([ops.reshape(x, (1, *type.shape)) for x in arrays], 0)


# -- loops that must end -------------------------------------------------------------------
def loops_forever(node: Node) -> bool:
    """Whether a node may run for any number of rounds: it is or holds a `while`."""
    return any("test" in n.attrs for n in (node, *(n for r in node.regions for n in r.walk())))


def ending(node: Node, live: Value) -> Node:
    """Return the node with an operand more, without which its `while` loops do not turn."""
    attrs = dict(node.attrs)
    place = 0
    for key, region in node.attrs.items():
        if isinstance(region, Program):
            # Of a `cond` the predicate comes first, and is no input of a region.
            place = len(node.inputs) - len(region.inputs)
            attrs[key] = _region_ending(region, key == "test")
    if "consts" in attrs:
        attrs["consts"] += 1
    return evolve(node, attrs=attrs, inputs=(*node.inputs[:place], live, *node.inputs[place:]))


def _region_ending(region: Program, is_test: bool) -> Program:
    builder = Builder(region.name)
    name = "live"
    while name in region.input_names:
        name += "_"
    live = builder.input(name, TensorType(BOOL), "const")
    builder.inputs.extend(region.inputs)
    builder.nodes = [ending(n, live) if loops_forever(n) else n for n in region.nodes]
    outputs: list[tuple[Operand, Role]] = [(o.value, o.role) for o in region.outputs]
    if is_test:
        ((test, role),) = outputs
        outputs = [(ops.and_(Tracer(builder, live), wrap(builder, test)).value, role)]
    return builder.finish(outputs)


# -- a choice as a program -----------------------------------------------------------------
def selected(then: Program, otherwise: Program, *, shared: Collection[int] = ()) -> Program:
    """Return the program of a predicate and operands that computes both regions and selects.

    Parameters
    ----------
    shared
        Indices of operands that are the same for every example.
    """
    builder = Builder(then.name, share=True)
    predicate = builder.input("predicate", TensorType(BOOL), "value")
    inputs = [builder.input(f"x{i}", p.type, "value") for i, p in enumerate(then.inputs)]
    node = Node(
        get("cond"), (predicate, *inputs), tuple(Value(o.type) for o in then.outputs),
        {"then": then, "otherwise": otherwise},
    )  # fmt: skip
    env: dict[Operand, Operand] = {v: v for v in (predicate, *inputs)}
    flattener = Flattener(
        builder, lambda n: n.primitive.name == "cond", finite=False,
        steady={inputs[i] for i in shared},
    )  # fmt: skip
    flattener.run([node], env)
    return builder.finish([
        (env[v], Role("output", (str(i),))) for i, v in enumerate(node.outputs)
    ])  # fmt: skip
