"""Derivatives of new states with respect to old ones and to products, one new state at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import define, field

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Node, Role, Value
from etp_ir.tracer import Tracer, replay
from etp_ir.transforms.batch import batch_program, rename
from etp_ir.transforms.linearize import linearize
from etp_ir.transforms.transpose import pull
from etp_ir.transforms.vjp import pullback

from .axes import short
from .coverage import WISE
from .places import take, unit
from .structure import Structure

# Derivatives of one new state: with respect to old states, and to results of products.
Row = tuple[dict[str, Tracer], dict[Node, Tracer]]


@define
class Rows:
    """Rows of the transition, emitted into a builder that holds the traced step."""

    structure: Structure
    builder: Builder
    _rows: dict[str, Row] = field(init=False, factory=dict)
    _full_rows: dict[str, Row] = field(init=False, factory=dict)

    def row(self, state: str) -> Row:
        """Return dh'/dh and dh'/dy of one new state, along its position-wise paths."""
        return self._once(state, self._rows, self._pull_wise)

    def full_row(self, state: str) -> Row:
        """Return all of dh'/dh and dh'/dy of one new state, its positions on the first axis."""
        return self._once(state, self._full_rows, self._pull_all)

    def _once(self, state: str, kept: dict[str, Row], make: Callable[[str, Value], Row]) -> Row:
        if state not in kept:
            after = self.structure.states[state][1]
            kept[state] = make(state, after) if isinstance(after, Value) else _no_row()
        return kept[state]

    def _sources(self, state: str) -> tuple[dict[str, Value], list[Node]]:
        """Return the old states and the products that a new state's derivatives are wanted for."""
        s = self.structure
        mine = [r for r in s.relations if state in r.places]
        states = {name for r in mine for name in r.places}
        old = {name: s.states[name][0] for name in s.states if name in states}
        nodes = [n for r in mine for n in r.nodes if s.influence.leads(n.output, state)]
        return old, list(dict.fromkeys(nodes))

    def _pull_wise(self, state: str, after: Value) -> Row:
        """Pull one cotangent of ones along the position-wise paths."""
        old, products = self._sources(state)
        pulled = pullback(
            self.builder, self.structure.program.nodes, list(old.values()),
            {after: ops.full(self.builder, after.type.shape, 1.0, after.type.dtype)},
            taps=[n.output for n in products], detach=self.structure.reaches[state].detach,
        )  # fmt: skip
        across = {n: pulled[v] for n, v in old.items() if v in pulled}
        inward = {n: pulled[n.output] for n in products if n.output in pulled}
        tag = short(state)
        for name, x in across.items():
            rename(self.builder, x, f"D_{tag}" if name == state else f"D_{tag}_{short(name)}")
        for node, x in inward.items():
            rename(self.builder, x, f"u_{short(self._weight_name(node))}_{tag}")
        return across, inward

    def _weight_name(self, node: Node) -> str:
        """Return the name of the first weight of a node."""
        return next(w.name for use, w in self.structure.weights.items() if use.node is node)

    def _pull_all(self, state: str, after: Value) -> Row:
        """Pull one unit cotangent for each position, all of them at once."""
        old, products = self._sources(state)
        wanted: list[tuple[Any, Value]] = [*old.items(), *((n, n.output) for n in products)]
        linear = linearize(
            self.builder, self.structure.program.nodes, list(old.values()), [after],
            taps=[n.output for n in products], detach=self.structure.joints,
        )  # fmt: skip
        tangent = linear.tangents.get(after)
        if tangent is None:
            return _no_row()
        made = {v for node in linear.nodes for v in node.outputs} | set(linear.seeds.values())
        outer = [v for v in dict.fromkeys(x for n in linear.nodes for x in n.inputs)
                 if isinstance(v, Value) and v not in made]  # fmt: skip
        inner = Builder("row", share=True, float_dtype=self.builder.float_dtype)
        seed = Tracer(inner, inner.input("seed", after.type, "value"))
        env: Any = {v: inner.input(f"i{k}", v.type, "value") for k, v in enumerate(outer)}
        pulled = pull(inner, linear.nodes, list(linear.seeds.values()), {tangent: seed}, env=env)
        found = [(key, pulled[s]) for key, v in wanted if (s := linear.seeds[v]) in pulled]
        if not found:
            return _no_row()
        part = inner.finish([(x.value, Role("value", (str(k),))) for k, (_, x) in enumerate(found)])
        n = after.type.size
        whole = batch_program(part, n, {"seed": 0}, force=range(len(found)))
        values = [Tracer(self.builder, v) for v in outer]
        results = replay(whole, self.builder, [unit(self.builder, after.type), *values])
        by_key: dict[Any, Any] = {key: x for (key, _), x in zip(found, results, strict=True)}
        across = {name: by_key[name] for name in old if name in by_key}
        inward = {node: by_key[node] for node in products if node in by_key}
        for name, x in across.items():
            rename(self.builder, x, f"J_{short(state)}_{short(name)}")
        return across, inward

    def along(self, new: str, old: str, how: str) -> Tracer | None:
        """Return the part of dh'/dh from each position to itself, ``WISE`` or ``BLOCK``."""
        if how == WISE:
            return self.row(new)[0].get(old)
        x = self.full_row(new)[0].get(old)
        if x is None:
            return None
        type = self.structure.states[new][0].type
        n = type.size
        diagonal = np.arange(n) * (n + 1)
        return ops.reshape(take(ops.reshape(x, (n * n,)), diagonal), type.shape)


def _no_row() -> Row:
    return {}, {}
