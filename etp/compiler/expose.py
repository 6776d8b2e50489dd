"""Moving the mark of an element-wise weight to where the weight meets the data.

A mark may stand anywhere in an expression of parameters: what a trace needs is one weight for each
element that takes part in the step. So ``element_wise(w)`` of a trained scalar that is then
broadcast over units is marked after the broadcast, and for scopes that follow all parameters, an
expression of parameters that meets the data without a mark gets one.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from etp_ir.builder import Builder
from etp_ir.core import Node, Operand, Program, Value
from etp_ir.passes import dce
from etp_ir.primitive import get
from etp_ir.tracer import operand, wrap

from .uses import uses_of


@define
class _Weight:
    """An expression of parameters.

    Attributes
    ----------
    marked, bare
        Its value with marks as they were written, and without any.
    unmarked
        Whether it depends on a parameter that has no mark.
    spread
        Whether one marked element may act on several elements of the value.
    """

    marked: Operand
    bare: Operand
    unmarked: bool
    spread: bool = False


def expose(program: Program, *, plain: bool) -> Program:
    """Return the program with marks where weights meet data.

    Parameters
    ----------
    plain
        Also mark expressions of parameters that have no mark.
    """
    rewriter = _Rewriter(program, plain)
    result = rewriter.run()
    return dce(result) if rewriter.changed else program


@define
class _Rewriter:
    program: Program
    plain: bool
    changed: bool = False
    builder: Builder = field(init=False)
    env: dict[Operand, Operand] = field(init=False, factory=dict)
    weights: dict[Value, _Weight] = field(init=False, factory=dict)
    fixed: set[Value] = field(init=False, factory=set)
    made: dict[Operand, Value] = field(init=False, factory=dict)

    def run(self) -> Program:
        b = self.builder = Builder(self.program.name)
        for port in self.program.inputs:
            b.inputs.append(port)
            self.env[port.value] = port.value
            if port.role.kind == "param" and port.type.dtype.is_float:
                self.weights[port.value] = _Weight(port.value, port.value, unmarked=True)
            elif port.role.kind in ("param", "const"):
                self.fixed.add(port.value)
        for node in self.program.nodes:
            self._node(node)
        outputs = [
            (self._met(o.value) if o.role.kind in ("state", "loss") else
             self.env.get(o.value, o.value), o.role)
            for o in self.program.outputs
        ]  # fmt: skip
        return b.finish(outputs)

    def _node(self, node: Node) -> None:
        values = [x for x in node.inputs if isinstance(x, Value)]
        if all(v in self.fixed for v in values):
            self._emit(node, [self.env.get(x, x) for x in node.inputs])
            self.fixed.update(node.outputs)
        elif all(v in self.fixed or v in self.weights for v in values):
            self._expression(node, [self.weights[v] for v in values if v in self.weights])
        else:
            trained = {use.operand for use in uses_of(node)}
            self._emit(node, [
                self._bare(x) if i in trained else self._met(x) for i, x in enumerate(node.inputs)
            ])  # fmt: skip

    def _expression(self, node: Node, parts: list[_Weight]) -> None:
        """Keep an expression of parameters twice: with its marks, and without."""
        self._emit(node, [self.env.get(x, x) for x in node.inputs])
        operands = [
            self.weights[x].bare if isinstance(x, Value) and x in self.weights
            else self.env.get(x, x)
            for x in node.inputs
        ]  # fmt: skip
        if node.primitive.lower is not None and node.primitive.is_etp:
            (result,) = node.outputs
            with self.builder.at(node.source):
                lowered = node.primitive.lower(
                    *(wrap(self.builder, x) for x in operands), **node.attrs
                )
            # A product of parameters meets the data as a whole.
            spread = node.primitive.positions != "elementwise"
            self.weights[result] = _Weight(
                self.env[result], operand(self.builder, lowered), unmarked=False, spread=spread
            )
            return
        bare: Sequence[Operand] = [self.env[v] for v in node.outputs]
        if any(p.bare is not p.marked for p in parts):
            with self.builder.at(node.source):
                hint = node.outputs[0].hint
                bare = self.builder.emit(node.primitive, operands, dict(node.attrs), hint)
        unmarked = node.primitive.jvp is not None and any(p.unmarked for p in parts)
        spread = _spreads(node) or any(p.spread for p in parts)
        for result, plain in zip(node.outputs, bare, strict=True):
            # What carries no derivative is part of the expression, and nothing to be trained.
            trained = unmarked and result.type.dtype.is_float
            self.weights[result] = _Weight(self.env[result], plain, trained, spread)

    def _bare(self, x: Operand) -> Operand:
        """Return the weight of a product: a mark inside it would say the same twice."""
        if not isinstance(x, Value) or x not in self.weights:
            return self.env.get(x, x)
        weight = self.weights[x]
        self.changed |= weight.bare is not weight.marked
        return weight.bare

    def _met(self, x: Operand) -> Operand:
        """Return a weight as the data meet it, marked where that is called for."""
        if not isinstance(x, Value) or x not in self.weights:
            return self.env.get(x, x)
        weight = self.weights[x]
        marked = weight.bare is not weight.marked
        if not (marked and weight.spread) and not (self.plain and weight.unmarked):
            return weight.marked
        if weight.bare not in self.made:
            self.changed = True
            source = self.program.producers[x].source if x in self.program.producers else None
            with self.builder.at(source):
                (self.made[weight.bare],) = self.builder.emit(
                    get("etp.element_wise"), [weight.bare], {}, x.hint
                )
        return self.made[weight.bare]

    def _emit(self, node: Node, operands: list[Operand]) -> None:
        with self.builder.at(node.source):
            hint = node.outputs[0].hint if node.outputs else ""
            results = self.builder.emit(node.primitive, operands, dict(node.attrs), hint)
        for old, new in zip(node.outputs, results, strict=True):
            object.__setattr__(new, "hint", old.hint)
            self.env[old] = new


def _spreads(node: Node) -> bool:
    """Whether one element of an operand may act on several elements of a result."""
    if node.primitive.positions != "structural":
        return node.primitive.positions != "elementwise"
    widest = max(x.type.size for x in node.inputs if isinstance(x, Value))
    return node.primitive.name != "concat" and node.outputs[0].type.size > widest
