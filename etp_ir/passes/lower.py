"""Replacement of composite primitives by the core primitives they stand for."""

from __future__ import annotations

from collections.abc import Callable

from ..builder import Builder
from ..core import Node, Operand, Program
from ..tracer import operand, wrap


def lower(program: Program, *, keep: Callable[[Node], bool] = lambda node: False) -> Program:
    """Return the program in core primitives only, also inside regions.

    Parameters
    ----------
    keep
        Which composite nodes stay, for a backend that has them.
    """

    def composite(node: Node) -> bool:
        return node.primitive.lower is not None and not keep(node)

    # What a primitive stands for may be composite itself.
    while any(composite(node) for node in program.walk()):
        program = _lowered(program, composite)
    return program


def unmarked(program: Program) -> Program:
    """Return the program with the operations that are marked in place of the marks."""
    return _lowered(program, lambda node: node.primitive.is_etp)


def _lowered(program: Program, composite: Callable[[Node], bool]) -> Program:
    builder = Builder(program.name, share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in program.inputs
    }
    for node in program.nodes:
        outputs: tuple[Operand, ...]
        inputs = [env.get(x, x) for x in node.inputs]
        node = node.with_regions(lambda region: _lowered(region, composite))
        if node.primitive.lower is None or not composite(node):
            outputs = builder.copy(node, inputs)
        else:
            builder.source = node.source
            results = node.primitive.lower(*(wrap(builder, x) for x in inputs), **node.attrs)
            results = results if isinstance(results, tuple) else (results,)
            outputs = tuple(operand(builder, r) for r in results)
        env.update(zip(node.outputs, outputs, strict=True))
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])
