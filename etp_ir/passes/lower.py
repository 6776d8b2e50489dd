"""Replacement of composite primitives by the core primitives they stand for."""

from __future__ import annotations

from collections.abc import Collection

from ..builder import Builder
from ..core import Operand, Program
from ..tracer import operand, wrap


def lower(program: Program, *, keep: Collection[str] = ()) -> Program:
    """Return the program in core primitives only, also inside regions.

    Parameters
    ----------
    keep
        Names of composite primitives that stay, for a backend that has them.
    """
    builder = Builder(program.name, share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in program.inputs
    }
    for node in program.nodes:
        outputs: tuple[Operand, ...]
        inputs = [env.get(x, x) for x in node.inputs]
        node = node.with_regions(lambda region: lower(region, keep=keep))
        if node.primitive.lower is None or node.primitive.name in keep:
            outputs = builder.copy(node, inputs)
        else:
            builder.source = node.source
            results = node.primitive.lower(*(wrap(builder, x) for x in inputs), **node.attrs)
            results = results if isinstance(results, tuple) else (results,)
            outputs = tuple(operand(builder, r) for r in results)
        env.update(zip(node.outputs, outputs, strict=True))
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])
