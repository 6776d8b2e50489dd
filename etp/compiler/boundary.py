"""The boundary of a step, at which learning signals arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import define, evolve, field

from etp_ir import ops
from etp_ir.core import Node, Value
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, copy_nodes
from etp_ir.transforms.jvp import Edge
from etp_ir.transforms.vjp import pullback
from etp_ir.types import I32

from .emission import emissions, emitted_values, onward_products
from .pieces import Pieces
from .uses import Use

MODULATOR = "modulator"


@define(slots=False)
class Boundary:
    """One step as a learning signal sees it.

    Parameters
    ----------
    pieces
        The program under construction.
    seed
        The weight of this step's loss.
    states
        Paths of the states that signals are asked for.
    shared
        The arrays that the signal keeps, by name.
    modulator
        What was given beside the data for this step.
    kept
        The arrays that the signal keeps for each example, by name.
    error_given
        What takes the place of the derivative of the loss with respect to the output.
    """

    pieces: Pieces
    seed: Tracer
    states: Sequence[str]
    shared: Mapping[str, Tracer] = field(factory=dict)
    modulator: Tracer | None = None
    kept: Mapping[str, Tracer] = field(factory=dict)
    error_given: Tracer | None = None

    @cached_property
    def new(self) -> dict[str, Value]:
        """The new values of the states, as far as this step computes them, each once."""
        found: dict[str, Value] = {}
        s = self.pieces.structure
        for n in self.states:
            after = s.states[n][1]
            # A value that entered the step, or that leaves it twice, is spoken for already.
            if after in s.program.producers and after not in found.values():
                assert isinstance(after, Value)
                found[n] = after
        return found

    @property
    def loss(self) -> Value | None:
        """The loss of this step, or None where it is a constant."""
        value = self.pieces.program.output("loss").value
        return value if isinstance(value, Value) else None

    @cached_property
    def output(self) -> Tracer:
        """The output of the model in this step."""
        value = self.pieces.program.output("output").value
        assert isinstance(value, Value)
        return Tracer(self.pieces.builder, value)

    @cached_property
    def target(self) -> Tracer:
        """The target of this step."""
        (port,) = self.pieces.program.inputs_of("target")
        return Tracer(self.pieces.builder, port.value)

    @cached_property
    def error(self) -> Tracer:
        """The derivative of the loss with respect to the output, 0 where a mask leaves it out."""
        if self.error_given is not None:
            return self.error_given
        value = self.output.value
        assert self.loss is not None
        assert isinstance(value, Value)
        found = pullback(self.pieces.builder, self.pieces.program.nodes, [value],
                         {self.loss: self.seed})  # fmt: skip
        return found[value] if value in found else self.zeros(value)

    def with_error(self, error: Tracer) -> Boundary:
        """Return the boundary with an error of the output in place of the loss's."""
        return evolve(self, error_given=error)

    def along(self, matrix: Tracer, vector: Tracer) -> Tracer:
        """Return a matrix times a vector, either over several axes."""
        n = vector.ndim
        a = "abcdefghijkl"[: matrix.ndim]
        found: Tracer = ops.contract(
            matrix, vector, f"{a},{a[-n:] if n else ''}->{a[:-n] if n else a}"
        )
        return found

    def contract(self, a: Tracer, b: Tracer, spec: str) -> Tracer:
        """Return a product of two arrays, summed over letters that the result lacks."""
        found: Tracer = ops.contract(a, b, spec)
        return found

    def scaled(self, x: Tracer) -> Tracer:
        """Return an array times the weight of this step's loss."""
        found: Tracer = ops.mul(ops.broadcast(self.seed, x.shape, ()), x)
        return found

    def value(self, of: Value) -> Tracer:
        """Return a value of the step as an array."""
        return Tracer(self.pieces.builder, of)

    def iota(self, n: int) -> Tracer:
        """Return the numbers from 0 to n - 1."""
        attrs = {"shape": (n,), "axis": 0, "dtype": I32}
        return Tracer(self.pieces.builder, self.pieces.builder.emit(get("iota"), [], attrs)[0])

    def error_of(self, output: Tracer) -> Tracer:
        """Return the derivative of the loss with respect to another output in place of the own."""
        program, b = self.pieces.program, self.pieces.builder
        own = self.output.value
        after: list[Node] = []
        moved = {own}
        for node in program.nodes:
            if any(x in moved for x in node.inputs):
                after.append(node)
                moved.update(node.outputs)
        env: dict[Any, Any] = {own: output.value}
        copy_nodes(after, b, env)
        assert self.loss is not None
        found = pullback(b, after, [own], {self.loss: self.seed}, env=env)
        return found[own] if own in found else self.zeros(own)

    def zeros(self, like: Value) -> Tracer:
        """Return zeros of a value's type."""
        zero: Tracer = ops.full(self.pieces.builder, like.type.shape, 0.0, like.type.dtype)
        return zero

    @cached_property
    def products(self) -> dict[Use, tuple[int, Value]]:
        """Products of a weight that lead from what units emit to the loss.

        For each its data operand: the position, and the value that units emit into it.
        """
        return onward_products(self.pieces.structure)

    @cached_property
    def emitted(self) -> dict[str, Value]:
        """The values that units emit into products, by the name of the first weight they meet."""
        return emitted_values(self.pieces.structure)

    def pull(
        self, *, weights: Mapping[Use, Tracer] | None = None,
        emitted: Mapping[str, Tracer] | None = None, loss: bool = True,
        slopes: Mapping[Node, Tracer] | None = None,
    ) -> tuple[dict[str, Tracer], dict[str, Tracer]]:  # fmt: skip
        """Return the cotangents of the new states, and of the old ones past the new.

        They are those of the loss, each state with the others held fixed (a path from one new
        state to another is the business of ``u`` and ``D``).

        Parameters
        ----------
        weights
            Weights that take the place of those of products on the way back.
        emitted
            Cotangents that arrive at emitted values, by name, instead of what the products they
            enter would hand back.
        loss
            Whether the loss itself is differentiated.
        slopes
            Derivatives that take the place of those of element-wise operations.
        """
        s, b = self.pieces.structure, self.pieces.builder
        old = {n: s.states[n][0] for n in self.states}
        if self.loss is None and emitted is None:
            return {}, {}
        nodes: Sequence[Node] = s.program.nodes
        env: dict[Any, Any] = {}
        if weights:
            by_node = {use.node: (use.operand, w) for use, w in weights.items()}
            nodes = [_with_weight(n, *by_node[n]) if n in by_node else n for n in nodes]
            env = {x.value: x.value for x in weights.values()}
        if slopes:
            nodes = [_with_slope(n, slopes[n]) if n in slopes else n for n in nodes]
            env.update({x.value: x.value for x in slopes.values()})
        cotangents: dict[Value, Any] = {}
        if loss and self.error_given is not None:
            cotangents[self.output.value] = self.error_given
        elif loss and self.loss is not None:
            cotangents[self.loss] = self.seed
        cut: set[Edge] = set()
        given = {self.emitted[n]: x for n, x in (emitted or {}).items()}
        parts = emissions(s).parts
        for use, (at, value) in self.products.items():
            if given and any(part in given for part in parts(value)):
                cut.add((use.node, at))
        for value, x in given.items():
            held = cotangents.get(value)
            cotangents[value] = x if held is None else ops.add(held, x)
        pulled = pullback(
            b, nodes, [*self.new.values(), *old.values()], cotangents, detach=cut, env=env or None
        )
        return (
            {n: pulled[v] for n, v in self.new.items() if v in pulled},
            {n: pulled[v] for n, v in old.items() if v in pulled},
        )


def _with_slope(node: Node, slope: Tracer) -> Node:
    """Return a node with another derivative whose results stand for those of the node."""
    return evolve(node, primitive=get("mul"), inputs=(node.inputs[0], slope.value), attrs={})


def _with_weight(node: Node, operand: int, weight: Tracer) -> Node:
    """Return a node with another weight whose results stand for those of the node."""
    inputs = list(node.inputs)
    inputs[operand] = weight.value
    return evolve(node, inputs=tuple(inputs))
