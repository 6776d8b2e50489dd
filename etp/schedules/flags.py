"""A step whose comparisons and kinks come out at random: what it does where it does rarely."""

from __future__ import annotations

from typing import Any

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.tracer import Tracer, bind, copy_nodes
from etp_ir.transforms.dataflow import needed
from etp_ir.types import BOOL, DType

from ..compiler.axes import float_dtype
from ..compiler.past import FIXED

# A fraction of a large multiple of a sine is as good as random, and the same for equal operands.
WAVE, FACTORS, SIZE = 12.9898, (78.233, 37.719), 43758.5453


def flagged(program: Program, *, kinks: bool = False) -> Program | None:
    """Return the step with comparisons of what varies turned over, as often as not.

    Whether one is turned over depends on the numbers compared and on nothing else, so that two
    programs made of the step meet the same outcomes. What random data would never fulfil, such as
    an input equal to 1 or every third step, is met then. What indices are made of is left alone:
    they would leave their tables. None if nothing is compared.

    Parameters
    ----------
    kinks
        Whether operations with kinks on the way to new states are turned over as well: of a
        maximum the smaller operand is as good as the larger. None if there are none.
    """
    varying: set[Operand] = {p.value for p in program.inputs if p.role.kind not in FIXED}
    dtype, b = float_dtype(program), Builder(program.name)
    env: dict[Operand, Any] = {p.value: b.input(p.name, p.type, p.role) for p in program.inputs}
    met, indices = False, _indices(program)
    ends = (o.value for o in program.outputs_of("state") if isinstance(o.value, Value))
    within = set(needed(program.nodes, ends)) if kinks else set()
    for node in program.nodes:
        copy_nodes([node], b, env)
        if varying.isdisjoint(node.inputs):
            continue
        varying.update(node.outputs)
        if not indices.isdisjoint(node.outputs):
            continue
        numbers = [x.value if isinstance(x, Literal) else Tracer(b, env[x]) for x in node.inputs]
        if _compares(node):
            met |= not kinks
            turned = ops.xor(Tracer(b, env[node.output]), _chance(numbers, dtype))
            env[node.output] = turned.value
        elif node in within and _kinked(node):
            met = True
            env[node.output] = _other(node, numbers, Tracer(b, env[node.output]), dtype).value
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


def _steps(node: Node) -> bool:
    """Whether the result of a node is constant but for jumps."""
    return node.primitive.jvp is None and any(x.type.dtype.is_float for x in node.inputs)


def _kinked(node: Node) -> bool:
    """Whether a node jumps, or its derivative does: it chooses by what its operands are."""
    primitive = node.primitive
    if node.regions or primitive.lower is not None or len(node.outputs) != 1:
        return False
    if primitive.positions not in ("elementwise", "reduction"):
        return False
    if not all(x.type.dtype.is_float for x in (*node.inputs, *node.outputs)):
        return False
    # The derivative of a spike is chosen, and tells nothing of it.
    if primitive.jvp is None or not primitive.differentiable or "surrogate" in node.attrs:
        return _steps(node) and primitive.name != "stop_gradient"
    b = Builder("derivative")
    given = [
        x.value if isinstance(x, Literal) else Tracer(b, b.input(f"x{i}", x.type, "input"))
        for i, x in enumerate(node.inputs)
    ]
    moved = [x if isinstance(x, Tracer) else None for x in given]
    primitive.jvp(given, moved, [bind(primitive, *given, **node.attrs)], **node.attrs)
    return any(_steps(made) for made in b.nodes)


def _other(node: Node, numbers: list[Any], result: Tracer, dtype: DType) -> Any:
    """Return what a node makes, or as often what it makes of the numbers turned round.

    That is the minimum for a maximum, and what lies below zero for an absolute value.
    """
    negative = [ops.neg(x) if isinstance(x, Tracer) else -x for x in numbers]
    turned = bind(node.primitive, *negative, **node.attrs)
    if not _steps(node):
        turned = ops.neg(turned)
    shown = numbers[:1] if _steps(node) else [result, turned]
    return ops.select(_chance(shown, dtype), turned, result)


def _chance(numbers: list[Any], dtype: DType) -> Any:
    """Return a condition that holds for half of all numbers."""
    total: Any = WAVE
    for factor, x in zip(FACTORS, numbers, strict=False):
        term = ops.mul(ops.cast(x, dtype), factor) if isinstance(x, Tracer) else factor * x
        both = (total, term)
        total = ops.add(*both) if any(isinstance(t, Tracer) for t in both) else sum(both)
    wave = ops.mul(ops.sin(total), SIZE)
    return ops.lt(ops.sub(wave, ops.floor(wave)), 0.5)
