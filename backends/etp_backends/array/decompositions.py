"""Decompositions of matrices: one call with several results, copied into planned buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etp_ir.core import Node
from etp_ir.primitives.linalg import FUNCTIONS

from .refs import Ref

if TYPE_CHECKING:
    from .block import Block
    from .standard import Expressions

NAMES = tuple(FUNCTIONS)


def alias(node: Node, k: int) -> Sequence[int]:
    """Return the operands in whose memory result k may be written: of another shape, none."""
    return ()


def emit(block: Block, node: Node, outs: Sequence[Ref]) -> None:
    """Append the statements of a decomposition."""
    use = block.gen.writer.use
    results = block.gen.writer.name("results")
    block.line(f"{results} = {_call(node, block.ref(node.inputs[0]).name)}", node.primitive.name)
    for k, out in enumerate(outs):
        block.line(f"{use('copyto')}({out.name}, {results}[{k}])", out.type)


def express(make: Expressions, node: Node) -> None:
    """Append a decomposition as one statement."""
    results = [make.writer.named(v) for v in node.outputs]
    make.writer.line(f"{', '.join(results)} = {_call(node, make.array(node.inputs[0]))}")
    make.env.update(zip(node.outputs, results, strict=True))


def _call(node: Node, x: str) -> str:
    return f'special.decompose("{node.primitive.name}", xp, {x})'
