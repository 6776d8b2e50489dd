"""The boundary of a step, at which learning signals arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import define, field

from etp_ir import ops
from etp_ir.core import Node, Value
from etp_ir.tracer import Tracer
from etp_ir.transforms.jvp import Edge
from etp_ir.transforms.vjp import pullback

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
    """

    pieces: Pieces
    seed: Tracer
    states: Sequence[str]
    shared: Mapping[str, Tracer] = field(factory=dict)
    modulator: Tracer | None = None

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
        value = self.output.value
        assert self.loss is not None
        assert isinstance(value, Value)
        found = pullback(self.pieces.builder, self.pieces.program.nodes, [value],
                         {self.loss: self.seed})  # fmt: skip
        return found[value] if value in found else self.zeros(value)

    def zeros(self, like: Value) -> Tracer:
        """Return zeros of a value's type."""
        zero: Tracer = ops.full(self.pieces.builder, like.type.shape, 0.0, like.type.dtype)
        return zero

    @cached_property
    def products(self) -> dict[Use, tuple[int, Value]]:
        """Products of a weight through which new states lead to the loss.

        For each its data operand: the position, and the value that units emit into it.
        """
        s = self.pieces.structure
        if self.loss is None:
            return {}
        found = {}
        every = {after for _, after in s.states.values() if after in s.program.producers}
        leads = s.dependence.leads
        for use in s.weights:
            if not leads(use.output, self.loss):
                continue
            for i, x in enumerate(use.node.inputs):
                if i != use.operand and isinstance(x, Value) and any(leads(v, x) for v in every):
                    found[use] = (i, x)
        return found

    def pull(
        self, *, weights: Mapping[Use, Tracer] | None = None,
        emitted: Mapping[Use, Tracer] | None = None,
    ) -> tuple[dict[str, Tracer], dict[str, Tracer]]:  # fmt: skip
        """Return the cotangents of the new states, and of the old ones past the new.

        They are those of the loss, each state with the others held fixed (a path from one new
        state to another is the business of ``u`` and ``D``).

        Parameters
        ----------
        weights
            Weights that take the place of those of products on the way back.
        emitted
            Cotangents that arrive at the data operand of products instead of what the products
            would hand back.
        """
        s, b = self.pieces.structure, self.pieces.builder
        old = {n: s.states[n][0] for n in self.states}
        if self.loss is None:
            return {}, {}
        nodes: Sequence[Node] = s.program.nodes
        env: dict[Any, Any] = {}
        if weights:
            by_node = {use.node: (use.operand, w) for use, w in weights.items()}
            nodes = [_with_weight(n, *by_node[n]) if n in by_node else n for n in nodes]
            env = {x.value: x.value for x in weights.values()}
        cotangents: dict[Value, Any] = {self.loss: self.seed}
        cut: set[Edge] = set()
        for use, x in (emitted or {}).items():
            at, value = self.products[use]
            cut.add((use.node, at))
            held = cotangents.get(value)
            cotangents[value] = x if held is None else ops.add(held, x)
        pulled = pullback(
            b, nodes, [*self.new.values(), *old.values()], cotangents, detach=cut, env=env or None
        )
        new, before = self.new, pulled
        return (
            {n: before[v] for n, v in new.items() if v in before},
            {n: before[v] for n, v in old.items() if v in before},
        )


def _with_weight(node: Node, operand: int, weight: Tracer) -> Node:
    """Return a node with another weight whose results stand for those of the node."""
    inputs = list(node.inputs)
    inputs[operand] = weight.value
    return Node(node.primitive, tuple(inputs), node.attrs, node.outputs, node.source)
