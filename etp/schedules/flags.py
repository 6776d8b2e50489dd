"""A step whose comparisons come out at random: what it does beyond conditions that hold rarely."""

from __future__ import annotations

from typing import Any

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Literal, Node, Operand, Program
from etp_ir.tracer import Tracer, copy_nodes
from etp_ir.types import BOOL, DType

from ..compiler.axes import float_dtype
from ..compiler.past import FIXED

# A fraction of a large multiple of a sine is as good as random, and the same for equal operands.
WAVE, FACTORS, SIZE = 12.9898, (78.233, 37.719), 43758.5453


def flagged(program: Program) -> Program | None:
    """Return the step with comparisons of what varies turned over, as often as not.

    Whether one is turned over depends on the numbers compared and on nothing else, so that two
    programs made of the step meet the same outcomes. What random data would never fulfil, such as
    an input equal to 1 or every third step, is met then. What indices are made of is left alone:
    they would leave their tables. None if nothing is compared.
    """
    varying: set[Operand] = {p.value for p in program.inputs if p.role.kind not in FIXED}
    dtype, b = float_dtype(program), Builder(program.name)
    env: dict[Operand, Any] = {p.value: b.input(p.name, p.type, p.role) for p in program.inputs}
    met, indices = False, _indices(program)
    for node in program.nodes:
        copy_nodes([node], b, env)
        if varying.isdisjoint(node.inputs):
            continue
        varying.update(node.outputs)
        if _compares(node) and node.output not in indices:
            met = True
            numbers = [x.value if isinstance(x, Literal) else Tracer(b, env[x])
                       for x in node.inputs]  # fmt: skip
            turned = ops.xor(Tracer(b, env[node.output]), _chance(numbers, dtype))
            env[node.output] = turned.value
    return b.finish([(env.get(o.value, o.value), o.role) for o in program.outputs]) if met else None


def _indices(program: Program) -> set[Operand]:
    """Return all values that indices are computed from."""
    found: set[Operand] = set()
    for node in reversed(program.nodes):
        if node.primitive.positions != "elementwise" and node.outputs[0].type.dtype.is_float:
            found.update(x for x in node.inputs if x.type.dtype.kind in ("int", "uint"))
        if not found.isdisjoint(node.outputs):
            found.update(node.inputs)
    return found


def _compares(node: Node) -> bool:
    return (
        node.primitive.positions == "elementwise" and node.output.type.dtype is BOOL
        and all(x.type.dtype is not BOOL for x in node.inputs)
    )  # fmt: skip


def _chance(numbers: list[Any], dtype: DType) -> Any:
    """Return a condition that holds for half of all numbers."""
    total: Any = WAVE
    for factor, x in zip(FACTORS, numbers, strict=True):
        term = ops.mul(ops.cast(x, dtype), factor) if isinstance(x, Tracer) else factor * x
        both = (total, term)
        total = ops.add(*both) if any(isinstance(t, Tracer) for t in both) else sum(both)
    wave = ops.mul(ops.sin(total), SIZE)
    return ops.lt(ops.sub(wave, ops.floor(wave)), 0.5)
