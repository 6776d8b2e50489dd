"""Sharing of equal computations (value numbering)."""

from __future__ import annotations

from ..builder import Builder
from ..core import Operand, Program


def cse(program: Program, *, inside: bool = True) -> Program:
    """Return the program in which no two nodes compute the same; ``inside``, in regions too."""
    builder = Builder(program.name, share=True)
    env: dict[Operand, Operand] = {
        p.value: builder.input(p.name, p.type, p.role) for p in program.inputs
    }
    for node in program.nodes:
        shared = node.with_regions(cse) if inside else node
        outputs = builder.copy(shared, [env.get(x, x) for x in node.inputs])
        env.update(zip(node.outputs, outputs, strict=True))
    return builder.finish([(env.get(o.value, o.value), o.role) for o in program.outputs])
